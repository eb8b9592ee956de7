package ctlv2

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind is what values an option takes.
type kind int

const (
	flagOption kind = iota
	textOption
	listOption
	numberOption
	timeOption
)

// option is one option of a command, or of all.
type option struct {
	names []string
	kind  kind
	def   string
	usage string
}

func opt(names string, k kind, def, usage string) option {
	return option{strings.Split(names, ","), k, def, usage}
}

// values are the options that a command line has, by their first name.
type values map[string][]string

func (v values) has(name string) bool { return len(v[name]) > 0 }
func (v values) on(name string) bool  { return v.text(name) == "true" }

func (v values) text(name string) string {
	if all := v[name]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

func (v values) number(name string) uint64 {
	n, _ := strconv.ParseUint(v.text(name), 10, 64) // it was checked when it was read
	return n
}

func (v values) duration(name string) time.Duration {
	d, _ := time.ParseDuration(v.text(name)) // likewise
	return d
}

// parse reads options up to the first argument, or among the arguments as well if
// mixed. What follows -- is arguments.
func parse(options []option, args []string, mixed bool) (v values, rest []string, err error) {
	v = values{}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return v, append(rest, args[i+1:]...), nil
		case len(arg) < 2 || arg[0] != '-':
			if !mixed {
				return v, args[i:], nil
			}
			rest = append(rest, arg)
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		at := slices.IndexFunc(options, func(o option) bool { return slices.Contains(o.names, name) })
		if at < 0 {
			return v, rest, errors.New("flag provided but not defined: -" + name)
		}
		o := options[at]
		if !given {
			switch {
			case o.kind == flagOption:
				value = "true"
			case i+1 < len(args):
				i++
				value = args[i]
			default:
				return v, rest, errors.New("flag needs an argument: -" + name)
			}
		}
		if !o.accepts(value) {
			return v, rest, fmt.Errorf("invalid value %q for flag -%s: parse error", value, name)
		}
		v[o.names[0]] = append(v[o.names[0]], value)
	}
	return v, rest, nil
}

func (o *option) accepts(value string) bool {
	var err error
	switch o.kind {
	case flagOption:
		_, err = strconv.ParseBool(value)
	case numberOption:
		_, err = strconv.ParseUint(value, 10, 64)
	case timeOption:
		_, err = time.ParseDuration(value)
	}
	return err == nil
}

// help is the option's line in help texts.
func (o *option) help() string {
	var names []string
	for _, name := range o.names {
		dash := "--"
		if len(name) == 1 {
			dash = "-"
		}
		if o.kind != flagOption {
			name += " value"
		}
		names = append(names, dash+name)
	}
	line := "   " + strings.Join(names, ", ")
	if o.usage != "" {
		line += "\t" + o.usage
	}
	if o.def != "" {
		line += " (default: " + o.def + ")"
	}
	return line
}
