package exchange

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"bowline/internal/auth"
	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/fsm"
	"bowline/internal/mvcc"
	"bowline/internal/wal"
	"bowline/internal/wire"

	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manifest is what a server of etcd has told of a fixture.
type manifest struct {
	Revision        int64
	CompactRevision int64 `json:"compact_revision"`
	HashKV          struct{ Hash uint32 }
	Hashes          []struct {
		Revision int64
		Hash     uint32
	} `json:"hashkv_by_revision"`
	KeyCount int64 `json:"key_count"`
	// KVs are key and value in base 64, create and mod revision, version, lease.
	KVs    [][6]any
	Leases []struct {
		ID   int64
		TTL  int64 `json:"granted_ttl"`
		Keys []string
	}
	Auth struct {
		Enabled bool
		Users   []struct {
			Name     string
			Roles    []string
			Password *string
		}
		Roles []struct {
			Name        string
			Permissions []struct {
				Type, Key string
				RangeEnd  string `json:"range_end_base64"`
			}
		}
	}
	Members []struct {
		ID         uint64
		Name       string
		PeerURLs   []string `json:"peer_urls"`
		ClientURLs []string `json:"client_urls"`
		Learner    bool     `json:"is_learner"`
	}
	Alarms         []any
	ClusterVersion string `json:"cluster_version"`
	ClusterID      string `json:"cluster_id_hex"`
	MemberID       string `json:"member_id_hex"`
}

func loadManifest(t testing.TB, name string) *manifest {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".manifest.json"))
	must(t, err)
	m := new(manifest)
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	must(t, d.Decode(m))
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unpackSnapshot writes a snapshot of the fixtures to a file.
func unpackSnapshot(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".db.gz"))
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	b, err := io.ReadAll(z)
	must(t, err)
	to := filepath.Join(t.TempDir(), name+".db")
	must(t, os.WriteFile(to, b, 0o600))
	return to
}

// unpackDir unpacks a data directory of the fixtures. Zeros become holes.
func unpackDir(t testing.TB, name string) string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".tar.gz"))
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	dir := t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return filepath.Join(dir, name)
		}
		must(t, err)
		to := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			must(t, os.MkdirAll(to, 0o700))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(to), 0o700))
		must(t, writeSparse(to, r, h.Size))
	}
}

func writeSparse(name string, r io.Reader, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	zeros := make([]byte, len(buf))
	for at := int64(0); at < size; {
		n, err := io.ReadFull(r, buf[:min(int64(len(buf)), size-at)])
		if err != nil {
			return err
		}
		if !bytes.Equal(buf[:n], zeros[:n]) {
			if _, err := f.WriteAt(buf[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
	}
	return f.Truncate(size)
}

// member is a state on disk with its log applied, as a server would have it.
type member struct {
	engine *engine.Engine
	fsm    *fsm.FSM
	log    wal.Recovered
}

// agreed stands for raft: each change is accepted or refused as the members say.
type agreed struct{}

func (agreed) ApplyConfChange(uint64, raftpb.ConfChangeI) *raftpb.ConfState { return nil }
func (agreed) RefuseConfChange(uint64) *raftpb.ConfState                    { return nil }

// openMember opens the directory of ours, and applies its log.
func openMember(t testing.TB, dataDir string) *member {
	t.Helper()
	dir := filepath.Join(dataDir, engine.MemberDir)
	m := new(member)
	var err error
	m.engine, err = engine.Open(filepath.Join(dir, engine.DirName), engine.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, m.engine.Close()) })
	m.fsm, err = fsm.Open(fsm.Config{
		Engine: m.engine, Deliver: func(uint64, fsm.Result) {}, Publish: func(int64, []mvcc.Event, bool) {},
		LeaseGranted: func(int64, int64) {}, LeaseRevoked: func(int64) {}, EmptyEntry: func(uint64) {},
		Fatal: func(err error) { t.Error(err) },
	})
	must(t, err)
	log, recovered, err := wal.Open(wal.Options{Dir: filepath.Join(dir, engine.LogDirName)}, m.fsm.Applied())
	must(t, err)
	must(t, log.Close())
	m.log = recovered
	must(t, m.fsm.Apply(recovered.Entries, agreed{}))
	m.fsm.Start()
	t.Cleanup(m.fsm.Stop)
	must(t, m.fsm.Check(t.Context()))
	return m
}

// compare compares a state with what etcd has told of it.
func (m *member) compare(t *testing.T, want *manifest) {
	t.Helper()
	s := m.fsm.Store()
	if rev, compacted := s.Revisions(); rev != want.Revision || compacted != want.CompactRevision || s.Keys() != want.KeyCount {
		t.Errorf("revision %d, compacted %d, %d keys; want %d, %d, %d", rev, compacted, s.Keys(), want.Revision, want.CompactRevision, want.KeyCount)
	}
	for _, h := range want.Hashes {
		if got, _, err := s.HashKV(t.Context(), h.Revision); err != nil || got.Sum != h.Hash {
			t.Errorf("hash at %d: %d, %v, want %d", h.Revision, got.Sum, err, h.Hash)
		}
	}
	if got, _, err := s.HashKV(t.Context(), 0); err != nil || got.Sum != want.HashKV.Hash || got.Compacted != want.CompactRevision {
		t.Errorf("hash: %+v, %v, want %d", got, err, want.HashKV.Hash)
	}
	m.compareKeys(t, want)
	m.compareLeases(t, want)
	compareRules(t, m.fsm.Rules(), want)
	if got := m.fsm.ClusterVersion(); got != want.ClusterVersion {
		t.Errorf("cluster version %q, want %q", got, want.ClusterVersion)
	}
	if len(m.fsm.Alarms()) != len(want.Alarms) {
		t.Errorf("alarms %v, want %v", m.fsm.Alarms(), want.Alarms)
	}
}

func (m *member) compareKeys(t *testing.T, want *manifest) {
	t.Helper()
	var a wire.Answer
	defer a.Release()
	everything := &pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}}
	must(t, m.fsm.Store().View().Range(t.Context(), everything, &a))
	got := new(pb.RangeResponse)
	must(t, proto.Unmarshal(a.Bytes(), got))
	if len(got.Kvs) != len(want.KVs) {
		t.Fatalf("%d keys, want %d", len(got.Kvs), len(want.KVs))
	}
	for i, kv := range got.Kvs {
		text := fmt.Sprint([6]any{base64.StdEncoding.EncodeToString(kv.Key), base64.StdEncoding.EncodeToString(kv.Value),
			kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease})
		if text != fmt.Sprint(want.KVs[i]) {
			t.Errorf("key %d: %s, want %v", i, text, want.KVs[i])
		}
	}
}

