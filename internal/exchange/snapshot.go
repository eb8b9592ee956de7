package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"bowline/internal/fsm"
	"bowline/internal/mvcc"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
)

// Buckets of etcd's database. All exist in every database, possibly empty.
var buckets = []string{
	"alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta",
}

// WriteSnapshot writes a snapshot file as etcd does: a database image followed by
// its SHA-256. Temporary files go to dir, which must have room for some three
// times the live data, and so does the result, which is open for reading at its
// beginning and already unlinked: closing it is all the cleaning up there is.
func WriteSnapshot(ctx context.Context, dir string, x *fsm.Export) (*os.File, error) {
	name := filepath.Join(dir, "image.db")
	if err := writeImage(ctx, name, dir, x); err != nil {
		return nil, errors.Join(err, removeIfThere(name))
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("exchange: write a snapshot: %w", err)
	}
	if err := errors.Join(os.Remove(name), appendDigest(RestfulReader(ctx, f, x), f)); err != nil {
		return nil, errors.Join(fmt.Errorf("exchange: write a snapshot: %w", err), f.Close())
	}
	return f, nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func appendDigest(from io.Reader, f *os.File) error {
	h := sha256.New()
	if _, err := io.Copy(h, from); err != nil {
		return err
	}
	if _, err := f.Write(h.Sum(nil)); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// RestfulReader is r, with pauses between its pieces (see fsm.Export).
func RestfulReader(ctx context.Context, r io.Reader, x *fsm.Export) io.Reader {
	return restful{r, ctx, x.Rest}
}

type restful struct {
	io.Reader
	ctx  context.Context
	rest func(context.Context) error
}

func (r restful) Read(b []byte) (int, error) {
	if err := r.rest(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// ReaderUntil is r, until ctx ends: then it fails with what ended it.
func ReaderUntil(ctx context.Context, r io.Reader) io.Reader { return contextReader{ctx, r} }

type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// writeImage writes the database. It need not be synced: it lives as long as this
// process at most.
func writeImage(ctx context.Context, name, dir string, x *fsm.Export) (err error) {
	if err := removeIfThere(name); err != nil {
		return fmt.Errorf("exchange: write a snapshot: %w", err)
	}
	db, err := bolt.Open(name, 0o600, &bolt.Options{NoSync: true, NoGrowSync: true, NoFreelistSync: true,
		FreelistType: bolt.FreelistMapType, InitialMmapSize: 64 << 20})
	if err != nil {
		return fmt.Errorf("exchange: create %s: %w", name, err)
	}
	defer func() {
		if cerr := db.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("exchange: close %s: %w", name, cerr)
		}
	}()
	if err := db.Update(func(tx *bolt.Tx) error { return writeRecords(tx, x) }); err != nil {
		return fmt.Errorf("exchange: write %s: %w", name, err)
	}
	if err := writeTree(ctx, db, x); err != nil {
		return err
	}
	return writeKeys(ctx, db, dir, x)
}

// writeRecords writes everything but the keys.
func writeRecords(tx *bolt.Tx, x *fsm.Export) error {
	put := make(map[string]func(key, value []byte) error)
	for _, name := range buckets {
		b, err := tx.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		put[name] = b.Put
	}
	var errs []error
	add := func(bucket string, key, value []byte) { errs = append(errs, put[bucket](key, value)) }
	u64 := func(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

	add("meta", []byte("consistent_index"), u64(x.Position.Index))
	add("meta", []byte("term"), u64(x.Position.Term))
	conf, err := confState(x)
	errs = append(errs, err)
	add("meta", []byte("confState"), conf)
	if x.ClusterVersion != "" {
		add("meta", []byte("storageVersion"), []byte(x.ClusterVersion))
		add("cluster", []byte("clusterVersion"), []byte(x.ClusterVersion))
	}
	if x.Downgrade.Enabled {
		v, err := json.Marshal(downgrade{x.Downgrade.Target, true})
		errs = append(errs, err)
		add("cluster", []byte("downgrade"), v)
	}
	if x.Scheduled >= 0 {
		add("meta", []byte("scheduledCompactRev"), compactMark(x.Scheduled))
	}
	if x.Finished >= 0 {
		add("meta", []byte("finishedCompactRev"), compactMark(x.Finished))
	}
	for _, l := range x.Leases {
		add("lease", u64(uint64(l.ID)), l.Append(nil))
	}
	for _, a := range x.Alarms {
		key, err := proto.Marshal(a)
		errs = append(errs, err)
		add("alarm", key, nil)
	}
	for _, m := range x.Members.Members() {
		v, err := json.Marshal(m)
		errs = append(errs, err)
		add("members", fmt.Appendf(nil, "%x", m.ID), v)
	}
	for _, id := range x.Members.RemovedIDs() {
		add("members_removed", fmt.Appendf(nil, "%x", id), []byte("removed"))
	}
	enabled := []byte{0}
	if x.AuthEnabled {
		enabled[0] = 1
	}
	add("auth", []byte("authEnabled"), enabled)
	add("auth", []byte("authRevision"), u64(x.AuthRevision))
	for _, user := range x.Users {
		v, err := proto.Marshal(user)
		errs = append(errs, err)
		add("authUsers", user.Name, v)
	}
	for _, role := range x.Roles {
		v, err := proto.Marshal(role)
		errs = append(errs, err)
		add("authRoles", role.Name, v)
	}
	return errors.Join(errs...)
}

// confState is the raft configuration as etcd stores it.
func confState(x *fsm.Export) ([]byte, error) {
	cs := x.Members.ConfState()
	return json.Marshal(struct {
		Voters    []uint64 `json:"voters,omitempty"`
		Learners  []uint64 `json:"learners,omitempty"`
		AutoLeave bool     `json:"auto_leave"`
	}{cs.Voters, cs.Learners, false})
}

// compactMark is a compaction revision as etcd stores it.
func compactMark(rev int64) []byte { return recordKey(mvcc.Revision{Main: rev}, 0) }

// recordKey is the key under which etcd stores a change.
func recordKey(r mvcc.Revision, k mvcc.Kind) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 18), uint64(r.Main))
	b = append(b, '_')
	b = binary.BigEndian.AppendUint64(b, uint64(r.Sub))
	if k == mvcc.KindDelete {
		b = append(b, 't')
	}
	return b
}

// bytesPerRest is how much is worked on between two pauses.
const bytesPerRest = 64 << 10

// writeKeys writes the key bucket in its order, so that its pages are filled one
// after the other.
func writeKeys(ctx context.Context, db *bolt.DB, dir string, x *fsm.Export) error {
	s := newSorter(dir)
	defer s.close()
	n := 0
	rest := func(size int) error {
		if n += size; n < bytesPerRest {
			return nil
		}
		n = 0
		return x.Rest(ctx)
	}
	s.pause = rest
	err := mvcc.EachVersion(x.Keys, func(v mvcc.Version) error {
		if err := rest(len(v.KV)); err != nil {
			return err
		}
		return s.add(recordKey(v.Revision, v.Kind), v.KV)
	})
	if err != nil {
		return err
	}
	w := bulk{ctx: ctx, db: db, bucket: "key"}
	defer w.abandon()
	err = s.each(func(key, value []byte) error {
		if err := rest(len(value)); err != nil {
			return err
		}
		return w.put(key, value)
	})
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		return fmt.Errorf("exchange: write keys: %w", err)
	}
	return nil
}
