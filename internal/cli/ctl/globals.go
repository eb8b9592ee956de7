package ctl

import (
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"bowline/internal/cli"
)

// globals are the flags that every command takes. Each has an environment
// variable, envName of its name.
type globals struct {
	endpoints       []string
	dialTimeout     time.Duration
	commandTimeout  time.Duration
	keepAliveTime   time.Duration
	keepAliveWait   time.Duration
	maxRequestBytes int
	maxRecvBytes    int

	insecureTransport bool
	insecureSkip      bool
	insecureDiscovery bool
	caCert            string
	cert              string
	key               string
	discoverySRV      string
	discoveryName     string

	user     string
	password string
	token    string

	writeOut string
	hex      bool
	debug    bool
}

func (g *globals) addFlags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&g.endpoints, "endpoints", []string{"127.0.0.1:2379"}, "gRPC endpoints")
	fs.DurationVar(&g.dialTimeout, "dial-timeout", 2*time.Second, "limit for the login of --user")
	fs.DurationVar(&g.commandTimeout, "command-timeout", 5*time.Second, "limit for each short running command")
	fs.DurationVar(&g.keepAliveTime, "keepalive-time", 2*time.Second, "interval of keepalive pings")
	fs.DurationVar(&g.keepAliveWait, "keepalive-timeout", 6*time.Second, "time to wait for the answer to a keepalive ping")
	fs.IntVar(&g.maxRequestBytes, "max-request-bytes", 0, "limit for the size of a request (0: 2 MiB)")
	fs.IntVar(&g.maxRecvBytes, "max-recv-bytes", 0, "limit for the size of a response (0: 2 GiB)")

	fs.BoolVar(&g.insecureTransport, "insecure-transport", true, "without certificate flags, do not use TLS")
	fs.BoolVar(&g.insecureSkip, "insecure-skip-tls-verify", false, "do not verify the server's certificate (only for tests)")
	fs.BoolVar(&g.insecureDiscovery, "insecure-discovery", true, "accept SRV records of endpoints without TLS")
	fs.StringVar(&g.caCert, "cacert", "", "file of the CA certificates that the server's certificate is verified with")
	fs.StringVar(&g.cert, "cert", "", "file of the client's certificate")
	fs.StringVar(&g.key, "key", "", "file of the client's private key")
	fs.StringVarP(&g.discoverySRV, "discovery-srv", "d", "", "domain whose SRV records name the endpoints")
	fs.StringVar(&g.discoveryName, "discovery-srv-name", "", "suffix of the service name in SRV records")

	fs.StringVar(&g.user, "user", "", "user to authenticate as, name[:password]; without a password it is asked for")
	fs.StringVar(&g.password, "password", "", "password of --user, which then holds the name only")
	fs.StringVar(&g.token, "auth-jwt-token", "", "token to authenticate with; --user and --password are then ignored")

	fs.StringVarP(&g.writeOut, "write-out", "w", "simple", "output format (fields, json, protobuf, simple, table)")
	fs.BoolVar(&g.hex, "hex", false, "write bytes in hexadecimal")
	fs.BoolVar(&g.debug, "debug", false, "write the settings and the client's debug log to standard error")
}

const envPrefix = "ETCDCTL_"

// envName is the environment variable of a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applyEnvironment gives flags that are not on the command line the values of
// their variables. Flag and variable together are refused, even when they
// agree: it is never clear which one the user believes in. Variables that
// nobody reads draw a warning; those in known are read by the command itself.
func (env *Env) applyEnvironment(lg *zap.Logger, known ...string) error {
	byVariable := map[string]*pflag.Flag{}
	env.flags.VisitAll(func(f *pflag.Flag) { byVariable[envName(f.Name)] = f })
	ours := map[string]bool{envPrefix + "API": true}
	for _, name := range known {
		ours[name] = true
	}

	for _, entry := range env.Environ {
		name, value, _ := strings.Cut(entry, "=")
		f := byVariable[name]
		switch {
		case !strings.HasPrefix(name, envPrefix) || ours[name]:
		case f != nil && f.Changed:
			logFatal(lg, "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))",
				zap.String("environment-variable", name))
			return cli.Exit(cli.ExitFailure, nil)
		case f != nil && value != "":
			setFromEnvironment(f, value)
		default:
			lg.Warn("unrecognized environment variable", zap.String("environment-variable", entry))
		}
	}
	return nil
}

// setFromEnvironment ignores a value that does not parse, as etcdctl always has.
// The flag keeps its default then, which pflag would overwrite with zero. The
// flag does not count as given: that is asked of the command line alone.
func setFromEnvironment(f *pflag.Flag, value string) {
	before := f.Value.String()
	if f.Value.Set(value) == nil {
		return
	}
	if _, isList := f.Value.(pflag.SliceValue); !isList {
		_ = f.Value.Set(before)
	}
}
