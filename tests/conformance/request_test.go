package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// decode reads JSON with its numbers as they are written.
func decode(text []byte) (out any, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&out)
	return out, err
}

// fill sets the fields of a message from a JSON object.
func (n *names) fill(m protoreflect.Message, from any) error {
	object, ok := from.(map[string]any)
	if !ok {
		return fmt.Errorf("%s wants an object, not %v", m.Descriptor().Name(), from)
	}
	for name, value := range object {
		field := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if field == nil {
			field = m.Descriptor().Fields().ByJSONName(name)
		}
		if field == nil {
			return fmt.Errorf("%s has no field %s", m.Descriptor().Name(), name)
		}
		if err := n.setField(m, field, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (n *names) setField(m protoreflect.Message, field protoreflect.FieldDescriptor, value any) error {
	if !field.IsList() {
		set, err := n.fieldValue(field, value, m.NewField(field))
		if err == nil {
			m.Set(field, set)
		}
		return err
	}
	elements, ok := value.([]any)
	if !ok {
		return fmt.Errorf("not a list: %v", value)
	}
	list := m.Mutable(field).List()
	for _, element := range elements {
		element, times, err := repeated(element)
		if err != nil {
			return err
		}
		for i := range times {
			if times > 1 {
				n.repetition(i)
			}
			set, err := n.fieldValue(field, element, list.NewElement())
			if err != nil {
				return err
			}
			list.Append(set)
		}
	}
	return nil
}

// repeated takes "repeat" out of a list's element: it stands for that many.
func repeated(element any) (one any, times int, err error) {
	object, ok := element.(map[string]any)
	if !ok || object["repeat"] == nil {
		return element, 1, nil
	}
	rest := map[string]any{}
	for name, value := range object {
		if name != "repeat" {
			rest[name] = value
		}
	}
	times, err = strconv.Atoi(fmt.Sprint(object["repeat"]))
	return rest, times, err
}

// fieldValue converts one JSON value; empty is a new value of the field's type.
func (n *names) fieldValue(field protoreflect.FieldDescriptor, value any, empty protoreflect.Value) (protoreflect.Value, error) {
	kind := field.Kind()
	if kind == protoreflect.MessageKind {
		return empty, n.fill(empty.Message(), value)
	}
	if b, ok := value.(bool); ok && kind == protoreflect.BoolKind {
		return protoreflect.ValueOfBool(b), nil
	}
	var text string
	switch v := value.(type) {
	case json.Number:
		text = v.String()
	case string:
		var err error
		if text, err = n.expand(v); err != nil {
			return empty, err
		}
	default:
		return empty, fmt.Errorf("cannot be %v", value)
	}
	switch kind {
	case protoreflect.StringKind:
		b, err := spelledOut(text)
		return protoreflect.ValueOfString(string(b)), err
	case protoreflect.BytesKind:
		b, err := spelledOut(text)
		return protoreflect.ValueOfBytes(b), err
	case protoreflect.EnumKind:
		if named := field.Enum().Values().ByName(protoreflect.Name(text)); named != nil {
			return protoreflect.ValueOfEnum(named.Number()), nil
		}
		number, err := strconv.ParseInt(text, 10, 32)
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(number)), err
	case protoreflect.Int64Kind:
		number, err := strconv.ParseInt(text, 10, 64)
		return protoreflect.ValueOfInt64(number), err
	case protoreflect.Uint64Kind:
		number, err := strconv.ParseUint(text, 10, 64)
		return protoreflect.ValueOfUint64(number), err
	}
	return empty, fmt.Errorf("no scenario has set a %s before", kind)
}

// spelledOut reads "base64:..." and "repeat:N:text"; other text is itself.
func spelledOut(text string) ([]byte, error) {
	if encoded, ok := strings.CutPrefix(text, "base64:"); ok {
		return base64.StdEncoding.DecodeString(encoded)
	}
	if rest, ok := strings.CutPrefix(text, "repeat:"); ok {
		count, unit, _ := strings.Cut(rest, ":")
		times, err := strconv.Atoi(count)
		if err != nil {
			return nil, err
		}
		return bytes.Repeat([]byte(unit), times), nil
	}
	return []byte(text), nil
}
