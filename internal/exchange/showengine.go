package exchange

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"bowline/internal/engine"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/v2"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/etcd/api/v3/authpb"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"
	"google.golang.org/protobuf/proto"
)

var errBadRecord = errors.New("it does not have the form that it should")

// engine shows the records in a stopped member's engine, which is locked, by kind and
// in the order of keys. Those that can be made of others are left out.
func (s *Shower) engine(member string) (err error) {
	dir, err := engine.Current(vfs.Default, member)
	if err != nil {
		return err
	}
	if _, err := vfs.Default.Stat(dir); err != nil {
		return err
	}
	e, err := engine.Open(dir, engine.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	for _, c := range []struct {
		kinds []Kind
		class engine.Class
		take  func(body, value []byte) error
	}{
		{[]Kind{KindMark}, engine.ClassMeta, s.metaRecord},
		{[]Kind{KindMember}, engine.ClassMember, s.memberRecord},
		{[]Kind{KindAlarm}, engine.ClassAlarm, s.alarmRecord},
		{[]Kind{KindUser, KindRole}, engine.ClassAuth, s.authRecord},
		{[]Kind{KindLease}, engine.ClassLease, s.leaseRecord},
		{[]Kind{KindVersion}, engine.ClassVersion, nil},
		{[]Kind{KindV2}, engine.ClassV2, s.treeRecord},
	} {
		wanted := false
		for _, k := range c.kinds {
			wanted = wanted || s.Wants(k)
		}
		switch {
		case !wanted:
			continue
		case c.class == engine.ClassVersion:
			err = s.versions(e)
		default:
			err = s.class(dir, e, c.class, c.take)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// class walks the records of a class.
func (s *Shower) class(dir string, e *engine.Engine, class engine.Class, take func(body, value []byte) error) error {
	walk := func(body, value []byte) error {
		if err := s.step(); err != nil {
			return err
		}
		shownBefore := s.shown
		err := take(body, value)
		if err != nil && s.shown == shownBefore && !errors.Is(err, ErrEnough) {
			return fmt.Errorf("%s: record %x of class %02x cannot be read: %w; restore the member from a snapshot or replace it", dir, cut(body), byte(class), err)
		}
		return err
	}
	if class == engine.ClassV2 {
		return v2.EachRecord(e, walk)
	}
	it, err := e.NewIter(&engine.IterOptions{LowerBound: engine.ClassStart(class), UpperBound: engine.ClassEnd(class)})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err == nil {
			err = walk(engine.Body(it.Key()), value)
		}
		if err != nil {
			return err
		}
	}
	return it.Error()
}

// between narrows what is read.
type between struct {
	engine.Reader
	lower, upper []byte
}

func (b between) NewIter(o *engine.IterOptions) (engine.Iterator, error) {
	narrow := *o
	narrow.LowerBound, narrow.UpperBound = b.lower, b.upper
	return b.Reader.NewIter(&narrow)
}

func (s *Shower) versions(e *engine.Engine) error {
	var src engine.Reader = e
	if s.Key != nil {
		from, to := s.keyBounds()
		b := between{e, engine.Key(engine.ClassVersion, from), engine.ClassEnd(engine.ClassVersion)}
		if to != nil {
			b.upper = engine.Key(engine.ClassVersion, to)
		}
		src = b
	}
	return mvcc.EachVersion(src, func(v mvcc.Version) error {
		if err := s.step(); err != nil {
			return err
		}
		change := changeUpdated
		switch v.Kind {
		case mvcc.KindCreate:
			change = changeCreated
		case mvcc.KindDelete:
			change = changeDeleted
		}
		return s.version(v.Revision, change, v.KV)
	})
}

func (s *Shower) marks(marks ...Mark) error {
	for _, m := range marks {
		m.Kind = KindMark
		if err := s.Emit(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *Shower) metaRecord(body, value []byte) error {
	number := func(at int) uint64 { return binary.BigEndian.Uint64(value[at:]) }
	sizes := map[string]int{"applied": 16, "revision": 8, "auth": 8, "auth-enabled": 1}
	name := string(body)
	if want, ok := sizes[name]; ok && len(value) != want {
		return errBadRecord
	}
	switch name {
	case "applied":
		return s.marks(Mark{Name: "appliedIndex", Value: number(0)}, Mark{Name: "appliedTerm", Value: number(8)})
	case "revision":
		return s.marks(Mark{Name: "revision", Value: number(0)})
	case "auth":
		return s.marks(Mark{Name: "authRevision", Value: number(0)})
	case "auth-enabled":
		return s.marks(Mark{Name: "authEnabled", Value: value[0] == 1})
	case "clusterVersion":
		return s.marks(Mark{Name: "clusterVersion", Value: string(value)})
	case "downgrade":
		var d membershippb.DowngradeInfoSetRequest
		if err := proto.Unmarshal(value, &d); err != nil {
			return err
		}
		return s.marks(Mark{Name: "downgradeEnabled", Value: d.Enabled}, Mark{Name: "downgradeTarget", Value: d.Ver})
	case "compaction":
		var marks [4]int64 // scheduled, finished, and main and sub of how far it is
		for i := range marks {
			n := 0
			if marks[i], n = binary.Varint(value); n <= 0 {
				return errBadRecord
			}
			value = value[n:]
		}
		return s.marks(Mark{Name: "compactionScheduled", Value: marks[0]}, Mark{Name: "compactionFinished", Value: marks[1]},
			Mark{Name: "compactionPosition", Value: fmt.Sprintf("%d.%d", marks[2], marks[3])})
	}
	return s.marks(Mark{Name: name, Value: fmt.Sprintf("%x", cut(value))})
}

func (s *Shower) memberRecord(body, value []byte) error {
	const head = len("m/")
	if len(body) != head+8 {
		return errBadRecord
	}
	m := ShownMember{Kind: KindMember}
	switch string(body[:head]) {
	case "m/":
		if err := json.Unmarshal(value, &m.Member); err != nil {
			return err
		}
	case "r/":
		m.Removed, m.ID = true, binary.BigEndian.Uint64(body[head:])
	default:
		return errBadRecord
	}
	return s.Emit(m)
}

func (s *Shower) alarmRecord(body, _ []byte) error {
	if len(body) != 12 {
		return errBadRecord
	}
	return s.Emit(ShownAlarm{KindAlarm, pb.AlarmType(binary.BigEndian.Uint32(body[8:])).String(), binary.BigEndian.Uint64(body)})
}

func (s *Shower) authRecord(body, value []byte) error {
	if len(body) < 2 {
		return errBadRecord
	}
	switch string(body[:2]) {
	case "u/":
		return s.userRecord(value)
	case "r/":
		return s.roleRecord(value)
	}
	return errBadRecord
}

func (s *Shower) userRecord(value []byte) error {
	u := new(authpb.User)
	if err := proto.Unmarshal(value, u); err != nil || !s.Wants(KindUser) {
		return err
	}
	return s.Emit(shownUser(u))
}

func (s *Shower) roleRecord(value []byte) error {
	r := new(authpb.Role)
	if err := proto.Unmarshal(value, r); err != nil || !s.Wants(KindRole) {
		return err
	}
	return s.Emit(shownRole(r))
}

func (s *Shower) leaseRecord(_, value []byte) error {
	l, err := lease.Parse(value)
	if err != nil {
		return err
	}
	return s.Emit(shownLease(l))
}
