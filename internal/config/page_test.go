package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kind is how a setting is written in a file.
type kind int

const (
	inQuotes kind = iota
	asText        // a number or a boolean: as on the command line
	nanoseconds
	listOfTexts
)

func (s *setting) kind() kind {
	if s.gate != "" {
		return asText
	}
	switch v := s.to(new(draft)).(type) {
	case basic[string], choice, urls, origins:
		return inQuotes
	case list:
		if v.commaInFile {
			return inQuotes
		}
		return listOfTexts
	case endpoints:
		return listOfTexts
	case basic[bool], basic[uint], basic[uint32], basic[uint64], basic[int], basic[int64], milliseconds:
		return asText
	case basic[time.Duration]:
		return nanoseconds
	default:
		return inQuotes
	}
}

// inFile writes a value, which is as on the command line, for a file.
func (s *setting) inFile(t *testing.T, text string) string {
	t.Helper()
	var v any = text
	switch s.kind() {
	case asText:
		return text
	case nanoseconds:
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		v = int64(d)
	case listOfTexts:
		v = strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestEachSettingElsewhere gives each setting by environment and by file what
// TestEachSetting gives it on the command line, and what cannot be read.
func TestEachSettingElsewhere(t *testing.T) {
	values := settingValues()
	rows := table()
	for i := range rows {
		row := &rows[i]
		if row.group == groupIgnored || row.name == "version" || row.name == "config-file" {
			continue
		}
		v := values[row.name]
		want := v.good
		if v.reads != "" {
			want = v.reads
		}
		p := newParser()
		if err := p.useEnvironment(map[string]string{envKey(row.name): v.good}, nil); err != nil {
			t.Errorf("%s=%s: %v", envKey(row.name), v.good, err)
		} else if got := row.to(&p.draft).String(); got != want {
			t.Errorf("%s=%s reads as %q", envKey(row.name), v.good, got)
		}
		if v.bad != "" {
			if err := newParser().useEnvironment(map[string]string{envKey(row.name): v.bad}, nil); err == nil ||
				!strings.HasPrefix(err.Error(), fmt.Sprintf("invalid value %q for %s: ", v.bad, envKey(row.name))) {
				t.Errorf("%s=%s: %v", envKey(row.name), v.bad, err)
			}
		}
		key := row.fileKey()
		if key == "" {
			continue
		}
		p = newParser()
		if err := p.file(writeFile(t, nested(key, row.inFile(t, v.good)))); err != nil {
			t.Errorf("%s in a file: %v", key, err)
		} else if got := row.to(&p.draft).String(); got != want {
			t.Errorf("%s: %s in a file reads as %q", key, row.inFile(t, v.good), got)
		}
		if err := newParser().file(writeFile(t, nested(key, `{"a": [1]}`))); err == nil ||
			!strings.HasPrefix(err.Error(), "error unmarshaling JSON: ") {
			t.Errorf("%s as an object in a file: %v", key, err)
		}
	}
}

// nested writes a key with dots as objects.
func nested(key, value string) string {
	parts := strings.Split(key, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		value = fmt.Sprintf("{%q: %s}", parts[i], value)
	}
	return value
}

// TestConfigurationPage keeps the page about all settings as the table has them.
// UPDATE_GOLDEN=1 writes it anew.
func TestConfigurationPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(pageHead)
	rows := table()
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n## %s\n\n| setting | default | |\n|---|---|---|\n", g)
		for i := range rows {
			if row := &rows[i]; row.group == g {
				fmt.Fprintf(&b, "| `--%s`%s | %s | %s |\n", row.name, row.otherNames(), code(row.def), cell(row.help, row.idle))
			}
		}
	}
	b.WriteString("\n## Feature gates\n\n| gate | stage | default | |\n|---|---|---|---|\n")
	for _, g := range gateTable() {
		fmt.Fprintf(&b, "| `%s` | %s | %t | %s |\n", g.name, g.stage, g.on, cell("", g.idle))
	}
	golden(t, filepath.Join("..", "..", "..", "docs", "configuration.md"), b.String())
}

