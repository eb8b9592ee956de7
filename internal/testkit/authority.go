package testkit

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
	"testing"
	"time"
)

// Authority signs certificates for tests.
type Authority struct {
	// File is its own certificate.
	File string

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair is the files of a certificate and its key.
type Pair struct {
	Cert, Key string
	Serial    *big.Int
}

// NewAuthority makes an authority whose files, and those of what it signs, are in dir.
func NewAuthority(dir, name string) (*Authority, error) {
	a := &Authority{dir: dir}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	pair, err := a.write(name, template)
	a.File = pair.Cert
	return a, err
}

// NewServerPair makes an authority and a server's pair by it, whose files are gone after the test.
func NewServerPair(t testing.TB) (*Authority, Pair) {
	t.Helper()
	a, err := NewAuthority(t.TempDir(), "ca")
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Issue("server")
	if err != nil {
		t.Fatal(err)
	}
	return a, server
}

// Issue makes a certificate called name for a server and client at 127.0.0.1 and localhost, good
// for a day, unless it is changed before it is signed. One of that name is replaced.
func (a *Authority) Issue(name string, changes ...func(*x509.Certificate)) (Pair, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, change := range changes {
		change(template)
	}
	return a.write(name, template)
}

// Revoke writes a list of revoked certificates, in DER.
func (a *Authority) Revoke(path string, revoked ...Pair) error {
	list := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, p := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: p.Serial, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, der, 0o600)
}

// write signs a certificate, with its own key if there is no authority yet, and writes its files.
func (a *Authority) write(name string, template *x509.Certificate) (Pair, error) {
	p := Pair{Cert: filepath.Join(a.dir, name+".crt"), Key: filepath.Join(a.dir, name+".key")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return p, err
	}
	if p.Serial, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return p, err
	}
	template.SerialNumber = p.Serial
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	}
	by, with := a.cert, a.key
	if by == nil {
		by, with = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, &key.PublicKey, with)
	if err != nil {
		return p, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return p, err
	}
	if a.cert == nil {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			return p, err
		}
		a.key = key
	}
	return p, errors.Join(writePEM(p.Cert, "CERTIFICATE", der), writePEM(p.Key, "EC PRIVATE KEY", private))
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