func (m *member) compareLeases(t *testing.T, want *manifest) {
	t.Helper()
	if m.fsm.Leases().Len() != len(want.Leases) {
		t.Errorf("%d leases, want %d", m.fsm.Leases().Len(), len(want.Leases))
	}
	for _, w := range want.Leases {
		l, ok := m.fsm.Leases().Get(w.ID)
		if !ok || l.TTL != w.TTL {
			t.Errorf("lease %x: %+v, %v, want a TTL of %d", w.ID, l, ok, w.TTL)
		}
		var keys []string
		must(t, m.fsm.Store().AttachedKeys(w.ID, func(key []byte) error {
			keys = append(keys, string(key))
			return nil
		}))
		if !slices.Equal(keys, w.Keys) {
			t.Errorf("lease %x holds %q, want %q", w.ID, keys, w.Keys)
		}
	}
}

func compareRules(t *testing.T, r *auth.Rules, want *manifest) {
	t.Helper()
	if r.Enabled != want.Auth.Enabled || len(r.UserNames()) != len(want.Auth.Users) || len(r.RoleNames()) != len(want.Auth.Roles) {
		t.Errorf("enabled %v, users %q, roles %q", r.Enabled, r.UserNames(), r.RoleNames())
	}
	for _, w := range want.Auth.Users {
		u := r.User(w.Name)
		if u == nil || !slices.Equal(u.Roles, w.Roles) || (w.Password == nil) != u.GetOptions().GetNoPassword() ||
			(w.Password == nil) != (len(u.Password) == 0) {
			t.Errorf("user %+v, want %+v", u, w)
		}
	}
	for _, w := range want.Auth.Roles {
		role := r.Role(w.Name)
		if role == nil || len(role.KeyPermission) != len(w.Permissions) {
			t.Errorf("role %v, want %+v", role, w)
			continue
		}
		for i, p := range w.Permissions {
			end, err := base64.StdEncoding.DecodeString(p.RangeEnd)
			must(t, err)
			if got := role.KeyPermission[i]; got.PermType != authpb.Permission_Type(authpb.Permission_Type_value[p.Type]) ||
				string(got.Key) != p.Key || !bytes.Equal(got.RangeEnd, end) {
				t.Errorf("permission %d of %s: %v, want %+v", i, w.Name, got, p)
			}
		}
	}
}

// wantMembers are the members that a manifest names.
func wantMembers(want *manifest) (members []cluster.Member) {
	for _, w := range want.Members {
		members = append(members, cluster.Member{ID: w.ID, Name: w.Name, PeerURLs: w.PeerURLs, ClientURLs: w.ClientURLs, IsLearner: w.Learner})
	}
	return members
}

func parseHex(t *testing.T, text string) uint64 {
	t.Helper()
	id, err := strconv.ParseUint(text, 16, 64)
	must(t, err)
	return id
}

// canonical encodes a record of users or roles anew: versions of etcd differ in
// whether zeros are written.
func canonical(t *testing.T, bucket string, b []byte) []byte {
	t.Helper()
	var m proto.Message = new(authpb.User)
	if bucket == "authRoles" {
		m = new(authpb.Role)
	}
	must(t, proto.Unmarshal(b, m))
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	must(t, err)
	return out
}
