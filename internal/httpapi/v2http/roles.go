package v2http

import (
	"context"
	"net/http"
	"slices"

	"bowline/internal/v2"
)

func (a *API) rolesList(w http.ResponseWriter, r *http.Request) {
	a.administered(w, r, func() (int, any, error) {
		names, err := a.names(r.Context(), authRoles)
		if err != nil {
			return 0, nil, err
		}
		roles := []role{}
		for _, name := range unique(append(names, rootName)) {
			one, err := a.findRole(name)
			if err != nil {
				return 0, nil, err
			}
			if one != nil {
				roles = append(roles, *one)
			}
		}
		return http.StatusOK, map[string]any{"roles": roles}, nil
	})
}

func (a *API) role(w http.ResponseWriter, r *http.Request) {
	name := nameOf(r)
	a.administered(w, r, func() (int, any, error) {
		switch r.Method {
		case http.MethodPut:
			in := new(role)
			if err := readJSON(w, r, in); err != nil {
				return 0, nil, err
			}
			if in.Role != name {
				return 0, nil, refuse(http.StatusBadRequest, "Role JSON name does not match the name in the URL")
			}
			return a.putRole(r.Context(), in)
		case http.MethodDelete:
			return http.StatusOK, nil, a.deleteRole(r.Context(), name)
		}
		found, err := a.newestRole(r.Context(), name)
		return http.StatusOK, found, err
	})
}

// newestRole is the role as it is in the cluster.
func (a *API) newestRole(ctx context.Context, name string) (*role, error) {
	if err := a.Member.Current(ctx); err != nil {
		return nil, err
	}
	found, err := a.findRole(name)
	if found == nil && err == nil {
		err = wrong(http.StatusNotFound, "Role %s does not exist.", name)
	}
	return found, err
}

func (a *API) putRole(ctx context.Context, in *role) (status int, body any, err error) {
	if in.Grant.empty() && in.Revoke.empty() {
		if err := a.createRole(ctx, in); err != nil {
			return 0, nil, err
		}
		return http.StatusCreated, in, nil
	}
	if !in.Permissions.empty() {
		return 0, nil, refuse(http.StatusBadRequest, "Role JSON contains both permissions and grant/revoke")
	}
	next, err := a.updateRole(ctx, in)
	return http.StatusOK, next, err
}

func notRoot(name string) error {
	if name == rootName {
		return wrong(http.StatusForbidden, "Cannot modify role %s: is root role.", name)
	}
	return nil
}

func (a *API) createRole(ctx context.Context, in *role) error {
	if err := notRoot(in.Role); err != nil {
		return err
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	err := a.put(ctx, authRoles+in.Role, false, in)
	if codeOf(err) == v2.CodeExists {
		err = wrong(http.StatusConflict, "Role %s already exists.", in.Role)
	}
	return err
}

func (a *API) updateRole(ctx context.Context, in *role) (*role, error) {
	if err := notRoot(in.Role); err != nil {
		return nil, err
	}
	old, err := a.newestRole(ctx, in.Role)
	if err != nil {
		return nil, err
	}
	next := &role{Role: old.Role}
	was, is := &old.Permissions.KV, &next.Permissions.KV
	if is.Read, err = granted(was.Read, in.Grant.read(), "read"); err != nil {
		return nil, err
	}
	if is.Write, err = granted(was.Write, in.Grant.write(), "write"); err != nil {
		return nil, err
	}
	is.Read, is.Write = revoked(is.Read, in.Revoke.read()), revoked(is.Write, in.Revoke.write())
	// Lists that were null and are empty now count as a change, as in etcd.
	if was.Read != nil && was.Write != nil && slices.Equal(was.Read, is.Read) && slices.Equal(was.Write, is.Write) &&
		old.Grant == nil && old.Revoke == nil {
		return nil, wrong(http.StatusBadRequest, "Role not updated. Use grant/revoke to update the role.")
	}
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	return next, a.put(ctx, authRoles+in.Role, true, next)
}

func (p *permissions) read() []string {
	if p == nil {
		return nil
	}
	return p.KV.Read
}

func (p *permissions) write() []string {
	if p == nil {
		return nil
	}
	return p.KV.Write
}

// granted is a list with more, which must not be in it.
func granted(list, more []string, what string) ([]string, error) {
	out := append([]string{}, list...)
	for _, p := range more {
		if slices.Contains(out, p) {
			return nil, wrong(http.StatusConflict, "Granting duplicate %s permission %s", what, p)
		}
		out = append(out, p)
	}
	return unique(out), nil
}

// revoked is a list without some, whether they are in it or not.
func revoked(list, less []string) []string {
	return slices.DeleteFunc(list, func(p string) bool { return slices.Contains(less, p) })
}

func (a *API) deleteRole(ctx context.Context, name string) error {
	if err := notRoot(name); err != nil {
		return err
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	err := a.drop(ctx, authRoles+name)
	if codeOf(err) == v2.CodeNotFound {
		err = wrong(http.StatusNotFound, "Role %s doesn't exist.", name)
	}
	return err
}
