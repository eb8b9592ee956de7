package v2http

import (
	"context"
	"net/http"
	"slices"

	"bowline/internal/v2"
)

// shownUser is a user with his roles' permissions.
type shownUser struct {
	User  string `json:"user"`
	Roles []role `json:"roles,omitempty"`
}

func (a *API) usersList(w http.ResponseWriter, r *http.Request) {
	a.administered(w, r, func() (int, any, error) {
		names, err := a.names(r.Context(), authUsers)
		if err != nil {
			return 0, nil, err
		}
		var users []shownUser
		for _, name := range names {
			u, err := a.findUser(name)
			if err != nil {
				return 0, nil, err
			}
			if u == nil {
				continue // deleted meanwhile
			}
			s, _, err := a.showUser(u)
			if err != nil {
				return 0, nil, err
			}
			users = append(users, s)
		}
		return http.StatusOK, map[string]any{"users": users}, nil
	})
}

// showUser adds what his roles are; missing is the first that there is not.
func (a *API) showUser(u *user) (s shownUser, missing string, err error) {
	s.User = u.User
	for _, name := range u.Roles {
		r, err := a.findRole(name)
		switch {
		case err != nil:
			return s, "", err
		case r != nil:
			s.Roles = append(s.Roles, *r)
		case missing == "":
			missing = name
		}
	}
	return s, missing, nil
}

func (a *API) user(w http.ResponseWriter, r *http.Request) {
	name := nameOf(r)
	a.administered(w, r, func() (int, any, error) {
		switch r.Method {
		case http.MethodPut:
			u := new(user)
			if err := readJSON(w, r, u); err != nil {
				return 0, nil, err
			}
			if u.User != name {
				return 0, nil, refuse(http.StatusBadRequest, "User JSON name does not match the name in the URL")
			}
			return a.putUser(r.Context(), u)
		case http.MethodDelete:
			return http.StatusOK, nil, a.deleteUser(r.Context(), name)
		}
		return a.getUser(r.Context(), name)
	})
}

func (a *API) getUser(ctx context.Context, name string) (int, any, error) {
	if err := a.Member.Current(ctx); err != nil {
		return 0, nil, err
	}
	u, err := a.findUser(name)
	switch {
	case err != nil:
		return 0, nil, err
	case u == nil:
		return 0, nil, wrong(http.StatusNotFound, "User %s does not exist.", name)
	}
	s, missing, err := a.showUser(u)
	if err == nil && missing != "" {
		err = wrong(http.StatusNotFound, "Role %s does not exist.", missing)
	}
	return http.StatusOK, s, err
}

func (a *API) putUser(ctx context.Context, u *user) (status int, body any, err error) {
	changes := len(u.Grant) > 0 || len(u.Revoke) > 0
	if changes && len(u.Roles) > 0 {
		return 0, nil, refuse(http.StatusBadRequest, "User JSON contains both roles and grant/revoke")
	}
	if err := a.Member.Current(ctx); err != nil {
		return 0, nil, err
	}
	old, err := a.findUser(u.User)
	if err != nil {
		return 0, nil, err
	}
	var next *user
	status = http.StatusOK
	switch {
	case changes || len(u.Roles) == 0 && old != nil:
		next, err = a.updateUser(ctx, old, u)
	default:
		if len(u.Roles) == 0 {
			status = http.StatusCreated
		}
		next, err = a.createUser(ctx, u)
	}
	if err != nil {
		return 0, nil, err
	}
	return status, user{User: next.User, Roles: next.Roles}, nil
}

func (a *API) createUser(ctx context.Context, u *user) (*user, error) {
	next := &user{User: u.User, Roles: u.Roles}
	if u.User == rootName {
		next.attachRoot()
	}
	if u.Password == "" {
		return nil, wrong(http.StatusBadRequest, "Cannot create user %s with an empty password", u.User)
	}
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	hash, err := a.passwords.Hash(ctx, u.Password)
	if err != nil {
		return nil, err
	}
	next.Password = string(hash)
	err = a.put(ctx, authUsers+u.User, false, next)
	if codeOf(err) == v2.CodeExists {
		err = wrong(http.StatusConflict, "User %s already exists.", u.User)
	}
	return next, err
}

func (a *API) updateUser(ctx context.Context, old, u *user) (*user, error) {
	if old == nil {
		return nil, wrong(http.StatusNotFound, "User %s does not exist.", u.User)
	}
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	next := &user{User: old.User, Password: old.Password, Roles: append([]string{}, old.Roles...)}
	for _, name := range u.Grant {
		if slices.Contains(next.Roles, name) {
			return nil, wrong(http.StatusConflict, "Granting duplicate role %s for user %s", name, u.User)
		}
		next.Roles = append(next.Roles, name)
	}
	for _, name := range u.Revoke {
		i := slices.Index(next.Roles, name)
		if i < 0 {
			return nil, wrong(http.StatusConflict, "Revoking ungranted role %s for user %s", name, u.User)
		}
		next.Roles = slices.Delete(next.Roles, i, i+1)
	}
	next.Roles = unique(next.Roles)
	// A list that was null and is empty now counts as a change, as in etcd.
	if u.Password == "" && old.Roles != nil && slices.Equal(old.Roles, next.Roles) {
		return nil, wrong(http.StatusBadRequest, "User not updated. Use grant/revoke/password to update the user.")
	}
	if u.Password != "" {
		hash, err := a.passwords.Hash(ctx, u.Password)
		if err != nil {
			return nil, err
		}
		next.Password = string(hash)
	}
	return next, a.put(ctx, authUsers+u.User, true, next)
}

// unique sorts names and leaves out what comes twice.
func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

func (a *API) deleteUser(ctx context.Context, name string) error {
	if a.guarded() && name == rootName {
		return wrong(http.StatusForbidden, "Cannot delete root user while auth is enabled.")
	}
	if err := a.prepare(ctx); err != nil {
		return err
	}
	err := a.drop(ctx, authUsers+name)
	if codeOf(err) == v2.CodeNotFound {
		err = wrong(http.StatusNotFound, "User %s does not exist", name)
	}
	return err
}
