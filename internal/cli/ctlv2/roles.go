package ctlv2

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

func roleCommands() command {
	rights := []option{
		opt("path", textOption, "", "the keys: a path, with a * at the end for all that begin so"),
		opt("read", flagOption, "", "to read"), opt("write", flagOption, "", "to write"), opt("readwrite,rw", flagOption, "", "both"),
	}
	return command{name: "role", usage: "add, change and remove roles", parts: []command{
		{name: "add", args: "<role>", usage: "add a role", run: roleAdd},
		{name: "get", args: "<role>", usage: "show a role", run: roleGet},
		{name: "list", usage: "list the roles", run: roleList},
		{name: "remove", args: "<role>", usage: "remove a role", run: roleRemove},
		{name: "grant", args: "<role>", usage: "give permissions to a role", run: roleGrant, options: rights},
		{name: "revoke", args: "<role>", usage: "take permissions from a role", run: roleRevoke, options: rights},
	}}
}

type role struct {
	Role        string       `json:"role"`
	Permissions *permissions `json:"permissions,omitempty"`
	Grant       *permissions `json:"grant,omitempty"`
	Revoke      *permissions `json:"revoke,omitempty"`
}

type permissions struct {
	KV struct {
		Read  []string `json:"read"`
		Write []string `json:"write"`
	} `json:"kv"`
}

func rolePath(name string) string { return "/v2/auth/roles/" + url.PathEscape(name) }

func roleAdd(s *session, args []string) error {
	c, name, err := s.about(args, "role name")
	if err != nil {
		return err
	}
	err = c.json(http.MethodPut, rolePath(name), role{Role: name, Permissions: new(permissions)}, nil)
	if there := fmt.Sprintf("Role %s already exists", name); err != nil && err.Error() == "auth: "+there+"." {
		return bareText(there)
	}
	if err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "Role %s created\n", name)
	return nil
}

func roleGet(s *session, args []string) error {
	c, name, err := s.about(args, "role name")
	if err != nil {
		return err
	}
	r := role{Permissions: new(permissions)}
	if err := c.json(http.MethodGet, rolePath(name), nil, &r); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "Role: %s\nKV Read:\n", r.Role)
	for _, p := range r.Permissions.KV.Read {
		fmt.Fprintf(s.env.Out, "\t%s\n", p)
	}
	fmt.Fprintln(s.env.Out, "KV Write:")
	for _, p := range r.Permissions.KV.Write {
		fmt.Fprintf(s.env.Out, "\t%s\n", p)
	}
	return nil
}

func roleList(s *session, args []string) error { return s.listNames(args, "/v2/auth/roles") }

func roleRemove(s *session, args []string) error {
	c, name, err := s.about(args, "role name")
	if err != nil {
		return err
	}
	if err := c.json(http.MethodDelete, rolePath(name), nil, nil); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "Role %s removed\n", name)
	return nil
}

func roleGrant(s *session, args []string) error {
	return s.changeRole(args, func(r *role, p *permissions) { r.Grant = p })
}

func roleRevoke(s *session, args []string) error {
	return s.changeRole(args, func(r *role, p *permissions) { r.Revoke = p })
}

func (s *session) changeRole(args []string, change func(*role, *permissions)) error {
	on := s.options.text("path")
	read, write, both := s.options.on("read"), s.options.on("write"), s.options.on("readwrite")
	given := 0
	for _, one := range []bool{read, write, both} {
		if one {
			given++
		}
	}
	switch {
	case len(args) == 0:
	case on == "":
		return bareText("No path specified; please use `--path`")
	case !strings.HasPrefix(on, "/"):
		return bareText(fmt.Sprintf("Not canonical path; please use `--path=%s`", path.Clean("/"+on)))
	case given != 1:
		return bareText("Please specify exactly one of --read, --write or --readwrite")
	}
	c, name, err := s.about(args, "role name")
	if err != nil {
		return err
	}
	p := new(permissions)
	if read || both {
		p.KV.Read = []string{on}
	}
	if write || both {
		p.KV.Write = []string{on}
	}
	r := role{Role: name}
	change(&r, p)
	if err := c.json(http.MethodPut, rolePath(name), r, nil); err != nil {
		return bare(err)
	}
	fmt.Fprintf(s.env.Out, "Role %s updated\n", name)
	return nil
}
