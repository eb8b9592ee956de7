package auth

import (
	"strings"
	"time"

	"go.uber.org/zap"
)

// Tokens are the kind of tokens that a member gives out and takes: one of the two, or
// none.
type Tokens struct {
	Simple *SimpleTokens
	JWT    *JWT
}

// ParseTokens reads what --auth-token says. ttl is for simple tokens alone.
func ParseTokens(text string, ttl time.Duration, log *zap.Logger) (Tokens, error) {
	words := strings.Split(text, ",")
	options := make(map[string]string)
	for _, word := range words[1:] {
		name, value, ok := strings.Cut(word, "=")
		if _, twice := options[name]; !ok || twice || strings.Contains(value, "=") {
			log.Error("invalid token option", zap.String("option", text))
			return Tokens{}, ErrOptions
		}
		options[name] = value
	}
	switch words[0] {
	case "simple":
		log.Warn("simple token is not cryptographically signed")
		return Tokens{Simple: NewSimpleTokens(ttl)}, nil
	case "jwt":
		j, err := newJWT(options, log)
		return Tokens{JWT: j}, err
	case "":
		return Tokens{}, nil
	}
	log.Warn("unknown token type", zap.String("type", words[0]), zap.Error(ErrOptions))
	return Tokens{}, ErrOptions
}
