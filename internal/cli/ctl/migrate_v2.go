package ctl

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// oldKeys asks API v2 for keys.
type oldKeys struct {
	http           *http.Transport
	urls           []string
	user, password string
}

// oldNode is a file or a directory of API v2.
type oldNode struct {
	Key        string
	Value      string
	Dir        bool
	Expiration *time.Time
	Nodes      []*oldNode
}

// oldRefusal is what a server has against a request.
type oldRefusal struct {
	Code    int `json:"errorCode"`
	Message string
	Cause   string
}

func (e *oldRefusal) Error() string { return fmt.Sprintf("API v2: %s (%s)", e.Message, e.Cause) }

// Error codes of API v2 that matter here.
const (
	oldNotFound     = 100
	oldExists       = 105
	oldUnauthorized = 110
)

// refusedWith tells whether an error is a refusal with this code.
func refusedWith(err error, code int) bool {
	var r *oldRefusal
	return errors.As(err, &r) && r.Code == code
}

func newOldKeys(endpoints []string, secure *tls.Config) *oldKeys {
	o := &oldKeys{http: &http.Transport{TLSClientConfig: secure, MaxIdleConnsPerHost: migrateWorkers}}
	for _, e := range endpoints {
		if !strings.Contains(e, "://") {
			scheme := "http://"
			if secure != nil {
				scheme = "https://"
			}
			e = scheme + e
		}
		o.urls = append(o.urls, strings.TrimSuffix(e, "/"))
	}
	return o
}

// maxOldAnswer bounds what is read of an answer: one directory.
const maxOldAnswer = 1 << 30

// ask makes a request of the first endpoint that can be reached.
func (o *oldKeys) ask(ctx context.Context, method, key string, form url.Values) (*oldNode, error) {
	var failed []error
	for _, base := range o.urls {
		resp, err := o.askOne(ctx, base, method, key, form)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		n, err := readOld(resp)
		if o.user == "" && refusedWith(err, oldUnauthorized) {
			err = fmt.Errorf("%w; --v2-user tells who asks", err)
		}
		return n, err
	}
	return nil, errors.Join(failed...)
}

func (o *oldKeys) askOne(ctx context.Context, base, method, key string, form url.Values) (*http.Response, error) {
	var parts []string
	for part := range strings.SplitSeq(key, "/") {
		parts = append(parts, url.PathEscape(part))
	}
	address, body := base+"/v2/keys"+strings.Join(parts, "/"), ""
	if method == http.MethodGet {
		address += "?" + form.Encode()
	} else {
		body = form.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if o.user != "" {
		req.SetBasicAuth(o.user, o.password)
	}
	return o.http.RoundTrip(req)
}

func readOld(resp *http.Response) (*oldNode, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxOldAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		refusal := new(oldRefusal)
		if json.Unmarshal(b, refusal) == nil && refusal.Message != "" {
			return nil, refusal
		}
		return nil, fmt.Errorf("API v2 answers %s; is the server running with --enable-v2?", resp.Status)
	}
	var event struct{ Node *oldNode }
	if err := json.Unmarshal(b, &event); err != nil || event.Node == nil {
		return nil, errors.Join(errors.New("what answers is not API v2"), err)
	}
	return event.Node, nil
}

// get reads a node with one level of what is below it.
func (o *oldKeys) get(ctx context.Context, key string) (*oldNode, error) {
	return o.ask(ctx, http.MethodGet, key, url.Values{"quorum": {"true"}, "sorted": {"true"}})
}
