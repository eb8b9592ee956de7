package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bowline/internal/testkit"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// pair is a key pair in two files.
type pair struct{ public, private string }

func makePair(t *testing.T, key crypto.Signer, err error) pair {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := testkit.WriteKeys(t.TempDir(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{public, private}
}

func rsaPair(t *testing.T) pair {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return makePair(t, key, err)
}

func ecPair(t *testing.T, c elliptic.Curve) pair {
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	return makePair(t, key, err)
}

func edPair(t *testing.T) pair {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return makePair(t, key, err)
}

func secret(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func parseJWT(t *testing.T, format string, args ...any) *JWT {
	t.Helper()
	tokens, err := ParseTokens(fmt.Sprintf(format, args...), 0, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return tokens.JWT
}

// TestJWTMethods signs and verifies by every method, with both keys, with the private
// one, and with the public one alone, which cannot sign.
func TestJWTMethods(t *testing.T) {
	now := time.Now()
	rs, ed, hs := rsaPair(t), edPair(t), secret(t, "shared")
	pairs := map[string]pair{"RS256": rs, "RS384": rs, "RS512": rs, "PS256": rs, "PS384": rs, "PS512": rs, "EdDSA": ed,
		"ES256": ecPair(t, elliptic.P256()), "ES384": ecPair(t, elliptic.P384()), "ES512": ecPair(t, elliptic.P521())}
	for method, p := range pairs {
		both := parseJWT(t, "jwt,sign-method=%s,pub-key=%s,priv-key=%s", method, p.public, p.private)
		private := parseJWT(t, "jwt,sign-method=%s,priv-key=%s,ttl=1m", method, p.private)
		public := parseJWT(t, "jwt,sign-method=%s,pub-key=%s", method, p.public)
		token, err := private.Sign("u", 7, now)
		if err != nil {
			t.Errorf("%s: %v", method, err)
			continue
		}
		for _, j := range []*JWT{both, private, public, public} {
			if id, err := j.Verify(token, now); err != nil || id != (Identity{User: "u", Revision: 7}) {
				t.Errorf("%s: %v, %v", method, id, err)
			}
		}
		if _, err := public.Sign("u", 7, now); err != ErrVerifyOnly {
			t.Errorf("%s: signing with the public key: %v", method, err)
		}
		if _, err := public.Verify(token, now.Add(2*time.Minute)); err == nil {
			t.Errorf("%s: a token that was verified outlives its time", method)
		}
	}
	for _, method := range []string{"HS256", "HS384", "HS512"} {
		j := parseJWT(t, "jwt,sign-method=%s,priv-key=%s", method, hs)
		token, err := j.Sign("u", 7, now)
		if id, verr := j.Verify(token, now); err != nil || verr != nil || id.User != "u" {
			t.Errorf("%s: %v, %v", method, err, verr)
		}
	}
}

// TestForgedJWT: what others sign, or sign otherwise, or nobody signs.
func TestForgedJWT(t *testing.T) {
	now := time.Now()
	mine, theirs := rsaPair(t), rsaPair(t)
	j := parseJWT(t, "jwt,sign-method=RS256,pub-key=%s,audience=etcd", mine.public)
	key := func(file string) []byte {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	private := func(file string) any {
		k, err := jwt.ParseRSAPrivateKeyFromPEM(key(file))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	good := func() jwt.MapClaims {
		return jwt.MapClaims{"username": "root", "revision": 7, "exp": now.Add(time.Hour).Unix(), "aud": "etcd"}
	}
	with := func(name string, value any) jwt.MapClaims {
		c := good()
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	sign := func(m jwt.SigningMethod, key any, c jwt.MapClaims) string {
		s, err := jwt.NewWithClaims(m, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	rs := jwt.SigningMethodRS256
	right := sign(rs, private(mine.private), good())
	if id, err := j.Verify(right, now); err != nil || id.User != "root" {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(right, ".")
	body, signature, _ := strings.Cut(rest, ".")
	other := sign(rs, private(mine.private), with("username", "u"))
	otherBody := strings.Split(other, ".")[1]
	for name, token := range map[string]string{
		"nothing":                 "",
		"a simple token":          "cMZMPFIEJKjJDUiW.68",
		"nobody's signature":      sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good()),
		"another key":             sign(rs, private(theirs.private), good()),
		"another method":          sign(jwt.SigningMethodPS256, private(mine.private), good()),
		"the public key as HMAC":  sign(jwt.SigningMethodHS256, key(mine.public), good()),
		"without its signature":   head + "." + body + ".",
		"another's body":          head + "." + otherBody + "." + signature,
		"expired":                 sign(rs, private(mine.private), with("exp", now.Add(-time.Second).Unix())),
		"not valid yet":           sign(rs, private(mine.private), with("nbf", now.Add(time.Hour).Unix())),
		"for somebody else":       sign(rs, private(mine.private), with("aud", "vault")),
		"for anybody":             sign(rs, private(mine.private), with("aud", nil)),
		"without a user":          sign(rs, private(mine.private), with("username", nil)),
		"without a revision":      sign(rs, private(mine.private), with("revision", nil)),
		"a user that is no text":  sign(rs, private(mine.private), with("username", 7)),
		"a revision below 0":      sign(rs, private(mine.private), with("revision", -1)),
		"a revision that is text": sign(rs, private(mine.private), with("revision", "7")),
	} {
		if id, err := j.Verify(token, now); err == nil {
			t.Errorf("%s is taken for %v", name, id)
		}
	}
}

func TestJWTOptions(t *testing.T) {
	rs, other, ec := rsaPair(t), rsaPair(t), ecPair(t, elliptic.P256())
	empty := secret(t, "")
	for options, want := range map[string]string{
		"sign-method=RS256":                      "auth: missing key data",
		"sign-method=EdDSA":                      "auth: missing key data",
		"sign-method=ES256":                      "auth: missing key data",
		"sign-method=HS256":                      "auth: missing key data",
		"sign-method=HS256,pub-key=" + rs.public: "auth: missing key data",
		"sign-method=HS256,priv-key=" + empty:    "auth: missing key data",
		"sign-method=RS256,pub-key=" + other.public + ",priv-key=" + rs.private: "auth: public and private keys don't match",
		"sign-method=none,priv-key=" + rs.private:                               "unsupported signing method: none",
		"sign-method=rs256,priv-key=" + rs.private:                              "auth: invalid auth options",
		"priv-key=" + rs.private:                                                "auth: invalid auth options",
		"sign-method=RS256,priv-key=/nowhere":                                   "auth: invalid auth options",
		"sign-method=RS256,ttl=soon,priv-key=" + rs.private:                     "auth: invalid auth options",
		"sign-method=RS256,priv-key=" + ec.private:                              "key is not a valid RSA private key",
	} {
		_, err := ParseTokens("jwt,"+options, 0, zap.NewNop())
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", options, err, want)
		}
	}
	core, lines := observer.New(zap.WarnLevel)
	if _, err := ParseTokens("jwt,sign-method=RS256,colour=red,priv-key="+rs.private, 0, zap.New(core)); err != nil {
		t.Error(err)
	}
	if got := lines.FilterMessage("unknown JWT options").All(); len(got) != 1 || fmt.Sprint(got[0].ContextMap()["keys"]) != "[colour]" {
		t.Errorf("logs %v", lines.All())
	}
}

// TestJWTIsRememberedWithinBounds: more tokens than are remembered all stay valid.
func TestJWTIsRememberedWithinBounds(t *testing.T) {
	now := time.Now()
	j := parseJWT(t, "jwt,sign-method=HS256,priv-key=%s", secret(t, "shared"))
	for i := range maxVerified + 100 {
		token, err := j.Sign(fmt.Sprint(i), 1, now)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := j.Verify(token, now); err != nil || id.User != fmt.Sprint(i) {
			t.Fatalf("%d: %v, %v", i, id, err)
		}
	}
	if j.verifiedNo > maxVerified {
		t.Errorf("%d are remembered", j.verifiedNo)
	}
	j.verified.Range(func(_, _ any) bool { j.verifiedNo--; return true })
	if j.verifiedNo != 0 {
		t.Errorf("the count is off by %d", j.verifiedNo)
	}
}

func FuzzVerifyJWT(f *testing.F) {
	file := filepath.Join(f.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("shared"), 0o600); err != nil {
		f.Fatal(err)
	}
	tokens, err := ParseTokens("jwt,sign-method=HS256,priv-key="+file, 0, zap.NewNop())
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	good, err := tokens.JWT.Sign("u", 7, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(strings.Replace(good, "eyJ", "eyK", 1))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if id, err := tokens.JWT.Verify(token, now); err == nil {
			t.Logf("%q is %v", token, id) // only somebody with the secret can have made it
			if id != (Identity{User: "u", Revision: 7}) {
				t.Fatalf("forged: %q is taken for %v", token, id)
			}
		}
	})
}
