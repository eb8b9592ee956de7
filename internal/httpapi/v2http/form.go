package v2http

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const formContent = "application/x-www-form-urlencoded"

// form is the fields of a form, those of its body before those of the query.
type form []field

type field struct{ name, value string }

// first returns the first value of a name.
func (f form) first(name string) (value string, given bool) {
	for _, field := range f {
		if field.name == name {
			return field.value, true
		}
	}
	return "", false
}

// readForm is the query, and the body of a form before it.
func (a *API) readForm(r *http.Request) (form, error) {
	if bodied(r) {
		content := r.Header.Get("Content-Type")
		if content == formContent {
			return a.readPosted(r)
		}
		if _, _, err := mime.ParseMediaType(content); err != nil && content != "" {
			return nil, err
		}
	}
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	return form(nil).with(r.Form), nil
}

// readPosted does what http.Request.ParseForm does with a form in the body, without a
// second copy of it.
func (a *API) readPosted(r *http.Request) (form, error) {
	body, err := a.readBody(r)
	if err != nil {
		return nil, err
	}
	f, err := form(nil).parse(body)
	if err != nil || r.URL.RawQuery == "" {
		return f, err
	}
	return f.parse(r.URL.RawQuery)
}

func (a *API) readBody(r *http.Request) (string, error) {
	b := a.buffers.get()
	defer a.buffers.put(b)
	_, err := b.ReadFrom(r.Body)
	return b.String(), err
}

// parse adds the fields of an encoded form.
func (f form) parse(text string) (form, error) {
	if !literal(text) {
		values, err := url.ParseQuery(text)
		return f.with(values), err
	}
	for text != "" {
		var x field
		x.name, text, _ = strings.Cut(text, "&")
		if x.name == "" {
			continue
		}
		x.name, x.value, _ = strings.Cut(x.name, "=")
		f = append(f, x)
	}
	return f, nil
}

// literal tells whether an encoded form, of few fields, says what it means: the length of
// most is that of their values, which then are not looked at byte by byte.
func literal(text string) bool {
	const few = 64
	return strings.IndexByte(text, '%') < 0 && strings.IndexByte(text, '+') < 0 && strings.IndexByte(text, ';') < 0 &&
		strings.Count(text, "&") < few
}

// with adds the values of a map.
func (f form) with(values url.Values) form {
	for name, all := range values {
		for _, value := range all {
			f = append(f, field{name, value})
		}
	}
	return f
}
