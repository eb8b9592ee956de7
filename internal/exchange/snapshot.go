package exchange

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"

	"bowline/internal/fsm"
	"bowline/internal/mvcc"

	"google.golang.org/protobuf/proto"
)

const keyBucket = "key"

// Buckets of etcd's database. All exist in every database, possibly empty.
var buckets = []string{
	"alarm", "auth", "authRoles", "authUsers", "cluster", keyBucket, "lease", "members", "members_removed", "meta",
}

// WriteImage writes a database as etcd has it. Temporary files go to dir, which must have
// room for some twice the live data, and so does the result, which is open for reading at
// its beginning and already unlinked: closing it is all the cleaning up there is. It need
// not be synced: it lives as long as this process at most.
func WriteImage(ctx context.Context, dir string, x *fsm.Export) (_ *os.File, err error) {
	f, err := os.CreateTemp(dir, "image-")
	if err != nil {
		return nil, fmt.Errorf("exchange: write a snapshot: %w", err)
	}
	if err = os.Remove(f.Name()); err == nil {
		err = writeImage(ctx, f, dir, x)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("exchange: write a snapshot: %w", err), f.Close())
	}
	return f, nil
}

func writeImage(ctx context.Context, f *os.File, dir string, x *fsm.Export) error {
	w := newImageWriter(f)
	if err := writeRecords(w, x); err != nil {
		return err
	}
	if err := writeTree(w, x); err != nil {
		return err
	}
	if err := writeKeys(ctx, w, dir, x); err != nil {
		return err
	}
	return w.close()
}

// DigestBytes is what WithDigest adds.
const DigestBytes = sha256.Size

// WithDigest is an image, and behind it its SHA-256: a snapshot file.
func WithDigest(image io.Reader) io.Reader {
	h := sha256.New()
	return io.MultiReader(io.TeeReader(image, h), &digestReader{h: h})
}

// digestReader is the sum of what was written to h before the first call.
type digestReader struct {
	h   hash.Hash
	sum *bytes.Reader
}

func (d *digestReader) Read(b []byte) (int, error) {
	if d.sum == nil {
		d.sum = bytes.NewReader(d.h.Sum(nil))
	}
	return d.sum.Read(b)
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

// writeRecords writes everything but the keys.
func writeRecords(w *imageWriter, x *fsm.Export) error {
	type record struct{ key, value []byte }
	records := make(map[string][]record)
	var errs []error
	add := func(bucket string, key, value []byte) { records[bucket] = append(records[bucket], record{key, value}) }
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
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, name := range buckets {
		if name == keyBucket {
			continue
		}
		b, sorted := w.bucket(name), records[name]
		slices.SortFunc(sorted, func(a, b record) int { return bytes.Compare(a.key, b.key) })
		for _, r := range sorted {
			if err := b.put(r.key, r.value); err != nil {
				return fmt.Errorf("bucket %s: %w", name, err)
			}
		}
		if err := b.finish(); err != nil {
			return err
		}
	}
	return nil
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
func writeKeys(ctx context.Context, w *imageWriter, dir string, x *fsm.Export) error {
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
	keys := w.bucket(keyBucket)
	err = s.each(func(key, value []byte) error {
		if err := rest(len(value)); err != nil {
			return err
		}
		return keys.put(key, value)
	})
	if err == nil {
		err = keys.finish()
	}
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	return nil
}
