package embed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"bowline/internal/config"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"google.golang.org/grpc"
)

// NewConfig is the defaults.
func NewConfig() *Config {
	c := new(Config)
	if err := c.fill(config.Defaults()); err != nil {
		panic("embed: a default does not fit its field: " + err.Error())
	}
	return c
}

// ConfigFromFile reads a configuration file as etcd's --config-file has it, and checks it.
func ConfigFromFile(path string) (*Config, error) {
	if _, _, err := config.Parse([]string{"--config-file=" + path}, nil); err != nil {
		return nil, err
	}
	texts, _, err := config.FileTexts(path)
	if err != nil {
		return nil, err
	}
	c := new(Config)
	return c, c.fill(texts)
}

// fill gives the fields the values of flags, and keeps in Settings what has no field and is not as it was.
func (c *Config) fill(texts map[string]string) error {
	rest := maps.Clone(texts)
	for _, f := range fields() {
		if err := setText(f.at(c), texts[f.flag]); err != nil {
			return fmt.Errorf("%s: %w", f.flag, err)
		}
		delete(rest, f.flag)
	}
	defaults := config.Defaults()
	for name, s := range rest {
		if s == defaults[name] {
			continue
		}
		if c.Settings == nil {
			c.Settings = make(map[string]string)
		}
		c.Settings[name] = s
	}
	return nil
}

// Validate checks the settings, and what goes together.
func (c *Config) Validate() error {
	_, _, err := c.settings()
	return err
}

// Errors of Validate that programs look for.
var (
	ErrUnsetAdvertiseClientURLsFlag = errors.New("--advertise-client-urls is required when --listen-client-urls is set explicitly")
	ErrLogRotationInvalidLogOutput  = errors.New("--log-outputs requires a single file path when --log-rotate-config-json is defined")
	ErrConflictBootstrapFlags       = errors.New("multiple discovery or bootstrap flags are set. " +
		"Choose one of \"initial-cluster\", \"discovery-endpoints\" or \"discovery-srv\"")
)

// settings are what the flags would give, and the lines to be logged about them.
func (c *Config) settings() (*config.Config, []config.Line, error) {
	for name, info := range map[string]*transport.TLSInfo{"ClientTLSInfo": &c.ClientTLSInfo, "PeerTLSInfo": &c.PeerTLSInfo} {
		if err := onlyFiles(info); err != nil {
			return nil, nil, fmt.Errorf("embed: %s: %w", name, err)
		}
	}
	if err := checkOptions(c.GRPCAdditionalServerOptions); err != nil {
		return nil, nil, err
	}
	args, err := c.flags()
	if err != nil {
		return nil, nil, err
	}
	settings, lines, err := config.Parse(args, nil)
	for _, known := range []error{ErrUnsetAdvertiseClientURLsFlag, ErrConflictBootstrapFlags, ErrLogRotationInvalidLogOutput} {
		if err != nil && err.Error() == known.Error() {
			err = known
		}
	}
	return settings, lines, err
}

// flags is the command line of these settings.
func (c *Config) flags() ([]string, error) {
	var args []string
	defaults := config.Defaults()
	taken := make(map[string]bool)
	for _, f := range fields() {
		taken[f.flag] = true
		s := text(f.at(c))
		// A member is not what others are told by default, once it listens elsewhere: that has to be said. No URLs are
		// the same as a flag that was left alone, where there are any by default.
		said := f.flag == "advertise-client-urls" && s != ""
		if s == defaults[f.flag] && !said || s == "" && strings.HasPrefix(defaults[f.flag], "http") {
			continue
		}
		args = append(args, "--"+f.flag+"="+s)
	}
	if len(c.ListenPeerUrls) == 0 || len(c.AdvertisePeerUrls) == 0 {
		return nil, errors.New("embed: ListenPeerUrls and AdvertisePeerUrls must not be empty")
	}
	if len(c.ListenClientUrls) == 0 {
		return nil, errors.New("embed: ListenClientUrls must not be empty")
	}
	if len(c.AdvertiseClientUrls) == 0 {
		return nil, ErrUnsetAdvertiseClientURLsFlag
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		switch {
		case taken[name]:
			return nil, fmt.Errorf("embed: the setting %s has a field of its own", name)
		case name == "config-file" || name == "version":
			return nil, fmt.Errorf("embed: %s is not a setting of an embedded member", name)
		}
		args = append(args, "--"+name+"="+c.Settings[name])
	}
	return args, nil
}

// onlyFiles refuses what a TLSInfo may say that is not done here.
func onlyFiles(i *transport.TLSInfo) error {
	for name, said := range map[string]bool{
		"InsecureSkipVerify": i.InsecureSkipVerify, "ServerName": i.ServerName != "", "EmptyCN": i.EmptyCN,
		"HandshakeFailure": i.HandshakeFailure != nil, "CipherSuites": len(i.CipherSuites) > 0,
		"MinVersion": i.MinVersion != 0, "MaxVersion": i.MaxVersion != 0,
		"AllowedCN": i.AllowedCN != "", "AllowedHostname": i.AllowedHostname != "",
	} {
		if said {
			return fmt.Errorf("%s is not supported: see the fields of Config, and AllowedCNs and AllowedHostnames", name)
		}
	}
	return nil
}

// checkOptions refuses options that the member's own leave no room for: gRPC panics about them.
func checkOptions(options []grpc.ServerOption) (err error) {
	if len(options) == 0 {
		return nil
	}
	defer func() {
		if wrong := recover(); wrong != nil {
			err = fmt.Errorf("embed: GRPCAdditionalServerOptions: %v (interceptors are chained: grpc.ChainUnaryInterceptor, grpc.ChainStreamInterceptor)", wrong)
		}
	}()
	grpc.NewServer(append(slices.Clone(options),
		grpc.UnaryInterceptor(func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) { return nil, nil }),
		grpc.StreamInterceptor(func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error { return nil }),
	)...).Stop()
	return nil
}
