package rpc

import (
	"context"
	"errors"

	"bowline/internal/admission"
	access "bowline/internal/auth"
	"bowline/internal/cluster"
	"bowline/internal/fsm"
	"bowline/internal/lease"
	"bowline/internal/mvcc"
	"bowline/internal/server"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errorCodes is the table of every refusal that a client can see with the code it
// travels under. Texts stand beside the values. Where etcd's wire code differs
// from the one its documentation names, the wire wins.
var errorCodes = []struct {
	err  error
	code codes.Code
}{
	{server.ErrEmptyKey, codes.InvalidArgument},
	{server.ErrKeyNotFound, codes.InvalidArgument},
	{mvcc.ErrKeyNotFound, codes.InvalidArgument},
	{server.ErrValueProvided, codes.InvalidArgument},
	{server.ErrLeaseProvided, codes.InvalidArgument},
	{server.ErrTooManyOps, codes.InvalidArgument},
	{server.ErrDuplicateKey, codes.InvalidArgument},
	{server.ErrInvalidSort, codes.InvalidArgument},
	{server.ErrRequestTooLarge, codes.InvalidArgument},
	{server.ErrTooManyRequests, codes.Unknown},
	{mvcc.ErrCompacted, codes.OutOfRange},
	{mvcc.ErrFutureRevision, codes.OutOfRange},
	{mvcc.ErrLeaseNotFound, codes.NotFound},
	{mvcc.ErrAnswerTooLarge, codes.ResourceExhausted},
	{lease.ErrNotFound, codes.NotFound},
	{lease.ErrExists, codes.FailedPrecondition},
	{lease.ErrTTLTooLarge, codes.OutOfRange},
	{lease.ErrNotPrimary, codes.Unknown},
	{fsm.ErrNoSpace, codes.ResourceExhausted},
	{fsm.ErrCorrupt, codes.DataLoss},
	{access.ErrRootUserMissing, codes.FailedPrecondition},
	{access.ErrRootRoleMissing, codes.FailedPrecondition},
	{access.ErrUserExists, codes.FailedPrecondition},
	{access.ErrUserEmpty, codes.InvalidArgument},
	{access.ErrUserNotFound, codes.FailedPrecondition},
	{access.ErrRoleExists, codes.FailedPrecondition},
	{access.ErrRoleNotFound, codes.FailedPrecondition},
	{access.ErrRoleEmpty, codes.InvalidArgument},
	{access.ErrFailed, codes.InvalidArgument},
	{access.ErrNoPassword, codes.Unknown},
	{access.ErrPermissionNotGiven, codes.InvalidArgument},
	{access.ErrDenied, codes.PermissionDenied},
	{access.ErrRoleNotGranted, codes.FailedPrecondition},
	{access.ErrPermissionNotGranted, codes.FailedPrecondition},
	{access.ErrNotEnabled, codes.FailedPrecondition},
	{access.ErrOldRevision, codes.InvalidArgument},
	{access.ErrInvalidToken, codes.Unauthenticated},
	{access.ErrInvalidManagement, codes.InvalidArgument},
	{access.ErrPasswordTooLong, codes.Unknown},
	{access.ErrVerifyOnly, codes.Unknown},
	{access.ErrBusy, codes.Unknown},
	{admission.ErrMemoryShort, codes.ResourceExhausted},
	{admission.ErrTooManyRequests, codes.ResourceExhausted},
	{admission.ErrTooManyBytes, codes.ResourceExhausted},
	{fsm.ErrUnsupported, codes.Unimplemented},
	{server.ErrNoLeader, codes.Unavailable},
	{server.ErrNotLeader, codes.FailedPrecondition},
	{server.ErrLeaderChanged, codes.Unavailable},
	{server.ErrStopped, codes.Unavailable},
	{server.ErrTimeout, codes.Unavailable},
	{server.ErrTimeoutLeader, codes.Unavailable},
	{server.ErrTimeoutApplied, codes.Unavailable},
	{server.ErrBadTransferee, codes.FailedPrecondition},
	{server.ErrBadVersion, codes.InvalidArgument},
	{server.ErrInvalidTarget, codes.InvalidArgument},
	{server.ErrDowngraded, codes.FailedPrecondition},
	{server.ErrNoVersion, codes.FailedPrecondition},
	{server.ErrUnknownMethod, codes.Unknown},
	{server.ErrBadAlarmAction, codes.InvalidArgument},
	{fsm.ErrUnknownAction, codes.InvalidArgument},
	{server.ErrMemberNotFound, codes.NotFound},
	{server.ErrNotLearner, codes.FailedPrecondition},
	{server.ErrBadMemberURLs, codes.InvalidArgument},
	{server.ErrPeerURLExists, codes.FailedPrecondition},
	{server.ErrMemberExists, codes.FailedPrecondition},
	{server.ErrTooManyLearners, codes.FailedPrecondition},
	{server.ErrLearnerNotReady, codes.FailedPrecondition},
	{server.ErrTimeoutTransfer, codes.Unknown},
	{server.ErrTimeoutLost, codes.Unavailable},
	{cluster.ErrNotEnoughStarted, codes.Unknown},
	{cluster.ErrUnhealthy, codes.Unavailable},
	{server.ErrStreamSort, codes.Unimplemented},
	{server.ErrStreamFilters, codes.Unimplemented},
	{context.Canceled, codes.Canceled},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
}

// toStatus is the error that a client gets for err.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	for _, row := range errorCodes {
		if errors.Is(err, row.err) {
			return status.Error(row.code, err.Error())
		}
	}
	return status.Error(codes.Unknown, err.Error())
}
