package v2http

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// TestFormIsParseForms compares forms, and what is wrong with them, with what net/http
// makes of the same requests.
func TestFormIsParseForms(t *testing.T) {
	for _, c := range []struct{ query, body string }{
		{"", ""}, {"", "value=a"}, {"", "value=a%20b+c&ttl=5&value=d"}, {"value=q&dir=true", "value=b"}, {"dir=true", ""},
		{"", "value=%zz"}, {"value=%zz", "value=a"}, {"a=%zz", "b=%yy"}, {"", "a;b=c"}, {"a;b=c", "d=e"}, {"", "&&=&a"},
		{"", "=b&a=b=c&a&"}, {"a=d&e=f", "a=b&a=c"}, {"a=%64&e=f", "a=b&a=c"}, {"a=d", "a=%62"}, {"", strings.Repeat("a=b&", 100)},
		{"", "value=" + strings.Repeat("x", 200<<10)}, {"", "value=" + strings.Repeat("y", 2048)},
	} {
		for _, method := range []string{http.MethodPut, http.MethodPost} {
			for _, known := range []bool{true, false} {
				request := func() *http.Request {
					r := httptest.NewRequest(method, "/v2/keys/a?"+c.query, strings.NewReader(c.body))
					r.Header.Set("Content-Type", formContent)
					if !known {
						r.ContentLength = -1
					}
					r.Body = http.MaxBytesReader(nil, r.Body, 100<<10)
					return r
				}
				theirs := request()
				want := theirs.ParseForm()
				got, err := new(API).readForm(request())
				if (err == nil) != (want == nil) || err != nil && err.Error() != want.Error() {
					t.Errorf("%s ?%.40s %.40s: %v, want %v", method, c.query, c.body, err, want)
				}
				all := make(url.Values)
				for _, field := range got {
					all.Add(field.name, field.value)
				}
				if err == nil && !reflect.DeepEqual(all, theirs.Form) {
					t.Errorf("%s ?%.40s %.40s: %v, want %v", method, c.query, c.body, all, theirs.Form)
				}
			}
		}
	}
}
