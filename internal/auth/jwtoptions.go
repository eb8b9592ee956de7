package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
)

// Options of JWT. The audience is ours: etcd warns of it as unknown.
const (
	optionMethod   = "sign-method"
	optionPublic   = "pub-key"
	optionPrivate  = "priv-key"
	optionTTL      = "ttl"
	optionAudience = "audience"

	defaultJWTTTL = 5 * time.Minute
)

func newJWT(options map[string]string, log *zap.Logger) (*JWT, error) {
	bad := func(err error) (*JWT, error) {
		log.Error("problem loading JWT options", zap.Error(err))
		return nil, ErrOptions
	}
	unknown := slices.DeleteFunc(slices.Sorted(maps.Keys(options)), func(name string) bool {
		return slices.Contains([]string{optionMethod, optionPublic, optionPrivate, optionTTL, optionAudience}, name)
	})
	j := &JWT{ttl: defaultJWTTTL}
	var err error
	if text := options[optionTTL]; text != "" {
		if j.ttl, err = time.ParseDuration(text); err != nil {
			return bad(err)
		}
	}
	public, err := readOption(options[optionPublic])
	if err != nil {
		return bad(err)
	}
	private, err := readOption(options[optionPrivate])
	if err != nil {
		return bad(err)
	}
	name := options[optionMethod]
	if j.method = jwt.GetSigningMethod(name); j.method == nil {
		return bad(fmt.Errorf("auth: invalid auth signature method %q", name))
	}
	if len(unknown) > 0 {
		log.Warn("unknown JWT options", zap.Strings("keys", unknown))
	}
	j.rules = []jwt.ParserOption{jwt.WithValidMethods([]string{j.method.Alg()})}
	if audience := options[optionAudience]; audience != "" {
		j.rules = append(j.rules, jwt.WithAudience(audience))
	}
	return j, j.useKeys(public, private)
}

func readOption(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	return os.ReadFile(file)
}

// useKeys sets the keys for signing and verifying, of which the public one may be left
// out, and the private one for those who only verify.
func (j *JWT) useKeys(public, private []byte) error {
	switch j.method.(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		return usePair(j, public, private, jwt.ParseRSAPublicKeyFromPEM, jwt.ParseRSAPrivateKeyFromPEM, (*rsa.PublicKey).Equal)
	case *jwt.SigningMethodECDSA:
		return usePair(j, public, private, jwt.ParseECPublicKeyFromPEM, jwt.ParseECPrivateKeyFromPEM, (*ecdsa.PublicKey).Equal)
	case *jwt.SigningMethodEd25519:
		return usePair(j, public, private, parseEdPublic, parseEdPrivate, ed25519.PublicKey.Equal)
	case *jwt.SigningMethodHMAC:
		if len(private) == 0 {
			return ErrMissingKey
		}
		j.signing, j.verifying = private, private
		return nil
	}
	// The only other one is "none", with which anybody could sign.
	return fmt.Errorf("unsupported signing method: %s", j.method.Alg())
}

func parseEdPublic(pem []byte) (ed25519.PublicKey, error) {
	key, err := jwt.ParseEdPublicKeyFromPEM(pem)
	ed, _ := key.(ed25519.PublicKey)
	return ed, err
}

func parseEdPrivate(pem []byte) (ed25519.PrivateKey, error) {
	key, err := jwt.ParseEdPrivateKeyFromPEM(pem)
	ed, _ := key.(ed25519.PrivateKey)
	return ed, err
}

// usePair sets the keys of a method that has two.
func usePair[Public any, Private interface{ Public() crypto.PublicKey }](j *JWT, public, private []byte,
	parsePublic func([]byte) (Public, error), parsePrivate func([]byte) (Private, error), equal func(Public, crypto.PublicKey) bool,
) error {
	if len(public) == 0 && len(private) == 0 {
		return ErrMissingKey
	}
	if len(private) > 0 {
		key, err := parsePrivate(private)
		if err != nil {
			return err
		}
		j.signing, j.verifying = key, key.Public()
	}
	if len(public) == 0 {
		return nil
	}
	key, err := parsePublic(public)
	switch {
	case err != nil:
		return err
	case j.signing != nil && !equal(key, j.verifying):
		return ErrKeyMismatch
	}
	j.verifying = key
	return nil
}
