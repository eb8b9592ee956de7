package v2test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
)

// file is one recording.
type file struct {
	Name  string
	Needs struct {
		Nodes int
		Args  []string
	}
	Setup, Teardown []step
	CleanRoot       bool    `json:"clean_root"`
	BaseIndex       *uint64 `json:"base_index"`
	Steps           []step
}

// step is a request, a watch, or something that happens to members.
type step struct {
	Note string

	Method, Path string
	Query, Form  *pairs
	Headers      map[string]string
	BasicAuth    string `json:"basic_auth"`
	JSON         json.RawMessage
	Data         *string
	Node         any // a number, or a role
	Repeat       int
	Retry        float64
	Save         map[string]string

	Status          *int
	ResponseHeaders map[string]*string `json:"response_headers"`
	Body            json.RawMessage
	Subset          bool
	Unordered       bool

	StartWatch string `json:"start_watch"`
	EndWatch   string `json:"end_watch"`
	Events     []json.RawMessage
	Then       string
	Within     float64

	Sleep     float64
	Control   string
	Args      []string
	FindRoles bool `json:"find_roles"`
}

// checked tells whether a step counts as one.
func (s *step) checked() bool { return s.Status != nil || s.Body != nil || s.Events != nil }

// pairs are parameters, in order where the recording gives one.
type pairs [][2]string

func (p *pairs) UnmarshalJSON(b []byte) error {
	var list [][2]any
	if json.Unmarshal(b, &list) == nil {
		for _, kv := range list {
			*p = append(*p, [2]string{asText(kv[0]), asText(kv[1])})
		}
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return err
		}
		*p = append(*p, [2]string{asText(name), asText(v)})
	}
	return nil
}

func asText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return text(v)
}

// encode is the query or the form, with its placeholders filled in.
func (p *pairs) encode(k *known) string {
	var b bytes.Buffer
	for i, kv := range *p {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(kv[0]) + "=" + url.QueryEscape(k.expand(kv[1])))
	}
	return b.String()
}

func load(path string) (*file, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := new(file)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, err
	}
	f.Needs.Nodes = max(1, f.Needs.Nodes)
	return f, nil
}

// parse reads JSON with its numbers as they are written.
func parse(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}
