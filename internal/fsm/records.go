package fsm

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"bowline/internal/cluster"
	"bowline/internal/engine"
	"bowline/internal/lease"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Names of meta records, beside those of mvcc.
const (
	metaApplied        = "applied"
	metaClusterVersion = "clusterVersion"
	metaDowngrade      = "downgrade"
	metaAuth           = "auth"
	metaAuthEnabled    = "auth-enabled"
)

// Prefixes of record bodies in the classes that hold more than one kind.
const (
	memberPresent = "m/"
	memberRemoved = "r/"
	authUser      = "u/"
	authRole      = "r/"
)

func metaKey(name string) []byte { return engine.Key(engine.ClassMeta, []byte(name)) }

// Position names the last entry that a state holds.
type Position struct{ Index, Term uint64 }

func (p Position) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, p.Index)
	return binary.BigEndian.AppendUint64(b, p.Term)
}

func parsePosition(b []byte) (Position, error) {
	if len(b) != 16 {
		return Position{}, fmt.Errorf("fsm: damaged record of the applied index: %x", b)
	}
	return Position{Index: binary.BigEndian.Uint64(b), Term: binary.BigEndian.Uint64(b[8:])}, nil
}

// ReadApplied returns the position of what e holds; with durable, of what has
// reached the disk.
func ReadApplied(e *engine.Engine, durable bool) (Position, error) {
	get := e.Get
	if durable {
		get = e.GetDurable
	}
	v, err := get(metaKey(metaApplied))
	if errors.Is(err, engine.ErrNotFound) {
		return Position{}, nil
	}
	if err != nil {
		return Position{}, fmt.Errorf("fsm: read the applied index: %w", err)
	}
	return parsePosition(v)
}

func leaseKey(id int64) []byte {
	return engine.Key(engine.ClassLease, binary.BigEndian.AppendUint64(nil, uint64(id)))
}

func memberKey(prefix string, id uint64) []byte {
	return engine.Key(engine.ClassMember, binary.BigEndian.AppendUint64([]byte(prefix), id))
}

func alarmKey(a *pb.AlarmMember) []byte {
	body := binary.BigEndian.AppendUint64(nil, a.MemberID)
	return engine.Key(engine.ClassAlarm, binary.BigEndian.AppendUint32(body, uint32(a.Alarm)))
}

func authKey(prefix, name string) []byte { return engine.Key(engine.ClassAuth, []byte(prefix+name)) }

// each calls f with the body and value of every record of a class.
func each(e *engine.Engine, class engine.Class, f func(body, value []byte) error) error {
	it, err := e.NewIter(&engine.IterOptions{LowerBound: engine.ClassStart(class), UpperBound: engine.ClassEnd(class)})
	if err != nil {
		return fmt.Errorf("fsm: open iterator: %w", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(engine.Body(it.Key()), it.Value()); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("fsm: read records: %w", err)
	}
	return nil
}

func loadLeases(e *engine.Engine) (leases []lease.Lease, err error) {
	err = each(e, engine.ClassLease, func(_, value []byte) error {
		l, err := lease.Parse(value)
		leases = append(leases, l)
		return err
	})
	return leases, err
}

// ReadMembers returns the members in what e holds.
func ReadMembers(e *engine.Engine) (*cluster.View, error) { return loadMembers(e) }

func loadMembers(e *engine.Engine) (*cluster.View, error) {
	var members []cluster.Member
	var removed []uint64
	err := each(e, engine.ClassMember, func(body, value []byte) error {
		if len(body) != len(memberPresent)+8 {
			return fmt.Errorf("fsm: damaged member record %q", body)
		}
		id := binary.BigEndian.Uint64(body[len(memberPresent):])
		if string(body[:len(memberRemoved)]) == memberRemoved {
			removed = append(removed, id)
			return nil
		}
		var m cluster.Member
		if err := json.Unmarshal(value, &m); err != nil {
			return fmt.Errorf("fsm: damaged record of member %x: %w", id, err)
		}
		members = append(members, m)
		return nil
	})
	return cluster.NewView(members, removed), err
}

func loadAlarms(e *engine.Engine) ([]*pb.AlarmMember, error) {
	var alarms []*pb.AlarmMember
	err := each(e, engine.ClassAlarm, func(body, _ []byte) error {
		if len(body) != 12 {
			return fmt.Errorf("fsm: damaged alarm record %x", body)
		}
		alarms = append(alarms, &pb.AlarmMember{
			MemberID: binary.BigEndian.Uint64(body), Alarm: pb.AlarmType(binary.BigEndian.Uint32(body[8:])),
		})
		return nil
	})
	return alarms, err
}

// leaseOf is the lease in an attachment's body.
func leaseOf(body []byte) int64 { return int64(binary.BigEndian.Uint64(body)) }

// leaseTable answers package mvcc.
type leaseTable struct{ *lease.Table }

// Exists tells whether there is such a lease.
func (t leaseTable) Exists(id int64) bool {
	_, ok := t.Get(id)
	return ok
}
