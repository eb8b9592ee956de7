package auth

import "errors"

// Refusals. Their texts reach clients; package rpc maps each to its code.
var (
	ErrRootUserMissing      = errors.New("etcdserver: root user does not exist")
	ErrRootRoleMissing      = errors.New("etcdserver: root user does not have root role")
	ErrUserExists           = errors.New("etcdserver: user name already exists")
	ErrUserEmpty            = errors.New("etcdserver: user name is empty")
	ErrUserNotFound         = errors.New("etcdserver: user name not found")
	ErrRoleExists           = errors.New("etcdserver: role name already exists")
	ErrRoleNotFound         = errors.New("etcdserver: role name not found")
	ErrRoleEmpty            = errors.New("etcdserver: role name is empty")
	ErrFailed               = errors.New("etcdserver: authentication failed, invalid user ID or password")
	ErrNoPassword           = errors.New("auth: authentication failed, password was given for no password user")
	ErrPermissionNotGiven   = errors.New("etcdserver: permission not given")
	ErrDenied               = errors.New("etcdserver: permission denied")
	ErrRoleNotGranted       = errors.New("etcdserver: role is not granted to the user")
	ErrPermissionNotGranted = errors.New("etcdserver: permission is not granted to the role")
	ErrNotEnabled           = errors.New("etcdserver: authentication is not enabled")
	ErrOldRevision          = errors.New("etcdserver: revision of auth store is old")
	ErrInvalidToken         = errors.New("etcdserver: invalid auth token")
	ErrInvalidManagement    = errors.New("etcdserver: invalid auth management")
	ErrPasswordTooLong      = errors.New("bcrypt: password length exceeds 72 bytes")
	ErrBusy                 = errors.New("etcdserver: too many requests")
)

// Faults of the settings of tokens, and of signing them.
var (
	ErrOptions     = errors.New("auth: invalid auth options")
	ErrMissingKey  = errors.New("auth: missing key data")
	ErrKeyMismatch = errors.New("auth: public and private keys don't match")
	ErrVerifyOnly  = errors.New("auth: token signing attempted with verify-only key")
)

// Refused tells that err is a refusal that Rules have made, the same on every
// member.
func Refused(err error) bool {
	for _, r := range []error{
		ErrRootUserMissing, ErrRootRoleMissing, ErrUserExists, ErrUserEmpty, ErrUserNotFound, ErrRoleExists, ErrRoleNotFound,
		ErrRoleEmpty, ErrFailed, ErrNoPassword, ErrPermissionNotGiven, ErrDenied, ErrRoleNotGranted, ErrPermissionNotGranted,
		ErrNotEnabled, ErrOldRevision, ErrInvalidManagement,
	} {
		if errors.Is(err, r) {
			return true
		}
	}
	return false
}
