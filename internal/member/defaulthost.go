package member

import (
	"bufio"
	"net"
	"os"
	"strings"

	"bowline/internal/config"

	"go.uber.org/zap"
)

// UseDefaultHost puts the address of the default route where a URL to advertise
// was left alone although all addresses are listened on.
func UseDefaultHost(c *config.Config, log *zap.Logger) {
	host, err := DefaultHost()
	if err != nil || host == "" {
		return
	}
	for _, l := range c.SetDefaultHost(host) {
		log.Log(l.Level, l.Message, l.Fields...)
	}
}

// DefaultHost is the first address of the interface that the kernel's default
// route uses, "" if there is none.
func DefaultHost() (string, error) {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		const defaultDestination = "00000000"
		if len(fields) < 2 || fields[1] != defaultDestination {
			continue
		}
		i, err := net.InterfaceByName(fields[0])
		if err != nil {
			return "", err
		}
		addrs, err := i.Addrs()
		if err != nil {
			return "", err
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil {
				return n.IP.String(), nil
			}
		}
	}
	return "", nil
}
