package clitest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certs are the files of the certificates that recordings with TLS name.
var certs map[string]string

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// makeCerts writes two authorities, a server's certificate, and a client's by
// each of the authorities.
func makeCerts(dir string) (map[string]string, error) {
	files := map[string]string{}
	var failed error
	issue := func(name string, template *x509.Certificate, by *authority) *authority {
		made, err := writeCert(filepath.Join(dir, name), template, by)
		failed = errors.Join(failed, err)
		return made
	}
	name := func(n string) pkix.Name { return pkix.Name{CommonName: n} }
	ca := issue("ca", &x509.Certificate{Subject: name("test-ca"), IsCA: true}, nil)
	badCA := issue("badca", &x509.Certificate{Subject: name("other-ca"), IsCA: true}, nil)
	if failed != nil {
		return nil, failed
	}
	issue("server", &x509.Certificate{
		Subject: name("server"), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca)
	client := &x509.Certificate{Subject: name("root"), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	issue("client", client, ca)
	issue("badclient", client, badCA)

	for key, file := range map[string]string{
		"cacert": "ca.crt", "badca": "badca.crt", "cert": "client.crt", "key": "client.key",
		"badcert": "badclient.crt", "badkey": "badclient.key",
		"server_cert": "server.crt", "server_key": "server.key",
	} {
		files[key] = filepath.Join(dir, file)
	}
	return files, failed
}

// writeCert makes PATH.crt and PATH.key, signed by an authority or by itself.
func writeCert(path string, template *x509.Certificate, by *authority) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := *template
	cert.NotBefore, cert.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	cert.KeyUsage = x509.KeyUsageDigitalSignature
	if cert.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, err
	}
	if cert.IsCA {
		cert.KeyUsage |= x509.KeyUsageCertSign
		cert.BasicConstraintsValid = true
	}
	self := &authority{cert: &cert, key: key}
	if by == nil {
		by = self
	}
	der, err := x509.CreateCertificate(rand.Reader, &cert, by.cert, &key.PublicKey, by.key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return self, errors.Join(
		os.WriteFile(path+".crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(path+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600),
	)
}
