package ctlv2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 30

// client asks the members, one after the other until one answers.
type client struct {
	session        *session
	http           *http.Transport
	urls           []string
	user, password string
}

// serverError is an error of the keys' API.
type serverError struct {
	Code    int    `json:"errorCode"`
	Message string `json:"message"`
	Cause   string `json:"cause"`
	Index   uint64 `json:"index"`
}

func (e *serverError) Error() string {
	if e.Code == 0 {
		return e.Message
	}
	return fmt.Sprintf("%d: %s (%s) [%d]", e.Code, e.Message, e.Cause, e.Index)
}

// clusterError tells that no member answered.
type clusterError struct{ errs []error }

func (e *clusterError) Error() string {
	text := "client: etcd cluster is unavailable or misconfigured"
	for i, err := range e.errs {
		text += fmt.Sprintf("; error #%d: %v\n", i, err)
	}
	return text
}

func (e *clusterError) detail() string {
	text := ""
	for i, err := range e.errs {
		text += fmt.Sprintf("error #%d: %v\n", i, err)
	}
	return text
}

// disconnected tells that every member failed for want of a connection.
func (e *clusterError) disconnected() bool {
	return !slices.ContainsFunc(e.errs, func(err error) bool {
		var dial *net.OpError
		var slow net.Error
		return !errors.As(err, &dial) && !(errors.As(err, &slow) && slow.Timeout())
	})
}

// answered is an answer whose body is still to be read.
type answered struct {
	*http.Response
	cancel context.CancelFunc
}

func (a *answered) close() {
	a.Body.Close()
	a.cancel()
}

// ask makes a request of the first member that answers, and keeps to it from then on.
func (c *client) ask(ctx context.Context, method, path, kind, body string) (*answered, error) {
	failed := new(clusterError)
	for i, base := range c.urls {
		resp, err := c.askOne(ctx, base, method, path, kind, body)
		if err == nil && resp.StatusCode < http.StatusInternalServerError {
			c.urls[0], c.urls[i] = c.urls[i], c.urls[0]
			return resp, nil
		}
		if err == nil {
			err = c.read(resp, nil)
		}
		failed.errs = append(failed.errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

func (c *client) askOne(ctx context.Context, base, method, path, kind, body string) (*answered, error) {
	curl := fmt.Sprintf("cURL Command: curl -X %s %s%s", method, base, path)
	if body != "" {
		curl += fmt.Sprintf(" -d %q", body)
	}
	c.session.debugf("%s", curl)
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	if err != nil {
		cancel()
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.user != "" {
		req.SetBasicAuth(c.user, c.password)
	}
	resp, err := c.http.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	return &answered{resp, cancel}, nil
}

// read reads an answer; what is not a success is an error.
func (c *client) read(a *answered, into any) error {
	defer a.close()
	b, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer))
	if err != nil {
		return err
	}
	if a.StatusCode >= http.StatusMultipleChoices {
		e := new(serverError)
		if json.Unmarshal(b, e) != nil || e.Message == "" {
			return fmt.Errorf("unexpected status code %d", a.StatusCode)
		}
		return e
	}
	if into == nil || len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, into)
}

// json makes a request with a JSON body, of which nil is none.
func (c *client) json(method, path string, body, into any) error {
	ctx, cancel := c.session.limited()
	defer cancel()
	text, kind := "", ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text, kind = string(b), "application/json"
	}
	a, err := c.ask(ctx, method, path, kind, text)
	if err != nil {
		return err
	}
	return c.read(a, into)
}

type member struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

func (c *client) members() ([]member, error) {
	var list struct{ Members []member }
	err := c.json(http.MethodGet, "/v2/members", nil, &list)
	return list.Members, err
}

// sync replaces the endpoints by those that the members publish.
func (c *client) sync() error {
	s := c.session
	s.debugf("start to sync cluster using endpoints(%s)", joined(c.urls))
	list, err := c.members()
	var unavailable *clusterError
	if errors.As(err, &unavailable) && unavailable.disconnected() {
		return &failure{exitConnection, err, false}
	}
	if err != nil {
		return nil // the request itself will tell
	}
	asked, found := c.urls, []string(nil)
	for _, m := range list {
		found = append(found, m.ClientURLs...)
	}
	if len(found) == 0 {
		fmt.Fprintf(s.env.Err, "etcd cluster has no published client endpoints.\n"+
			"Try '--no-sync' if you want to access non-published client endpoints(%s).\n", joined(asked))
		return &failure{exitServer, errors.New("client: no endpoints available"), false}
	}
	if i := slices.Index(found, asked[0]); i > 0 {
		found[0], found[i] = found[i], found[0] // it has just answered
	}
	c.urls = found
	s.debugf("got endpoints(%s) after sync", joined(c.urls))
	return nil
}

// keyPath is the path of a key, each of its components escaped.
func keyPath(key string) string {
	var parts []string
	for part := range strings.SplitSeq(strings.Trim(key, "/"), "/") {
		if part != "" {
			parts = append(parts, url.PathEscape(part))
		}
	}
	return strings.TrimSuffix("/v2/keys/"+strings.Join(parts, "/"), "/")
}
