package config

import (
	"fmt"
	"slices"
)

// Flag is what a set of flags that is not Parse's has to know of a setting.
type Flag struct {
	// Name is the setting's, and Former are older spellings.
	Name   string
	Former []string
	Help   string
	// Bool is a flag that may be given without a value.
	Bool bool
}

// Flags lists the settings that a member in a program has: all but those that only a command line means, and what is
// ignored.
func Flags() []Flag {
	var all []Flag
	p := newParser()
	for i := range p.rows {
		if row := &p.rows[i]; row.settable() {
			short, _ := row.to(&p.draft).(interface{ IsBoolFlag() bool })
			all = append(all, Flag{row.name, slices.Clone(row.former), row.help, short != nil && short.IsBoolFlag()})
		}
	}
	return all
}

// Canonical is a value as the setting of a name writes it, and the error of its flag if it is none. What goes together
// with other settings is for Parse.
func Canonical(name, s string) (string, error) {
	p := newParser()
	i := slices.IndexFunc(p.rows, func(row setting) bool { return row.name == name })
	if i < 0 {
		return "", fmt.Errorf("there is no setting %q", name)
	}
	v := p.rows[i].to(&p.draft)
	if err := v.Set(s); err != nil {
		return "", err
	}
	return v.String(), nil
}

// settable tells a setting of a member from what only a command line means.
func (s *setting) settable() bool {
	return s.group != groupIgnored && s.name != "config-file" && s.name != "version"
}
