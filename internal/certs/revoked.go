package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// revocations are the serial numbers of revoked certificates. As in etcd the number alone counts, whoever has signed.
type revocations map[string]bool

// parseRevocations reads one list in DER, which is all that etcd reads, or some in PEM, which is what openssl writes.
func parseRevocations(contents [][]byte) (revocations, error) {
	const kind = "X509 CRL"
	if !bytes.Contains(contents[0], []byte("-----BEGIN "+kind)) {
		return revocations{}.add(contents[0])
	}
	all := revocations{}
	found := false
	for block, rest := pem.Decode(contents[0]); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != kind {
			continue
		}
		found = true
		if _, err := all.add(block.Bytes); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, errors.New("no list of revoked certificates is in the file")
	}
	return all, nil
}

func (r revocations) add(der []byte) (revocations, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	for _, entry := range list.RevokedCertificateEntries {
		r[string(entry.SerialNumber.Bytes())] = true
	}
	return r, nil
}

// check refuses who has shown a revoked certificate, or has none but chains with one.
func (r revocations) check(state tls.ConnectionState) error {
	if err := r.find(state.PeerCertificates); err != nil {
		return err
	}
	var found error
	clean := slices.ContainsFunc(state.VerifiedChains, func(chain []*x509.Certificate) bool {
		err := r.find(chain)
		if err != nil {
			found = err
		}
		return err == nil
	})
	if clean {
		return nil
	}
	return found
}

func (r revocations) find(certificates []*x509.Certificate) error {
	for _, c := range certificates {
		if serial := c.SerialNumber.Bytes(); r[string(serial)] {
			return fmt.Errorf("transport: certificate serial %x revoked", serial)
		}
	}
	return nil
}
