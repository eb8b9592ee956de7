package ctlv2

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func userCommands() command {
	roles := []option{opt("roles", listOption, "", "a role; may be given several times")}
	return command{name: "user", usage: "add, change and remove users", parts: []command{
		{name: "add", args: "<user[:password]>", usage: "add a user", run: userAdd},
		{name: "get", args: "<user>", usage: "show a user", run: userGet},
		{name: "list", usage: "list the users", run: userList},
		{name: "remove", args: "<user>", usage: "remove a user", run: userRemove},
		{name: "grant", args: "<user>", usage: "give roles to a user", run: userGrant, options: roles},
		{name: "revoke", args: "<user>", usage: "take roles from a user", run: userRevoke, options: roles},
		{name: "passwd", args: "<user>", usage: "change a user's password", run: userPassword},
	}}
}

// user is a user as requests have him.
type user struct {
	User     string   `json:"user"`
	Password string   `json:"password,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	Grant    []string `json:"grant,omitempty"`
	Revoke   []string `json:"revoke,omitempty"`
}

// named is a name, or an object that has one.
type named struct{ name string }

func (n *named) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &n.name) == nil {
		return nil
	}
	var v struct{ User, Role string }
	err := json.Unmarshal(b, &v)
	n.name = v.User + v.Role
	return err
}

// about connects for a command about one user or role.
func (s *session) about(args []string, what string) (*client, string, error) {
	if len(args) == 0 {
		return nil, "", bareText("Please provide a " + what)
	}
	c, err := s.connect()
	return c, args[0], err
}

func userPath(name string) string { return "/v2/auth/users/" + url.PathEscape(name) }

func userAdd(s *session, args []string) error {
	c, name, err := s.about(args, "username")
	if err != nil {
		return err
	}
	name, password, given := strings.Cut(name, ":")
	if !given {
		if password, err = s.env.password("New password: "); err != nil {
			return bare(err)
		}
	}
	if err := c.json(http.MethodPut, userPath(name), user{User: name, Password: password}, nil); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "User %s created\n", name)
	return nil
}

func userGet(s *session, args []string) error {
	c, name, err := s.about(args, "username")
	if err != nil {
		return err
	}
	var u struct {
		User  string
		Roles []named
	}
	if err := c.json(http.MethodGet, userPath(name), nil, &u); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "User: %s\nRoles: %s\n", u.User, strings.Join(names(u.Roles), " "))
	return nil
}

func names(list []named) (out []string) {
	for _, n := range list {
		out = append(out, n.name)
	}
	return out
}

func userList(s *session, args []string) error {
	return s.listNames(args, "/v2/auth/users")
}

func (s *session) listNames(args []string, path string) error {
	if len(args) > 0 {
		return bareText("No arguments accepted")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	var list struct{ Users, Roles []named }
	if err := c.json(http.MethodGet, path, nil, &list); err != nil {
		return bare(err)
	}
	for _, name := range names(slices.Concat(list.Users, list.Roles)) {
		fmt.Fprintln(s.env.Out, name)
	}
	return nil
}

func userRemove(s *session, args []string) error {
	c, name, err := s.about(args, "username")
	if err != nil {
		return err
	}
	if err := c.json(http.MethodDelete, userPath(name), nil, nil); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "User %s removed\n", name)
	return nil
}

func userGrant(s *session, args []string) error {
	return s.changeUser(args, func(u *user) { u.Grant = s.options["roles"] })
}

func userRevoke(s *session, args []string) error {
	return s.changeUser(args, func(u *user) { u.Revoke = s.options["roles"] })
}

func (s *session) changeUser(args []string, change func(*user)) error {
	if len(args) > 0 && !s.options.has("roles") {
		return bareText("No roles specified; please use `--roles`")
	}
	c, name, err := s.about(args, "username")
	if err != nil {
		return err
	}
	u := user{User: name}
	change(&u)
	if err := c.json(http.MethodPut, userPath(name), u, nil); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "User %s updated\n", name)
	return nil
}

func userPassword(s *session, args []string) error {
	c, name, err := s.about(args, "username")
	if err != nil {
		return err
	}
	// A request with a password makes a user who does not exist.
	if err := c.json(http.MethodGet, userPath(name), nil, nil); err != nil {
		return bare(err)
	}
	password, err := s.env.password("New password: ")
	if err == nil {
		err = c.json(http.MethodPut, userPath(name), user{User: name, Password: password}, nil)
	}
	if err != nil {
		return bare(err)
	}
	fmt.Fprintln(s.env.Out, "Password updated")
	return nil
}

func authCommands() command {
	return command{name: "auth", usage: "switch access control on and off", parts: []command{
		{name: "enable", usage: "switch it on", run: func(s *session, args []string) error {
			return s.switchAuth(args, http.MethodPut, "Authentication Enabled")
		}},
		{name: "disable", usage: "switch it off", run: func(s *session, args []string) error {
			return s.switchAuth(args, http.MethodDelete, "Authentication Disabled")
		}},
	}}
}

func (s *session) switchAuth(args []string, method, done string) error {
	if len(args) > 0 {
		return bareText("No arguments accepted")
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	if err := c.json(method, "/v2/auth/enable", nil, nil); err != nil {
		return bare(err)
	}
	fmt.Fprintln(s.env.Out, done)
	return nil
}
