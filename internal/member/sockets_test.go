package member

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"testing"

	"bowline/internal/config"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestMembersReachEachOtherOverUnixSockets: messages, questions and a whole state, in
// plain text and with TLS. The sockets' files are in the directory that all work in.
func TestMembersReachEachOtherOverUnixSockets(t *testing.T) {
	for _, scheme := range []string{"unix", "unixs"} {
		t.Run(scheme, func(t *testing.T) {
			t.Chdir(t.TempDir())
			g := &group{t: t, configs: make(map[string]Config), members: make(map[string]*Member)}
			urls := make(map[string][]string)
			for name, port := range map[string]string{"a": "1", "b": "2", "c": "3"} {
				cfg := g.config(name)
				at := url.URL{Scheme: scheme, Host: "localhost:" + port}
				cfg.ListenPeerURLs, cfg.AdvertisePeerURLs = []url.URL{at}, []string{at.String()}
				cfg.PeerTLS = config.Certificates{Auto: scheme == "unixs"}
				cfg.TLS.SelfSignedYears = 1
				cfg.LogSegmentBytes, cfg.KeepLogBytes = 1<<20, 1
				g.configs[name], urls[name] = cfg, cfg.AdvertisePeerURLs
			}
			for name, cfg := range g.configs {
				cfg.InitialCluster, cfg.JoinExisting = map[string][]string{"a": urls["a"], "b": urls["b"]}, name == "c"
				if cfg.JoinExisting {
					cfg.InitialCluster["c"] = urls["c"]
				}
				g.configs[name] = cfg
			}
			t.Cleanup(g.stopAll)
			g.start("a", "b")
			if _, err := os.Stat("localhost:1"); err != nil {
				t.Error(err)
			}
			kv := pb.NewKVClient(dial(t, g.members["a"]))
			const keys = 20 // more than the node holds in memory
			for i := range keys {
				put := &pb.PutRequest{Key: fmt.Appendf(nil, "k%d", i), Value: bytes.Repeat([]byte{byte(i)}, 900_000)}
				g.eventually("a put", func() error {
					_, err := kv.Put(t.Context(), put)
					return err
				})
			}
			keepsAlive(t, g)
			for _, m := range g.members {
				cutWhole(t, m)
			}
			members := pb.NewClusterClient(dial(t, g.members["a"])) // whom the new one asks first: it knows by then
			g.eventually("addition", func() error {
				_, err := members.MemberAdd(t.Context(), &pb.MemberAddRequest{PeerURLs: urls["c"]})
				return err
			})
			g.start("c")
			g.eventually("the state arrives", func() error {
				if n := g.count("c"); n != keys {
					return fmt.Errorf("%d keys", n)
				}
				return nil
			})
			if received := g.members["c"].states.receiver.Counts(); len(received) == 0 || received[0].Succeeded == 0 {
				t.Errorf("no whole state came: %+v", received)
			}
		})
	}
}

// keepsAlive renews a lease at each member: those that do not lead ask the leader.
func keepsAlive(t *testing.T, g *group) {
	t.Helper()
	for name, m := range g.members {
		g.eventually("a lease at "+name, func() error {
			lease := pb.NewLeaseClient(dial(t, m))
			granted, err := lease.LeaseGrant(t.Context(), &pb.LeaseGrantRequest{TTL: 600})
			if err != nil {
				return err
			}
			stream, err := lease.LeaseKeepAlive(t.Context())
			if err != nil {
				return err
			}
			if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: granted.ID}); err != nil {
				return err
			}
			renewed, err := stream.Recv()
			if err == nil && renewed.TTL != 600 {
				err = errors.New("the lease is not renewed")
			}
			return errors.Join(err, stream.CloseSend())
		})
	}
}
