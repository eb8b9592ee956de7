package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// Names of the files in a directory of self-signed certificates; etcd's.
const (
	selfSignedCert = "cert.pem"
	selfSignedKey  = "key.pem"
)

// SelfSigned returns the files of a certificate for these hosts that is valid for so many years, made by its owner.
// Those in the directory are used again, unless they cannot be used any more.
func SelfSigned(dir string, hosts []string, years uint, log *zap.Logger) (certFile, keyFile string, err error) {
	if years == 0 {
		return "", "", errors.New("selfSignedCertValidity is invalid,it should be greater than 0")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, selfSignedCert), filepath.Join(dir, selfSignedKey)
	switch pair, err := tls.LoadX509KeyPair(certFile, keyFile); {
	case err == nil && time.Now().Before(pair.Leaf.NotAfter):
		return certFile, keyFile, nil
	case !errors.Is(err, os.ErrNotExist):
		log.Warn("a self-signed certificate cannot be used any more", zap.String("path", certFile), zap.Error(err))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", err
	}
	cert, key, err := makeSelfSigned(hosts, years, log)
	if err != nil {
		return "", "", fmt.Errorf("make a certificate: %w", err)
	}
	// A key without its certificate is replaced at the next start; so is half a file.
	if err := writeFile(keyFile, 0o600, "EC PRIVATE KEY", key); err != nil {
		return "", "", err
	}
	log.Info("created key file", zap.String("path", keyFile))
	if err := writeFile(certFile, 0o644, "CERTIFICATE", cert); err != nil {
		return "", "", err
	}
	log.Info("created cert file", zap.String("path", certFile))
	return certFile, keyFile, nil
}

func makeSelfSigned(hosts []string, years uint, log *zap.Logger) (cert, key []byte, err error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{Organization: []string{"etcd"}},
		NotBefore:    now,
		NotAfter:     now.AddDate(0, 0, 365*int(years)),
		KeyUsage:     x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// Whoever trusts the file trusts it as an authority.
		BasicConstraintsValid: true, IsCA: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if host != "" {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	log.Warn("automatically generate certificates", zap.Time("certificate-validity-bound-not-after", template.NotAfter))
	private, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if cert, err = x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private); err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalECPrivateKey(private)
	return cert, key, err
}

func writeFile(path string, mode os.FileMode, kind string, der []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(mode), pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Sync(), f.Close())
}
