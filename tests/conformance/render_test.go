package conformance

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// object is a rendered message. Its values are objects, lists ([]any), strings,
// booleans and json.Numbers: what decode gives for the same text.
type object = map[string]any

// render writes a message as JSON values, with names for what differs from run
// to run. Fields that are not set are left out.
func (n *names) render(m protoreflect.Message) any {
	out := object{}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := string(field.Name())
		if !field.IsList() {
			out[name] = n.renderValue(field, value)
			return true
		}
		list := make([]any, value.List().Len())
		for i := range list {
			list[i] = n.renderValue(field, value.List().Get(i))
		}
		out[name] = list
		return true
	})
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		out["fields that the API does not have"] = fmt.Sprintf("%x", []byte(unknown))
	}
	return n.settle(m.Descriptor().Name(), out)
}

func (n *names) renderValue(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return n.render(value.Message())
	case protoreflect.BytesKind:
		return n.renderBytes(value.Bytes())
	case protoreflect.StringKind:
		return n.fold(value.String())
	case protoreflect.BoolKind:
		return value.Bool()
	case protoreflect.EnumKind:
		if named := field.Enum().Values().ByNumber(value.Enum()); named != nil {
			return string(named.Name())
		}
		return json.Number(strconv.Itoa(int(value.Enum())))
	}
	number := value.String()
	switch field.Name() {
	case "cluster_id", "member_id", "memberID", "leader", "ID", "lease": // the server chooses these
		if name, known := n.foldID(number, field.Name() == "cluster_id"); known {
			return name
		}
	}
	return json.Number(number)
}

// longestValue is how many bytes of a value are written out.
const longestValue = 512

func (n *names) renderBytes(b []byte) string {
	if len(b) > longestValue {
		return fmt.Sprintf("sha256:%x of %d bytes", sha256.Sum256(b), len(b))
	}
	if !utf8.Valid(b) {
		return "base64:" + base64.StdEncoding.EncodeToString(b)
	}
	return n.fold(string(b))
}

// settle treats the fields whose value or order is the server's own business.
func (n *names) settle(message protoreflect.Name, out object) any {
	switch message {
	case "ResponseHeader":
		veil(out, "$term", "raft_term")
		if out["cluster_id"] == "$cluster" && out["member_id"] == "$member" && out["raft_term"] == "$term" && len(out) <= 4 {
			revision, any := out["revision"]
			if !any {
				revision = 0
			}
			return fmt.Sprintf("rev %v", revision)
		}
	case "Event":
		if out["type"] == nil {
			out["type"] = "PUT" // the zero value, said aloud
		}
	case "LeaseTimeToLiveResponse":
		switch ttl := out["TTL"].(type) {
		case nil:
			out["TTL"] = "~0"
		case json.Number:
			if ttl != "-1" {
				out["TTL"] = "~" + string(ttl)
			}
		}
		inOrder(out, "keys")
	case "LeaseLeasesResponse":
		inOrder(out, "leases")
	case "AlarmResponse":
		inOrder(out, "alarms")
	case "MemberListResponse", "MemberAddResponse", "MemberRemoveResponse", "MemberUpdateResponse", "MemberPromoteResponse":
		inOrder(out, "members")
	case "Member":
		id, _ := out["ID"].(string)
		if which, known := strings.CutPrefix(id, "$member"); known {
			veil(out, "$name"+which, "name")
		}
	case "AuthenticateResponse":
		if token, _ := out["token"].(string); !strings.HasPrefix(token, "$") {
			veil(out, "$token", "token")
		}
	case "HashResponse":
		veil(out, "$hash", "hash")
	case "StatusResponse":
		n.settleStatus(out)
	}
	return out
}

func (n *names) settleStatus(out object) {
	veil(out, "$size", "dbSize", "dbSizeInUse")
	veil(out, "$index", "raftIndex", "raftAppliedIndex")
	veil(out, "$term", "raftTerm")
	if version, ok := out["version"].(string); ok {
		parts := strings.Split(version, ".")
		out["version"] = strings.Join(parts[:min(2, len(parts))], ".") + ".x"
	}
	errors, _ := out["errors"].([]any)
	for i, e := range errors {
		// protobuf puts one space or two between the fields of a message's text
		line := strings.Join(strings.Fields(fmt.Sprint(e)), " ")
		errors[i] = strings.ReplaceAll(line, "memberID:"+n.values["member"]+" ", "memberID:${member} ")
	}
	inOrder(out, "errors")
}

// veil replaces fields that only have to be there.
func veil(out object, by string, fields ...string) {
	for _, field := range fields {
		if _, set := out[field]; set {
			out[field] = by
		}
	}
}

// inOrder sorts a list that has no order of its own.
func inOrder(out object, field string) {
	if list, ok := out[field].([]any); ok {
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(textOf(a), textOf(b)) })
	}
}

// brief replaces lists of more than ten elements by their ends and a digest.
func brief(value any) any {
	const longest = 10
	switch v := value.(type) {
	case object:
		for name := range v {
			v[name] = brief(v[name])
		}
	case []any:
		if len(v) > longest {
			return object{
				"length": json.Number(strconv.Itoa(len(v))),
				"first":  v[0],
				"last":   v[len(v)-1],
				"sha256": fmt.Sprintf("%x", sha256.Sum256([]byte(textOf(v)))),
			}
		}
	}
	return value
}

// textOf is the JSON of a rendered value on one line, the names of an object in
// alphabetical order, with a blank after each comma and colon.
func textOf(value any) string {
	var b strings.Builder
	writeText(&b, value)
	return b.String()
}

func writeText(b *strings.Builder, value any) {
	switch v := value.(type) {
	case object:
		b.WriteByte('{')
		for i, name := range sortedNames(v) {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quoted(name) + ": ")
			writeText(b, v[name])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, element := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeText(b, element)
		}
		b.WriteByte(']')
	case string:
		b.WriteString(quoted(v))
	case nil:
		b.WriteString("null")
	default: // a number or a boolean
		fmt.Fprint(b, v)
	}
}

// quoted is a JSON string without the escapes that are meant for web pages.
func quoted(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func sortedNames(v object) []string {
	all := make([]string, 0, len(v))
	for name := range v {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}
