package config

// Names lists the flags of all settings, by groups as in the help text.
func Names() []string {
	var names []string
	for _, row := range table() {
		names = append(names, row.name)
	}
	return names
}

// Defaults are the values of all settings that nobody has made, as their flags have them.
func Defaults() map[string]string { return newParser().texts() }

// FileTexts are the values of all settings with a configuration file, as their flags have them. They are not checked
// yet: Parse does that.
func FileTexts(path string) (map[string]string, []Line, error) {
	p := newParser()
	p.fromFile = true
	if err := p.file(path); err != nil {
		return nil, p.lines, err
	}
	return p.texts(), p.lines, nil
}

func (p *parser) texts() map[string]string {
	all := make(map[string]string, len(p.rows))
	for i := range p.rows {
		if row := &p.rows[i]; row.settable() {
			all[row.name] = row.to(&p.draft).String()
		}
	}
	return all
}
