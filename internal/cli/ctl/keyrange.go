package ctl

import (
	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"

	"bowline/internal/cli"
)

// keyRange are the flags that turn a key into a range of keys.
type keyRange struct {
	prefix  bool
	fromKey bool
}

func (r *keyRange) addFlags(fs *pflag.FlagSet, verb string) {
	fs.BoolVar(&r.prefix, "prefix", false, verb+" all keys with this prefix")
	fs.BoolVar(&r.fromKey, "from-key", false, verb+" all keys from this one on, in byte order")
}

// check refuses flags and arguments that contradict each other.
func (r *keyRange) check(args []string) error {
	if r.prefix && r.fromKey {
		return cli.BadArgs("`--prefix` and `--from-key` cannot be set at the same time, choose one")
	}
	if len(args) > 1 && (r.prefix || r.fromKey) {
		return cli.BadArgs("too many arguments, only accept one argument when `--prefix` or `--from-key` is set")
	}
	return nil
}

// resolve returns the key to ask for and the option that makes it a range.
func (r *keyRange) resolve(args []string) (string, []clientv3.OpOption) {
	key := args[0]
	switch {
	case len(args) > 1:
		return key, []clientv3.OpOption{clientv3.WithRange(args[1])}
	case key == "" && (r.prefix || r.fromKey):
		return "\x00", []clientv3.OpOption{clientv3.WithFromKey()}
	case r.prefix:
		return key, []clientv3.OpOption{clientv3.WithPrefix()}
	case r.fromKey:
		return key, []clientv3.OpOption{clientv3.WithFromKey()}
	}
	return key, nil
}
