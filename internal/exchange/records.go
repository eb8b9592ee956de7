package exchange

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bowline/internal/cluster"
	"bowline/internal/fsm"
	"bowline/internal/lease"
	"bowline/internal/mvcc"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// records is what a database holds beside its keys.
type records struct {
	fsm.Records
	// StorageVersion says by which version the database was written; empty up to 3.5.
	StorageVersion string
	// Scheduled and Finished are the compaction marks, -1 where there is none.
	Scheduled, Finished int64
	// snap is the .snap file that the members come from, if they come from one.
	snap snap
}

// The newest version of etcd whose files are understood.
const newestMajor, newestMinor = 3, 7

// readRecords reads all buckets but the keys.
func (db *database) readRecords() (*records, error) {
	r := &records{Scheduled: -1, Finished: -1}
	var members []cluster.Member
	var removed []uint64
	for _, b := range []struct {
		name string
		take func(key, value []byte) error
	}{
		{"meta", r.takeMeta},
		{"cluster", r.takeCluster},
		{"lease", func(_, value []byte) error {
			l, err := lease.Parse(value)
			r.Leases = append(r.Leases, l)
			return err
		}},
		{"alarm", func(key, _ []byte) error {
			a := new(pb.AlarmMember)
			r.Alarms = append(r.Alarms, a)
			return proto.Unmarshal(key, a)
		}},
		{"auth", r.takeAuth},
		{"authUsers", func(_, value []byte) error {
			u := new(authpb.User)
			r.Users = append(r.Users, u)
			return proto.Unmarshal(value, u)
		}},
		{"authRoles", func(_, value []byte) error {
			role := new(authpb.Role)
			r.Roles = append(r.Roles, role)
			return proto.Unmarshal(value, role)
		}},
		{"members", func(_, value []byte) error {
			var m cluster.Member
			err := json.Unmarshal(value, &m)
			members = append(members, m)
			return err
		}},
		{"members_removed", func(key, _ []byte) error {
			id, err := strconv.ParseUint(string(key), 16, 64)
			removed = append(removed, id)
			return err
		}},
	} {
		err := db.each(b.name, func(key, value []byte) error {
			if err := b.take(key, value); err != nil {
				return fmt.Errorf("%s: record %q of bucket %q cannot be read: %w; use another backup", db.name, cut(key), b.name, err)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	r.Members = cluster.NewView(members, removed)
	r.AuthRevision = max(r.AuthRevision, 1)
	slices.SortFunc(r.Leases, func(a, b lease.Lease) int { return cmp.Compare(a.ID, b.ID) })
	return r, r.checkVersions(db.name)
}

func (r *records) takeMeta(key, value []byte) (err error) {
	switch string(key) {
	case "consistent_index":
		r.Position.Index, err = parseU64(value)
	case "term":
		r.Position.Term, err = parseU64(value)
	case "storageVersion":
		r.StorageVersion = string(value)
	case "scheduledCompactRev":
		r.Scheduled, err = parseMark(value)
	case "finishedCompactRev":
		r.Finished, err = parseMark(value)
	}
	return err
}

func (r *records) takeCluster(key, value []byte) error {
	switch string(key) {
	case "clusterVersion":
		r.ClusterVersion = string(value)
	case "downgrade":
		var d downgrade
		if err := json.Unmarshal(value, &d); err != nil {
			return err
		}
		r.Downgrade = fsm.Downgrade{Enabled: d.Enabled, Target: d.Target}
	}
	return nil
}

// downgrade is fsm.Downgrade as etcd stores it.
type downgrade struct {
	Target  string `json:"target-version"`
	Enabled bool   `json:"enabled"`
}

func (r *records) takeAuth(key, value []byte) (err error) {
	switch string(key) {
	case "authEnabled":
		r.AuthEnabled = bytes.Equal(value, []byte{1})
	case "authRevision":
		r.AuthRevision, err = parseU64(value)
	}
	return err
}

// checkVersions refuses what a newer etcd has written: it may mean something that is
// not known here.
func (r *records) checkVersions(name string) error {
	for what, text := range map[string]string{"storage": r.StorageVersion, "cluster": r.ClusterVersion} {
		if text == "" {
			continue
		}
		major, minor, ok := parseVersion(text)
		if !ok {
			return fmt.Errorf("%s: %q is no %s version; use another backup", name, text, what)
		}
		if major != newestMajor || minor > newestMinor {
			return fmt.Errorf("%s: %s version %s is not supported: up to %d.%d is; with etcd, lower it first (etcdctl downgrade, etcdutl migrate)",
				name, what, text, newestMajor, newestMinor)
		}
	}
	return nil
}

func parseVersion(text string) (major, minor int, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(parts[1])
	return major, minor, err == nil
}

func parseU64(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, fmt.Errorf("%d bytes are no number", len(b))
	}
	return binary.BigEndian.Uint64(b), nil
}

func parseMark(b []byte) (int64, error) {
	rev, _, err := parseRecordKey(b)
	return rev.Main, err
}

// parseRecordKey is the inverse of recordKey.
func parseRecordKey(b []byte) (rev mvcc.Revision, deleted bool, err error) {
	bad := len(b) != 17 && len(b) != 18 || b[8] != '_' || len(b) == 18 && b[17] != 't'
	if !bad {
		rev = mvcc.Revision{Main: int64(binary.BigEndian.Uint64(b)), Sub: int64(binary.BigEndian.Uint64(b[9:]))}
	}
	if bad || rev.Main < 0 || rev.Sub < 0 {
		return mvcc.Revision{}, false, fmt.Errorf("%x is no revision", cut(b))
	}
	return rev, len(b) == 18, nil
}