// TestSettingsWithoutEffectAreWrittenDown holds the page about differences to the table:
// each setting and gate that does nothing stands there with the reason, and no other.
func TestSettingsWithoutEffectAreWrittenDown(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "compat.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## Settings without an effect\n")
	if !ok {
		t.Fatal("the page has no section about them")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	want := make(map[string]string)
	rows := table()
	for i := range rows {
		if row := &rows[i]; row.idle != "" {
			want["--"+row.name] = row.idle
		}
	}
	for _, g := range gateTable() {
		if g.idle != "" {
			want[g.name] = g.idle
		}
	}
	got := make(map[string]string)
	for line := range strings.Lines(section) {
		if names, why, ok := strings.Cut(strings.Trim(line, "| \n"), "` | "); ok {
			for _, name := range strings.Split(strings.TrimPrefix(names, "`"), "`, `") {
				got[name] = why
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the page has\n%v\nand the table\n%v", got, want)
	}
}

const pageHead = `# Configuration

Made from the one table of settings by a test in ` + "`internal/config`" + `. Names, defaults, order and rules are etcd's.

- **Flags** and **variables**: ` + "`--listen-client-urls`" + ` is also ` + "`ETCD_LISTEN_CLIENT_URLS`" + `, and so on for each flag. Both at once end the program.
- **A file**: ` + "`--config-file FILE`" + ` (or ` + "`ETCD_CONFIG_FILE`" + `), YAML or JSON. All other flags and variables are ignored then. Keys are the flags' names,
  unless another is named below; a dot stands for a level. Durations are nanoseconds there, except heartbeat and election, which are milliseconds. [etcd.conf.yml.sample](../etcd.conf.yml.sample)
  has every key with its default.
- A setting that does nothing here says why below, and in the log when it is changed.
`

// otherNames are the ways to give a setting that do not follow from its name.
func (s *setting) otherNames() string {
	text := ""
	switch s.fileKey() {
	case s.name:
	case "":
		text += "<br>not in a file"
	default:
		text += "<br>in a file `" + s.fileKey() + "`"
	}
	for _, former := range s.former {
		text += "<br>formerly `--" + former + "`"
	}
	return text
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func cell(help, idle string) string {
	text := strings.ReplaceAll(strings.ReplaceAll(help, "\n", " "), "|", "\\|")
	if idle != "" {
		text += " *No effect: " + idle + ".*"
	}
	return strings.TrimSpace(text)
}

// TestSampleFile keeps the commented file with every key, and shows that it is a file
// that can be used, its comments lifted too.
func TestSampleFile(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Every setting that a configuration file can have, with its default. Made from the table of\n" +
		"# settings; docs/configuration.md says more. Lift the comment from what you want to change.\n")
	rows := table()
	section := ""
	for _, g := range groups() {
		if g == groupFormer {
			continue
		}
		fmt.Fprintf(&b, "\n# --- %s\n", g)
		for i := range rows {
			row := &rows[i]
			key := row.fileKey()
			if row.group != g || key == "" || row.idle != "" || row.name == "config-file" {
				continue
			}
			parts := strings.Split(key, ".")
			if at := strings.Join(parts[:len(parts)-1], "."); at != section {
				for depth, name := range parts[:len(parts)-1] {
					if sub := strings.Join(parts[:depth+1], "."); !strings.HasPrefix(section+".", sub+".") {
						fmt.Fprintf(&b, "\n# %s%s:", strings.Repeat("  ", depth), name)
					}
				}
				section = at
			}
			indent := strings.Repeat("  ", len(parts)-1)
			fmt.Fprintf(&b, "\n## %s\n# %s%s: %s\n", strings.ReplaceAll(row.help, "\n", "\n## "), indent, parts[len(parts)-1], row.inFile(t, row.def))
		}
	}
	golden(t, filepath.Join("..", "..", "..", "etcd.conf.yml.sample"), b.String())

	var lifted strings.Builder
	for line := range strings.Lines(b.String()) {
		if text, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(text, ":") {
			line = text
		}
		lifted.WriteString(line)
	}
	p := newParser()
	if err := p.file(writeFile(t, lifted.String())); err != nil {
		t.Fatal(err)
	}
	untouched := newParser()
	for i := range rows {
		if got, want := rows[i].to(&p.draft).String(), rows[i].to(&untouched.draft).String(); got != want {
			t.Errorf("%s is %q by the file with defaults, %q without", rows[i].name, got, want)
		}
	}
}
