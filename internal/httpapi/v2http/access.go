package v2http

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/authpb"
)

// Names that mean something by themselves.
const (
	rootName  = "root"
	guestName = "guest"
)

// guarded tells whether access is controlled. It, and all that decides about access,
// is what this member knows.
func (a *API) guarded() bool { return a.Member.Tree().Guarded() }

// caller is the user who makes a request; nil if there is none, or he has not proved
// it. named tells whether he has shown anything.
func (a *API) caller(r *http.Request) (u *user, named bool, err error) {
	if r.Header.Get("Authorization") == "" {
		u, err = a.certified(r)
		return u, u != nil, err
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return nil, true, nil
	}
	u, err = a.findUser(name)
	if u == nil || err != nil {
		return nil, true, err
	}
	if a.passwords.Verify(r.Context(), &authpb.User{Name: []byte(name), Password: []byte(u.Password)}, password) != nil {
		return nil, true, nil
	}
	return u, true, nil
}

// certified is the user whom the caller's certificate names, if that counts.
func (a *API) certified(r *http.Request) (*user, error) {
	if !a.CertificateNames || r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return nil, nil
	}
	return a.findUser(r.TLS.VerifiedChains[0][0].Subject.CommonName)
}

// mayAdminister tells whether the caller has the rights of root.
func (a *API) mayAdminister(r *http.Request) (bool, error) {
	if !a.guarded() {
		return true, nil
	}
	u, _, err := a.caller(r)
	return u != nil && slices.Contains(u.Roles, rootName), err
}

// unauthorized answers who may not, or that it cannot be told.
func (a *API) unauthorized(w http.ResponseWriter, err error) {
	if err == nil {
		err = refuse(http.StatusUnauthorized, "Insufficient credentials")
	}
	a.refuse(w, err)
}

// mayUseKey tells whether the caller may do to a key what he asks for.
func (a *API) mayUseKey(r *http.Request, key string, recursive bool) (bool, error) {
	if !a.guarded() {
		return true, nil
	}
	u, named, err := a.caller(r)
	if err != nil {
		return false, err
	}
	roles := []string{guestName}
	switch {
	case u != nil:
		roles = u.Roles
	case named:
		return false, nil
	default:
		recursive = false // as in etcd, of guests no more is asked
	}
	write := r.Method != http.MethodGet && r.Method != http.MethodHead
	for _, name := range roles {
		role, err := a.findRole(name)
		if err != nil {
			return false, err
		}
		if role != nil && role.allows(key, write, recursive) {
			return true, nil
		}
	}
	return false, nil
}

func (r *role) allows(key string, write, recursive bool) bool {
	if r.Role == rootName {
		return true
	}
	patterns := r.Permissions.KV.Read
	if write {
		patterns = r.Permissions.KV.Write
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		if prefix, any := strings.CutSuffix(p, "*"); any {
			return strings.HasPrefix(key, prefix)
		}
		return p != "" && !recursive && p == key
	})
}

// findUser returns a user, nil if there is none.
func (a *API) findUser(name string) (*user, error) {
	u := new(user)
	if found, err := a.find(authUsers+name, u); !found || err != nil {
		return nil, err
	}
	if u.User == rootName {
		u.attachRoot()
	}
	return u, nil
}

// findRole returns a role, nil if there is none.
func (a *API) findRole(name string) (*role, error) {
	if name == rootName {
		return &role{Role: rootName, Permissions: permissions{rights{[]string{"/*"}, []string{"/*"}}}}, nil
	}
	r := new(role)
	if found, err := a.find(authRoles+name, r); !found || err != nil {
		return nil, err
	}
	return r, nil
}

func (a *API) find(path string, into any) (bool, error) {
	n, err := a.Member.Tree().Get(path)
	if n == nil || n.Dir || err != nil {
		return false, err
	}
	return true, json.Unmarshal([]byte(n.Value), into)
}
