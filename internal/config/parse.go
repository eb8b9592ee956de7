package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Values that are recognized when they were left alone.
const (
	defaultName      = "default"
	defaultPeerURL   = "http://localhost:2380"
	defaultClientURL = "http://localhost:2379"
)

// Line is a line to be logged when there is a logger. One at level fatal comes with
// an Exit, which ends the process.
type Line struct {
	Level   zapcore.Level
	Message string
	Fields  []zap.Field
}

// ErrVersion is the answer to --version.
var ErrVersion = errors.New("config: asked for the version")

// Exit is an error that tells how the process has to end.
type Exit struct {
	Code           int
	Stdout, Stderr string
	err            error
}

func (e *Exit) Error() string { return e.err.Error() }

// Unwrap returns what was wrong.
func (e *Exit) Unwrap() error { return e.err }

// Codes of Exit.
const (
	exitConfig = 1 // something is wrong with the settings
	exitUsage  = 2 // the command line cannot be read, or what etcd panics about
)

// parser turns what the user has written into a Config.
type parser struct {
	draft draft
	rows  []setting
	// made holds the names of the settings that were made, under any spelling.
	made map[string]bool
	// fromFile tells that a configuration file was read.
	fromFile bool
	lines    []Line
}

func newParser() *parser {
	p := &parser{rows: table(), made: map[string]bool{}}
	for i := range p.rows {
		row := &p.rows[i]
		if row.def == "" {
			continue
		}
		if err := row.to(&p.draft).Set(row.def); err != nil {
			panic(fmt.Sprintf("config: the default %q of %s is not valid: %v", row.def, row.name, err))
		}
	}
	return p
}

// Parse reads the command line, without the program's name, the environment as
// os.Environ has it, and the configuration file if one is named. It returns the
// settings and the lines to be logged about them. The error is ErrVersion or an
// *Exit; there may be lines to be logged then too.
func Parse(args, environ []string) (*Config, []Line, error) {
	p := newParser()
	err := p.parse(args, environ)
	if err != nil {
		return nil, p.lines, err
	}
	config := p.draft.Config
	return &config, p.lines, nil
}

func (p *parser) parse(args, environ []string) error {
	given, err := p.commandLine(args)
	if err != nil {
		return err
	}
	if p.draft.version {
		return ErrVersion
	}
	env := p.environment(environ)
	path := p.draft.configFile
	if path == "" {
		path = env[envKey("config-file")]
	}
	if path != "" {
		file := newParser()
		file.lines, file.fromFile = p.lines, true
		*p = *file
		err = p.file(path)
	} else {
		err = p.useEnvironment(env, given)
	}
	if err == nil {
		err = p.derive()
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return p.refuse(err)
	}
	p.tellIdles()
	return nil
}

// refuse makes an Exit of an error, with the line that goes with it.
func (p *parser) refuse(err error) error {
	var exit *Exit
	var bad *badURL
	switch {
	case errors.As(err, &exit):
		return exit
	case errors.As(err, &bad):
		return &Exit{Code: exitConfig, Stderr: bad.Error() + "\n", err: bad}
	}
	p.warn("failed to verify flags", zap.Error(err))
	return &Exit{Code: exitConfig, err: err}
}

func (p *parser) say(level zapcore.Level, message string, fields ...zap.Field) {
	p.lines = append(p.lines, Line{level, message, fields})
}

func (p *parser) info(message string, fields ...zap.Field) {
	p.say(zapcore.InfoLevel, message, fields...)
}

func (p *parser) warn(message string, fields ...zap.Field) {
	p.say(zapcore.WarnLevel, message, fields...)
}

// commandLine returns the spellings of the flags that were given.
func (p *parser) commandLine(args []string) (given map[string]bool, err error) {
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	names := map[string]string{}
	for i := range p.rows {
		row := &p.rows[i]
		for _, spelling := range append([]string{row.name}, row.former...) {
			flags.Var(row.to(&p.draft), spelling, row.help)
			names[spelling] = row.name
		}
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, &Exit{Code: 0, Stdout: Help(), Stderr: Usage(), err: err}
	case err != nil:
		return nil, &Exit{Code: exitUsage, Stderr: err.Error() + "\n" + Usage(), err: err}
	case flags.NArg() > 0:
		return nil, p.refuse(fmt.Errorf("%q is not a valid flag", flags.Arg(0)))
	}
	given = map[string]bool{}
	flags.Visit(func(f *flag.Flag) {
		given[f.Name] = true
		p.made[names[f.Name]] = true
	})
	return given, nil
}

// environment returns the variables that concern the server.
func (p *parser) environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		key, v, _ := strings.Cut(entry, "=")
		switch {
		case !strings.HasPrefix(key, envPrefix), key == "ETCD_UNSUPPORTED_ARCH":
		case key == envKey("version"):
			p.warn("cannot set special environment variable", zap.String("key", key), zap.String("value", v))
		default:
			env[key] = v
		}
	}
	return env
}

// useEnvironment takes from the environment what the command line did not say.
func (p *parser) useEnvironment(env map[string]string, given map[string]bool) error {
	known := map[string]bool{}
	var bad error
	for i := range p.rows {
		row := &p.rows[i]
		for _, spelling := range append([]string{row.name}, row.former...) {
			key := envKey(spelling)
			v, ok := env[key]
			if !ok {
				continue
			}
			known[key] = true
			switch {
			case given[spelling]:
				const conflict = "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))"
				p.say(zapcore.FatalLevel, conflict, zap.String("environment-variable", key))
				return &Exit{Code: exitConfig, err: fmt.Errorf("%s: %s", conflict, key)}
			case v == "":
				continue
			case p.made[row.name] || row.gate != "" && p.draft.gates.said(row.gate):
				p.warn("environment variable is ignored: the setting is made under another name",
					zap.String("environment-variable", key), zap.String("setting", row.name))
				continue
			}
			if err := row.to(&p.draft).Set(v); err != nil {
				bad = fmt.Errorf("invalid value %q for %s: %w", v, key, err)
				continue
			}
			p.made[row.name] = true
			if row.name == "discovery-user" || row.name == "discovery-password" {
				v = hidden
			}
			p.info("recognized and used environment variable", zap.String("variable-name", key), zap.String("variable-value", v))
		}
	}
	for _, key := range sortedKeys(env) {
		if !known[key] {
			p.warn("unrecognized environment variable", zap.String("environment-variable", key+"="+env[key]))
		}
	}
	return bad
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// tellIdles adds a line for each setting that was changed and does nothing.
func (p *parser) tellIdles() {
	untouched := newParser()
	for i := range p.rows {
		row := &p.rows[i]
		if p.made[row.name] && (row.group == groupIgnored || row.to(&p.draft).String() != row.to(&untouched.draft).String()) {
			p.tellIdle("--"+row.name, row.idle)
		}
	}
	for _, g := range gateTable() {
		if *g.to(&p.draft.Features) != g.on {
			p.tellIdle("feature gate "+g.name, g.idle)
		}
	}
}

func (p *parser) tellIdle(name, why string) {
	if why != "" {
		p.info("setting is accepted and has no effect", zap.String("setting", name), zap.String("reason", why))
	}
}
