// Package operate repairs clusters as the guides for administrators tell it, with
// etcdctl typed literally.
//
// A script (testdata/*.txt) is one repair. Beside the commands of testscript it has
//
//	start NAME etcd ...   start a member in the background, under a name
//	destroy NAME DIR      kill -9, and its data is gone
//	crash NAME            kill -9
//	retry etcdctl ...     until it succeeds: a cluster may be busy electing
//	bind VAR REGEXP       VAR is what the group matches in the last output
//	fill ENDPOINT N       write N keys below fill/
//	agree N ENDPOINTS     until N members have equal hashes at equal revisions
//
// $C0 to $C6 are addresses for clients, $P0 to $P6 for members.
//
// To run one: go test ./tests/operate -run 'TestRepairs/one-of-three$' -v
package operate
