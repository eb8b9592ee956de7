package config

import (
	"fmt"
	"strings"
)

// Usage is the short help text.
func Usage() string {
	return `Usage:

  etcd [flags]
    Run the server.

  etcd --version
    Print the version.

  etcd -h | --help
    Print all flags.

  etcd --config-file PATH
    Run the server with the settings in a file; other flags and the environment are ignored.

  etcd gateway
    Run a TCP proxy in front of a cluster.

  etcd grpc-proxy
    Run a gRPC proxy in front of a cluster.
`
}

// Help is the list of all flags, by groups.
func Help() string {
	var b strings.Builder
	rows := table()
	for _, g := range groups() {
		fmt.Fprintf(&b, "%s:\n", g)
		for i := range rows {
			if rows[i].group == g {
				rows[i].writeHelp(&b)
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("Unsafe features break the promises of the consensus protocol.\n\n")
	b.WriteString("Former names of flags that are still understood:\n")
	for i := range rows {
		for _, former := range rows[i].former {
			fmt.Fprintf(&b, "  --%s\n    --%s\n", former, rows[i].name)
		}
	}
	return b.String()
}

func (s *setting) writeHelp(b *strings.Builder) {
	fmt.Fprintf(b, "  --%s '%s'\n", s.name, s.def)
	for line := range strings.SplitSeq(s.help, "\n") {
		fmt.Fprintf(b, "    %s\n", line)
	}
	if s.idle != "" {
		fmt.Fprintf(b, "    Has no effect: %s.\n", s.idle)
	}
}
