package clitest

import (
	"crypto/x509"
	"errors"

	"bowline/internal/testkit"
)

// certs are the files of the certificates that recordings with TLS name.
var certs map[string]string

// makeCerts writes two authorities, a server's certificate, and a client's, who is
// root, by each of the authorities.
func makeCerts(dir string) (map[string]string, error) {
	ca, err := testkit.NewAuthority(dir, "ca")
	if err != nil {
		return nil, err
	}
	badCA, err := testkit.NewAuthority(dir, "badca")
	if err != nil {
		return nil, err
	}
	root := func(c *x509.Certificate) {
		c.Subject.CommonName, c.ExtKeyUsage = "root", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		c.IPAddresses, c.DNSNames = nil, nil
	}
	server, err := ca.Issue("server")
	client, cerr := ca.Issue("client", root)
	badClient, berr := badCA.Issue("badclient", root)
	return map[string]string{
		"cacert": ca.File, "badca": badCA.File, "cert": client.Cert, "key": client.Key,
		"badcert": badClient.Cert, "badkey": badClient.Key,
		"server_cert": server.Cert, "server_key": server.Key,
	}, errors.Join(err, cerr, berr)
}
