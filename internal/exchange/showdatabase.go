package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"bowline/internal/cluster"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// database shows the records of an opened database, which it closes: by kind, versions
// in the order of revisions.
func (s *Shower) database(db *database, err error) error {
	if err != nil {
		return err
	}
	return errors.Join(s.buckets(db), db.close())
}

func (s *Shower) buckets(db *database) error {
	for _, b := range []struct {
		kind Kind
		name string
		take func(key, value []byte) error
	}{
		{KindMark, "meta", s.metaOfEtcd},
		{KindMark, "cluster", s.clusterOfEtcd},
		{KindMark, "auth", s.authOfEtcd},
		{KindMember, "members", s.memberOfEtcd},
		{KindMember, "members_removed", s.removedOfEtcd},
		{KindAlarm, "alarm", s.alarmOfEtcd},
		{KindUser, "authUsers", func(_, value []byte) error { return s.userRecord(value) }},
		{KindRole, "authRoles", func(_, value []byte) error { return s.roleRecord(value) }},
		{KindLease, "lease", s.leaseRecord},
		{KindVersion, "key", s.versionOfEtcd},
		{KindV2, treeBucket, s.treeRecord},
	} {
		if !s.Wants(b.kind) {
			continue
		}
		err := db.eachElement(b.name, func(e element) error {
			if err := s.step(); err != nil {
				return err
			}
			shownBefore := s.shown
			err := b.take(e.key, e.value)
			if err == nil || s.shown > shownBefore || errors.Is(err, ErrEnough) || errors.Is(err, errBehind) {
				return err
			}
			return db.damaged(e.offset, "record %q of bucket %q cannot be read: %v", cut(e.key), b.name, err)
		})
		if err != nil && !errors.Is(err, errBehind) {
			return err
		}
	}
	return nil
}

// errBehind ends a bucket behind the last revision that is wanted.
var errBehind = errors.New("exchange: behind what is wanted")

func (s *Shower) metaOfEtcd(key, value []byte) error {
	name, parse := string(key), parseU64
	switch name {
	case "consistent_index":
		name = "appliedIndex"
	case "term":
		name = "appliedTerm"
	case "scheduledCompactRev", "finishedCompactRev":
		name = "compactionScheduled"
		if key[0] == 'f' {
			name = "compactionFinished"
		}
		parse = func(b []byte) (uint64, error) {
			rev, err := parseMark(b)
			return uint64(rev), err
		}
	default:
		return s.marks(Mark{Name: name, Value: string(cut(value))})
	}
	n, err := parse(value)
	if err != nil {
		return err
	}
	return s.marks(Mark{Name: name, Value: n})
}

func (s *Shower) clusterOfEtcd(key, value []byte) error {
	if string(key) != "downgrade" {
		return s.marks(Mark{Name: string(key), Value: string(cut(value))})
	}
	var d downgrade
	if err := json.Unmarshal(value, &d); err != nil {
		return err
	}
	return s.marks(Mark{Name: "downgradeEnabled", Value: d.Enabled}, Mark{Name: "downgradeTarget", Value: d.Target})
}

func (s *Shower) authOfEtcd(key, value []byte) error {
	switch name := string(key); name {
	case "authEnabled":
		return s.marks(Mark{Name: name, Value: len(value) == 1 && value[0] == 1})
	case "authRevision":
		n, err := parseU64(value)
		if err != nil {
			return err
		}
		return s.marks(Mark{Name: name, Value: n})
	default:
		return s.marks(Mark{Name: name, Value: fmt.Sprintf("%x", cut(value))})
	}
}

func (s *Shower) memberOfEtcd(_, value []byte) error {
	m := ShownMember{Kind: KindMember}
	if err := json.Unmarshal(value, &m.Member); err != nil {
		return err
	}
	return s.Emit(m)
}

func (s *Shower) removedOfEtcd(key, _ []byte) error {
	id, err := strconv.ParseUint(string(key), 16, 64)
	if err != nil {
		return err
	}
	return s.Emit(ShownMember{Kind: KindMember, Removed: true, Member: cluster.Member{ID: id}})
}

func (s *Shower) alarmOfEtcd(key, _ []byte) error {
	a := new(pb.AlarmMember)
	if err := proto.Unmarshal(key, a); err != nil {
		return err
	}
	return s.Emit(ShownAlarm{KindAlarm, a.Alarm.String(), a.MemberID})
}

func (s *Shower) versionOfEtcd(key, value []byte) error {
	at, deleted, err := parseRecordKey(key)
	if err != nil {
		return err
	}
	if s.ToRevision > 0 && at.Main > s.ToRevision {
		return errBehind
	}
	change := ""
	if deleted {
		change = changeDeleted
	}
	return s.version(at, change, value)
}
