package embed

import (
	"flag"

	"bowline/internal/config"
)

// AddFlags adds a flag for each setting, with its former spellings, to a set of flags: what is given there is in c, with
// what c has as the default. A value that is none is the set's error; what goes together is for Validate.
func (c *Config) AddFlags(fs *flag.FlagSet) {
	at := make(map[string]any)
	for _, f := range fields() {
		at[f.flag] = f.at(c)
	}
	for _, f := range config.Flags() {
		v := &flagValue{config: c, name: f.Name, at: at[f.Name], bool: f.Bool}
		for _, name := range append([]string{f.Name}, f.Former...) {
			fs.Var(v, name, f.Help)
		}
	}
}

// flagValue is a setting as a flag of the program's.
type flagValue struct {
	config *Config
	name   string
	at     any // a pointer to the field; nil if it has none
	bool   bool
}

// String implements flag.Value, also for none, which package flag asks for.
func (v *flagValue) String() string {
	switch {
	case v.config == nil:
		return ""
	case v.at != nil:
		return text(v.at)
	}
	if s, set := v.config.Settings[v.name]; set {
		return s
	}
	return config.Defaults()[v.name]
}

// Set implements flag.Value.
func (v *flagValue) Set(s string) error {
	canonical, err := config.Canonical(v.name, s)
	switch {
	case err != nil:
		return err
	case v.at != nil:
		return setText(v.at, canonical)
	case v.config.Settings == nil:
		v.config.Settings = make(map[string]string)
	}
	v.config.Settings[v.name] = s
	return nil
}

// IsBoolFlag tells package flag that no value means true.
func (v *flagValue) IsBoolFlag() bool { return v.bool }
