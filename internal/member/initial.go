package member

import (
	"slices"
	"time"

	"bowline/internal/cluster"
)

// askTwiceTimeout is how long the others have to say that this member was
// bootstrapped before.
const askTwiceTimeout = time.Second

// initial is the cluster that the settings name.
func (c *Config) initial() *cluster.Initial {
	return &cluster.Initial{Name: c.Name, Token: c.InitialToken, Members: c.InitialCluster, Advertised: c.AdvertisePeerURLs}
}

// otherURLs are the peer URLs of all members but one, sorted.
func otherURLs(members []cluster.Member, but uint64) (urls []string) {
	for i := range members {
		if members[i].ID != but {
			urls = append(urls, members[i].PeerURLs...)
		}
	}
	slices.Sort(urls)
	return urls
}
