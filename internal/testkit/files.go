package testkit

import (
	"compress/gzip"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// WriteKeys writes the two keys of a pair to files in dir.
func WriteKeys(dir string, key crypto.Signer) (public, private string, err error) {
	public, private = filepath.Join(dir, "public.pem"), filepath.Join(dir, "private.pem")
	publicDER, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", "", err
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	return public, private, errors.Join(writePEM(public, "PUBLIC KEY", publicDER), writePEM(private, "PRIVATE KEY", privateDER))
}

// Unzipped is what is in a file of gzip's.
func Unzipped(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
