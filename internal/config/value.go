package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is where a setting's value goes, and how it is written.
type value interface {
	flag.Value
	// fromFile takes the value as it stands in a configuration file.
	fromFile(raw json.RawMessage) error
}

// The errors of package flag for numbers and durations.
var (
	errParse = errors.New("parse error")
	errRange = errors.New("value out of range")
)

// basic is a value whose form in a file is that of JSON.
type basic[T any] struct {
	to     *T
	parse  func(string) (T, error)
	format func(T) string
	isBool bool
}

func (v basic[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err != nil {
		return err
	}
	*v.to = parsed
	return nil
}

func (v basic[T]) String() string                     { return v.format(*v.to) }
func (v basic[T]) fromFile(raw json.RawMessage) error { return json.Unmarshal(raw, v.to) }

// IsBoolFlag tells package flag that the value may be left out.
func (v basic[T]) IsBoolFlag() bool { return v.isBool }

func str(to *string) value {
	return basic[string]{to: to, parse: func(s string) (string, error) { return s, nil }, format: func(s string) string { return s }}
}

func boolean(to *bool) value {
	return basic[bool]{to: to, format: strconv.FormatBool, isBool: true, parse: func(s string) (bool, error) {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return false, errParse
		}
		return b, nil
	}}
}

// duration is a Go duration on the command line and nanoseconds in a file.
func duration(to *time.Duration) value {
	return basic[time.Duration]{to: to, format: time.Duration.String, parse: func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errParse
		}
		return d, nil
	}}
}

func unsigned[T uint | uint32 | uint64](to *T) value {
	return basic[T]{to: to, format: func(n T) string { return strconv.FormatUint(uint64(n), 10) }, parse: func(s string) (T, error) {
		n, err := strconv.ParseUint(s, 0, 64)
		if err == nil && uint64(T(n)) != n {
			err = strconv.ErrRange
		}
		return T(n), numberError(err)
	}}
}

func signed[T int | int64](to *T) value {
	return basic[T]{to: to, format: func(n T) string { return strconv.FormatInt(int64(n), 10) }, parse: func(s string) (T, error) {
		n, err := strconv.ParseInt(s, 0, 64)
		return T(n), numberError(err)
	}}
}

func numberError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange):
		return errRange
	default:
		return errParse
	}
}

// milliseconds is a number of them, on the command line and in a file.
type milliseconds struct{ to *time.Duration }

func (v milliseconds) Set(s string) error {
	var n uint
	if err := unsigned(&n).Set(s); err != nil {
		return err
	}
	*v.to = time.Duration(n) * time.Millisecond
	return nil
}

func (v milliseconds) String() string { return strconv.FormatInt(v.to.Milliseconds(), 10) }

func (v milliseconds) fromFile(raw json.RawMessage) error {
	var n uint
	if err := json.Unmarshal(raw, &n); err != nil {
		return err
	}
	*v.to = time.Duration(n) * time.Millisecond
	return nil
}

// choice is one of several words. In a file it may be any: a rule of check.go has
// to look at it.
type choice struct {
	to    *string
	valid []string
}

func (v choice) Set(s string) error {
	if !slices.Contains(v.valid, s) {
		return errors.New("invalid value")
	}
	*v.to = s
	return nil
}

func (v choice) String() string { return *v.to }

func (v choice) fromFile(raw json.RawMessage) error { return json.Unmarshal(raw, v.to) }

// list is words with commas between them; in a file a list, or a string as on the
// command line if commaInFile. A unique list is sorted.
type list struct {
	to          *[]string
	unique      bool
	commaInFile bool
}

func (v list) Set(s string) error {
	var words []string
	for w := range strings.SplitSeq(s, ",") {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, w)
		}
	}
	v.store(words)
	return nil
}

func (v list) store(words []string) {
	if v.unique {
		slices.Sort(words)
		words = slices.Compact(words)
	}
	*v.to = words
}

func (v list) String() string { return strings.Join(*v.to, ",") }

func (v list) fromFile(raw json.RawMessage) error {
	if v.commaInFile {
		return stringFromFile(raw, v.Set)
	}
	var words []string
	if err := json.Unmarshal(raw, &words); err != nil {
		return err
	}
	v.store(words)
	return nil
}

func stringFromFile(raw json.RawMessage, set func(string) error) error {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	return set(s)
}

// hosts is a list that is a string in a file too.
func hosts(to *[]string) value { return list{to: to, unique: true, commaInFile: true} }

// endpoints is a list in which empty words are kept, to be refused.
type endpoints struct{ to *[]string }

func (v endpoints) Set(s string) error {
	if s == "" {
		*v.to = nil
		return nil
	}
	words := strings.Split(s, ",")
	slices.Sort(words)
	*v.to = slices.Compact(words)
	return nil
}

func (v endpoints) String() string { return strings.Join(*v.to, ",") }

func (v endpoints) fromFile(raw json.RawMessage) error { return json.Unmarshal(raw, v.to) }

// urls is URLs with commas between them, sorted and without repetition.
type urls struct {
	to *[]url.URL
	// fileName is what it is called in the message about a bad URL in a file.
	fileName string
}

// Set leaves what is there if s is empty, as etcd does.
func (v urls) Set(s string) error {
	if s == "" {
		return nil
	}
	parsed, err := parseURLs(s)
	if err != nil {
		return err
	}
	*v.to = parsed
	return nil
}

func (v urls) String() string { return joinURLs(*v.to) }

func (v urls) fromFile(raw json.RawMessage) error {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	if err := v.Set(s); err != nil {
		return &badURL{v.fileName, err}
	}
	return nil
}

// badURL is a URL key of a file that cannot be read. It is not logged but printed.
type badURL struct {
	name string
	err  error
}

func (e *badURL) Error() string {
	return fmt.Sprintf("unexpected error setting up %s: %v", e.name, e.err)
}

func (e *badURL) Unwrap() error { return e.err }

// origins is the list of CORS: URLs, or "*".
type origins struct{ to *[]string }

func (v origins) Set(s string) error {
	if s == "" || s == "*" {
		*v.to = []string{"*"}
		return nil
	}
	parsed, err := parseURLs(s)
	if err != nil {
		return err
	}
	words := map[string]bool{}
	for _, u := range parsed {
		words[u.String()] = true
	}
	*v.to = slices.Sorted(maps.Keys(words))
	return nil
}

func (v origins) String() string { return strings.Join(*v.to, ",") }

func (v origins) fromFile(raw json.RawMessage) error {
	return stringFromFile(raw, func(s string) error {
		if err := v.Set(s); err != nil {
			return &badURL{"cors", err}
		}
		return nil
	})
}
