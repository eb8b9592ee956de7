package v2http

import (
	"net/http"
	"strconv"
	"time"

	"bowline/internal/v2"
	"bowline/internal/wire"
)

// maxForm bounds a form, as in etcd.
const (
	maxForm = 10 << 20
	// MaxBody is more than any body that is read.
	MaxBody = maxForm + 1<<20
)

// params are the parameters of a request for keys.
type params struct {
	form form
	err  *v2.Error // the first that was wrong

	prevIndex, waitIndex                         uint64
	recursive, sorted, wait, dir, quorum, stream bool
	prevValue                                    string
	noValue                                      bool
	ttl                                          *uint64
	prevExist, refresh                           *bool
}

// readParams checks all parameters, also those that the method has no use for. The
// order of the checks decides which of several errors is told.
func (a *API) readParams(w http.ResponseWriter, r *http.Request) (*params, *v2.Error) {
	p := new(params)
	if r.URL.RawQuery == "" && !bodied(r) {
		return p, nil // there are none
	}
	if r.ContentLength < 0 || r.ContentLength > maxForm {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	}
	var err error
	if p.form, err = a.readForm(r); err != nil {
		return nil, v2.NewError(v2.CodeInvalidForm, err.Error(), 0)
	}
	p.prevIndex = p.index("prevIndex")
	p.waitIndex = p.index("waitIndex")
	for name, into := range p.flags {
		*into = p.flag(name)
	}
	p.check(!p.wait || r.Method == http.MethodGet, v2.CodeInvalidField, `"wait" can only be used with GET requests`)
	if value, given := p.form.first("prevValue"); given {
		p.prevValue = value
		p.check(p.prevValue != "", v2.CodePrevValueRequired, `"prevValue" cannot be empty`)
	}
	p.noValue = p.flag("noValueOnSuccess")
	if text, _ := p.form.first("ttl"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		p.check(err == nil, v2.CodeBadTTL, `invalid value for "ttl"`)
		p.ttl = &n
	}
	p.prevExist = p.choice("prevExist")
	p.refresh = p.choice("refresh")
	if p.refresh != nil && *p.refresh {
		value, _ := p.form.first("value")
		p.check(value == "", v2.CodeRefreshValue, "A value was provided on a refresh")
		p.check(p.ttl != nil, v2.CodeRefreshTTL, "No TTL value set")
	}
	if p.err != nil {
		return nil, p.err
	}
	return p, nil
}

// flags lists what is on or off, in the order of the checks.
func (p *params) flags(yield func(string, *bool) bool) {
	_ = yield("recursive", &p.recursive) && yield("sorted", &p.sorted) && yield("wait", &p.wait) &&
		yield("dir", &p.dir) && yield("quorum", &p.quorum) && yield("stream", &p.stream)
}

func (p *params) check(ok bool, code int, cause string) {
	if !ok && p.err == nil {
		p.err = v2.NewError(code, cause, 0)
	}
}

func (p *params) index(name string) uint64 {
	value, given := p.form.first(name)
	if !given {
		return 0
	}
	n, err := strconv.ParseUint(value, 10, 64)
	p.check(err == nil, v2.CodeBadIndex, `invalid value for "`+name+`"`)
	return n
}

func (p *params) flag(name string) bool {
	value, given := p.form.first(name)
	if !given {
		return false
	}
	set, err := strconv.ParseBool(value)
	p.check(err == nil, v2.CodeInvalidField, `invalid value for "`+name+`"`)
	return set
}

func (p *params) choice(name string) *bool {
	value, given := p.form.first(name)
	if !given {
		return nil
	}
	set, err := strconv.ParseBool(value)
	p.check(err == nil, v2.CodeInvalidField, "invalid value for "+name)
	return &set
}

func bodied(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }

// request is what the log gets.
func (p *params) request(method, name string) wire.V2Request {
	at := time.Now()
	value, _ := p.form.first("value")
	req := wire.V2Request{
		Method: method, Path: name, Value: value, Dir: p.dir, PrevValue: p.prevValue, PrevIndex: p.prevIndex,
		PrevExist: p.prevExist, Recursive: p.recursive, Refresh: p.refresh, Time: at.UnixNano(),
	}
	if p.ttl != nil {
		// As in etcd, what is too large wraps.
		req.Expiration = at.Add(time.Duration(*p.ttl) * time.Second).UnixNano()
	}
	return req
}
