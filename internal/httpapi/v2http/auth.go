package v2http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"bowline/internal/v2"
	"bowline/internal/wire"
)

// Where users and roles are in the tree.
const (
	authUsers   = v2.AuthPrefix + "/users/"
	authRoles   = v2.AuthPrefix + "/roles/"
	authEnabled = v2.EnabledPath
)

// user is a user as he is stored and sent; Grant and Revoke are of requests alone.
type user struct {
	User     string   `json:"user"`
	Password string   `json:"password,omitempty"`
	Roles    []string `json:"roles"`
	Grant    []string `json:"grant,omitempty"`
	Revoke   []string `json:"revoke,omitempty"`
}

func (u *user) attachRoot() {
	if !slices.Contains(u.Roles, rootName) {
		u.Roles = append(u.Roles, rootName)
	}
}

// role is a role as it is stored and sent.
type role struct {
	Role        string       `json:"role"`
	Permissions permissions  `json:"permissions"`
	Grant       *permissions `json:"grant,omitempty"`
	Revoke      *permissions `json:"revoke,omitempty"`
}

type permissions struct {
	KV rights `json:"kv"`
}

type rights struct {
	Read  []string `json:"read"`
	Write []string `json:"write"`
}

func (p *permissions) empty() bool { return p == nil || len(p.KV.Read) == 0 && len(p.KV.Write) == 0 }

// wrong is a refusal as users of the authentication know it.
func wrong(status int, format string, args ...any) error {
	return refuse(status, "auth: "+fmt.Sprintf(format, args...))
}

// administered answers a request that only root may make, if it is root's: serve
// returns what to answer, nil for nothing.
func (a *API) administered(w http.ResponseWriter, r *http.Request, serve func() (status int, body any, err error)) {
	if ok, err := a.mayAdminister(r); !ok || err != nil {
		a.unauthorized(w, err)
		return
	}
	a.identify(w)
	status, body, err := serve()
	switch {
	case err != nil:
		a.refuse(w, err)
	case body == nil:
		w.Header().Set("Content-Type", contentJSON)
		w.WriteHeader(status)
	default:
		answer(w, status, body)
	}
}

func (a *API) invalidPath(w http.ResponseWriter, _ *http.Request) {
	a.refuse(w, refuse(http.StatusBadRequest, "Invalid path"))
}

// authEnable serves the switch.
func (a *API) authEnable(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		a.identify(w)
		answer(w, http.StatusOK, map[string]bool{"enabled": a.guarded()})
		return
	}
	a.administered(w, r, func() (int, any, error) {
		if r.Method == http.MethodPut {
			return http.StatusOK, nil, a.enable(r.Context())
		}
		if !a.guarded() {
			return 0, nil, wrong(http.StatusConflict, "already disabled")
		}
		return http.StatusOK, nil, a.put(r.Context(), authEnabled, true, false)
	})
}

func (a *API) enable(ctx context.Context) error {
	if a.guarded() {
		return wrong(http.StatusConflict, "already enabled")
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	switch root, err := a.findUser(rootName); {
	case err != nil:
		return err
	case root == nil:
		return wrong(http.StatusConflict, "No root user available, please create one")
	}
	guest, err := a.findRole(guestName)
	if guest == nil && err == nil {
		all := rights{[]string{"/*"}, []string{"/*"}}
		err = a.put(ctx, authRoles+guestName, false, role{Role: guestName, Permissions: permissions{all}})
	}
	if err != nil {
		return err
	}
	return a.put(ctx, authEnabled, true, true)
}

// prepare makes the directories that users and roles are in, if they are not there, and
// makes sure that what is read afterwards is the newest.
func (a *API) prepare(ctx context.Context) error {
	if err := a.Member.Current(ctx); err != nil {
		return err
	}
	n, err := a.Member.Tree().Get(authEnabled)
	if n != nil || err != nil {
		return err
	}
	for _, dir := range []string{v2.AuthPrefix, path.Clean(authUsers), path.Clean(authRoles)} {
		if err := a.create(ctx, wire.V2Request{Path: dir, Dir: true}); err != nil {
			return err
		}
	}
	return a.create(ctx, wire.V2Request{Path: authEnabled, Value: "false"})
}

// create makes a node unless it is there.
func (a *API) create(ctx context.Context, req wire.V2Request) error {
	exists := false
	req.Method, req.PrevExist, req.Time = wire.V2Put, &exists, now()
	_, err := a.Member.Change(ctx, req)
	if codeOf(err) == v2.CodeExists {
		return nil
	}
	return err
}

// codeOf is the code of an error of the tree, 0 for others.
func codeOf(err error) int {
	var e *v2.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// put stores a value, which must be there already, or must not.
func (a *API) put(ctx context.Context, name string, exists bool, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = a.Member.Change(ctx, wire.V2Request{Method: wire.V2Put, Path: name, Value: string(value), PrevExist: &exists, Time: now()})
	return err
}

func (a *API) drop(ctx context.Context, name string) error {
	_, err := a.Member.Change(ctx, wire.V2Request{Method: wire.V2Delete, Path: name, Time: now()})
	return err
}

// names are the names of all users, or of all roles, in order.
func (a *API) names(ctx context.Context, dir string) ([]string, error) {
	if err := a.Member.Current(ctx); err != nil {
		return nil, err
	}
	read, err := a.Member.Tree().Read(path.Clean(dir), false, now())
	if codeOf(err) == v2.CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer read.Close()
	var names []string
	err = read.Each(func(n *v2.Node) error {
		names = append(names, path.Base(n.Path))
		return nil
	})
	return names, err
}

// readJSON reads the first JSON value of a body.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(into) != nil {
		return refuse(http.StatusBadRequest, "Invalid JSON in request body.")
	}
	return nil
}

// nameOf is the user or the role that a path names.
func nameOf(r *http.Request) string { return path.Base(strings.TrimSuffix(r.URL.Path, "/")) }
