package fsm

import (
	"fmt"
	"strings"
	"time"

	"bowline/internal/auth"
	"bowline/internal/cluster"
	"bowline/internal/mvcc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/zap"
)

// The lines of the log about what was applied have etcd's texts and fields: people, and
// programs, search for them.

// who begins the fields of lines about the cluster.
func (f *FSM) who() []zap.Field {
	return []zap.Field{idField("cluster-id", f.cfg.ClusterID), idField("local-member-id", f.cfg.MemberID)}
}

func idField(name string, id uint64) zap.Field { return zap.String(name, fmt.Sprintf("%x", id)) }

// tellMember tells what has become of a member; nil is none.
func (f *FSM) tellMember(before, now *cluster.Member) {
	switch log := f.cfg.Logger.With(f.who()...); {
	case before == nil && now == nil:
	case now == nil:
		log.Info("removed member", idField("removed-remote-peer-id", before.ID),
			zap.Strings("removed-remote-peer-urls", before.PeerURLs), zap.Bool("removed-remote-peer-is-learner", before.IsLearner))
	case before == nil:
		log.Info("added member", idField("added-peer-id", now.ID),
			zap.Strings("added-peer-peer-urls", now.PeerURLs), zap.Bool("added-peer-is-learner", now.IsLearner))
	case before.IsLearner && !now.IsLearner:
		log.Info("promote member", idField("promoted-member-id", now.ID))
	default:
		log.Info("updated member", idField("updated-remote-peer-id", now.ID),
			zap.Strings("updated-remote-peer-urls", now.PeerURLs), zap.Bool("updated-remote-peer-is-learner", now.IsLearner))
	}
}

// tellVersion tells of the cluster version, which is empty before the first one.
func (f *FSM) tellVersion(before, now string) {
	log, shown := f.cfg.Logger, ShortVersion(now)
	if before == "" {
		log.Info("set initial cluster version", append(f.who(), zap.String("cluster-version", shown))...)
	} else {
		log.Info("updated cluster version", append(f.who(), zap.String("from", ShortVersion(before)), zap.String("to", shown))...)
	}
	if before != now {
		log.Info("enabled capabilities for version", zap.String("cluster-version", shown))
	}
}

// ShortVersion is a version without its patch, as etcd shows that of a cluster.
func ShortVersion(v string) string {
	if parts := strings.SplitN(v, ".", 3); len(parts) == 3 {
		return parts[0] + "." + parts[1]
	}
	return v
}

// tellCompaction tells of the end of a compaction, with its hash if one was taken.
func (f *FSM) tellCompaction(removed int, took time.Duration, h mvcc.Hash, taken bool) {
	fields := []zap.Field{zap.Int64("compact-revision", f.store.CompactionFinished()), zap.Duration("took", took),
		zap.Int("number-of-keys-compacted", removed)}
	if taken {
		fields = append(fields, zap.Uint32("hash", h.Sum))
	}
	f.cfg.Logger.Info("finished scheduled compaction", append(fields, f.engine.Size().Fields()...)...)
}

// whatOfRules are the fields about a request that has changed the rules.
func whatOfRules(req *pb.InternalRaftRequest, before, now *auth.Rules) []zap.Field {
	user := func(r *auth.Rules, name string) []string {
		if u := r.User(name); u != nil {
			return u.GetRoles()
		}
		return nil
	}
	switch {
	case req.AuthUserAdd != nil:
		return []zap.Field{zap.String("user-name", req.AuthUserAdd.GetName())}
	case req.AuthUserDelete != nil:
		name := req.AuthUserDelete.GetName()
		return []zap.Field{zap.String("user-name", name), zap.Strings("user-roles", user(before, name))}
	case req.AuthUserChangePassword != nil:
		name := req.AuthUserChangePassword.GetName()
		return []zap.Field{zap.String("user-name", name), zap.Strings("user-roles", user(now, name))}
	case req.AuthUserGrantRole != nil:
		name := req.AuthUserGrantRole.GetUser()
		return []zap.Field{zap.String("user-name", name), zap.Strings("user-roles", user(now, name)),
			zap.String("added-role-name", req.AuthUserGrantRole.GetRole())}
	case req.AuthUserRevokeRole != nil:
		name := req.AuthUserRevokeRole.GetName()
		return []zap.Field{zap.String("user-name", name), zap.Strings("old-user-roles", user(before, name)),
			zap.Strings("new-user-roles", user(now, name)), zap.String("revoked-role-name", req.AuthUserRevokeRole.GetRole())}
	case req.AuthRoleAdd != nil:
		return []zap.Field{zap.String("role-name", req.AuthRoleAdd.GetName())}
	case req.AuthRoleDelete != nil:
		return []zap.Field{zap.String("role-name", req.AuthRoleDelete.GetRole())}
	case req.AuthRoleGrantPermission != nil: // it is the role's name, whatever the field is called
		p := req.AuthRoleGrantPermission.GetPerm()
		return []zap.Field{zap.String("user-name", req.AuthRoleGrantPermission.GetName()), zap.String("permission-name", p.GetPermType().String()),
			zap.ByteString("key", p.GetKey()), zap.ByteString("range-end", p.GetRangeEnd())}
	case req.AuthRoleRevokePermission != nil:
		r := req.AuthRoleRevokePermission
		return []zap.Field{zap.String("role-name", r.GetRole()), zap.ByteString("key", r.GetKey()), zap.ByteString("range-end", r.GetRangeEnd())}
	}
	return nil
}
