package ctlv2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// node is a key as etcdctl shows it in JSON.
type node struct {
	Key        string     `json:"key"`
	Dir        bool       `json:"dir,omitempty"`
	Value      string     `json:"value"`
	Nodes      []*node    `json:"nodes"`
	Created    uint64     `json:"createdIndex"`
	Modified   uint64     `json:"modifiedIndex"`
	Expiration *time.Time `json:"expiration,omitempty"`
	TTL        int64      `json:"ttl,omitempty"`
}

// response is an answer of the keys' API.
type response struct {
	Action string `json:"action"`
	Node   *node  `json:"node"`
	Prev   *node  `json:"prevNode"`
	index  uint64
}

// key makes a request of the keys' API. form is its body.
func (c *client) key(ctx context.Context, method, key string, query, form url.Values) (*response, error) {
	path := keyPath(key)
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	kind := ""
	if form != nil {
		kind = "application/x-www-form-urlencoded"
	}
	a, err := c.ask(ctx, method, path, kind, form.Encode())
	if err != nil {
		return nil, err
	}
	r := new(response)
	r.index, _ = strconv.ParseUint(a.Header.Get("X-Etcd-Index"), 10, 64) // 0 where there is none
	if err := c.read(a, r); err != nil {
		return nil, err
	}
	if r.Node == nil {
		return nil, errors.New("the answer holds no key")
	}
	return r, nil
}

// change is a command that changes one key.
type change struct {
	method string
	query  url.Values
	value  bool // it has one
	quiet  bool // of directories nothing is shown unless a format is asked for
}

func (s *session) change(args []string, ch change) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usageError("key required")
	}
	form := url.Values{}
	if ch.value {
		value, err := s.value(args)
		if err != nil {
			return err
		}
		form.Set("value", value)
	}
	if ttl := s.options.number("ttl"); ttl > 0 {
		form.Set("ttl", strconv.FormatUint(ttl, 10))
	}
	if ch.method == http.MethodDelete {
		form = nil
	}
	ctx, cancel := s.limited()
	defer cancel()
	r, err := c.key(ctx, ch.method, args[0], ch.query, form)
	if err != nil {
		return err
	}
	if ch.quiet && r.Node.Dir && s.format() == "simple" {
		return nil
	}
	return s.show(r)
}

// value is the second argument, or else what comes in.
func (s *session) value(args []string) (string, error) {
	if len(args) > 1 {
		return args[1], nil
	}
	b, err := io.ReadAll(s.env.stdin())
	if err != nil || len(b) == 0 {
		return "", usageError("value required")
	}
	return string(b), nil
}

func on(names ...string) url.Values {
	v := url.Values{}
	for _, name := range names {
		v.Set(name, "true")
	}
	return v
}

func mk(s *session, args []string) error {
	if s.options.on("in-order") {
		return s.change(args, change{method: http.MethodPost, value: true})
	}
	return s.change(args, change{method: http.MethodPut, query: url.Values{"prevExist": {"false"}}, value: true})
}

func mkdir(s *session, args []string) error {
	return s.change(args, change{method: http.MethodPut, query: url.Values{"dir": {"true"}, "prevExist": {"false"}}, quiet: true})
}

func setdir(s *session, args []string) error {
	return s.change(args, change{method: http.MethodPut, query: on("dir"), quiet: true})
}

func update(s *session, args []string) error {
	return s.change(args, change{method: http.MethodPut, query: on("prevExist"), value: true})
}

func updatedir(s *session, args []string) error {
	return s.change(args, change{method: http.MethodPut, query: on("dir", "prevExist"), quiet: true})
}

func setKey(s *session, args []string) error {
	q := url.Values{}
	s.condition(q, "prevValue", "swap-with-value")
	s.condition(q, "prevIndex", "swap-with-index")
	return s.change(args, change{method: http.MethodPut, query: q, value: true})
}

// condition hands an option on, unless it says nothing.
func (s *session) condition(q url.Values, name, option string) {
	if v := s.options.text(option); v != "" && v != "0" {
		q.Set(name, v)
	}
}

func rm(s *session, args []string) error {
	q := url.Values{}
	for _, name := range []string{"dir", "recursive"} {
		if s.options.on(name) {
			q.Set(name, "true")
		}
	}
	s.condition(q, "prevValue", "with-value")
	s.condition(q, "prevIndex", "with-index")
	return s.change(args, change{method: http.MethodDelete, query: q, quiet: true})
}

func rmdir(s *session, args []string) error {
	return s.change(args, change{method: http.MethodDelete, query: on("dir"), quiet: true})
}

// read reads one key.
func (s *session) read(key string) (*response, error) {
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, usageError("key required")
	}
	ctx, cancel := s.limited()
	defer cancel()
	return c.key(ctx, http.MethodGet, key, url.Values{
		"quorum":    {strconv.FormatBool(s.options.on("quorum"))},
		"recursive": {strconv.FormatBool(s.options.on("recursive"))},
		"sorted":    {strconv.FormatBool(s.options.on("sort"))},
	}, nil)
}

func getKey(s *session, args []string) error {
	r, err := s.read(first(args))
	if err != nil {
		return err
	}
	if r.Node.Dir {
		return bareText(r.Node.Key + ": is a directory")
	}
	return s.show(r)
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func ls(s *session, args []string) error {
	key := first(args)
	if key == "" {
		key = "/"
	}
	r, err := s.read(key)
	if err != nil {
		return err
	}
	if s.format() != "simple" {
		return s.show(r)
	}
	if !r.Node.Dir {
		fmt.Fprintln(s.env.Out, r.Node.Key)
	}
	s.list(r.Node)
	return nil
}

func (s *session) list(dir *node) {
	for _, n := range dir.Nodes {
		key := n.Key
		if n.Dir && s.options.on("p") {
			key += "/"
		}
		fmt.Fprintln(s.env.Out, key)
		s.list(n)
	}
}

// format is what answers are shown in.
func (s *session) format() string {
	if s.global.has("output") {
		return s.global.text("output")
	}
	return "simple"
}

// show shows an answer.
func (s *session) show(r *response) error {
	out := s.env.Out
	switch format := s.format(); format {
	case "simple":
		if r.Action == "delete" && r.Prev != nil {
			fmt.Fprintln(out, "PrevNode.Value:", r.Prev.Value)
			return nil
		}
		fmt.Fprintln(out, r.Node.Value)
	case "extended":
		fmt.Fprintf(out, "Key: %s\nCreated-Index: %d\nModified-Index: %d\n", r.Node.Key, r.Node.Created, r.Node.Modified)
		if r.Prev != nil {
			fmt.Fprintln(out, "PrevNode.Value:", r.Prev.Value)
		}
		fmt.Fprintf(out, "TTL: %d\nIndex: %d\n", r.Node.TTL, r.index)
		if r.Action != "delete" {
			fmt.Fprintf(out, "\n%s\n", r.Node.Value)
		}
	case "json":
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, string(b))
	default:
		fmt.Fprintln(s.env.Err, "Unsupported output format:", format)
	}
	return nil
}
