package audit

import (
	"encoding/base64"
	"time"
	"unicode/utf8"
)

// Record is a line of the log.
type Record struct {
	Time   time.Time `json:"time"`
	Member string    `json:"member"`
	// User is who the caller was found to be, CommonName what its certificate says,
	// whether it counts as a user or not, and Remote where it called from.
	User       string `json:"user,omitempty"`
	CommonName string `json:"cn,omitempty"`
	Remote     string `json:"remote,omitempty"`
	// Call is what was called, like KV/Put, and Stream tells that it is a stream's
	// message, or its end.
	Call   string `json:"call"`
	Stream string `json:"stream,omitempty"`
	// Keys are those that the call was about, and Omitted how many there are besides.
	Keys    []Key `json:"keys,omitempty"`
	Omitted int   `json:"omitted,omitempty"`
	// Subject is what else it was about: a lease, a user, a role, a member.
	Subject string `json:"subject,omitempty"`
	// Revision is that of the answer, Code its code and Error its text.
	Revision int64  `json:"revision,omitempty"`
	Code     string `json:"code,omitempty"`
	Error    string `json:"error,omitempty"`
	// Took is how long a slow call took, in milliseconds, and Phases what that time went into.
	Took   float64 `json:"ms,omitempty"`
	Phases []Phase `json:"phases,omitempty"`
	// Lost is how many records are missing before this line.
	Lost int64 `json:"lost,omitempty"`
}

// Phase is a part of a call's time, in milliseconds.
type Phase struct {
	Name string  `json:"name"`
	Took float64 `json:"ms"`
}

// Key is a key or a range, and what was done to it. Each text is in one of two fields:
// what is not UTF-8 is in base64.
type Key struct {
	Do    string `json:"do"`
	Key   string `json:"key,omitempty"`
	Key64 string `json:"key64,omitempty"`
	End   string `json:"end,omitempty"`
	End64 string `json:"end64,omitempty"`
	// Bytes is how long a key is of which only the beginning is told.
	Bytes int `json:"bytes,omitempty"`
}

const (
	maxKeys     = 256  // in a record
	maxKeyBytes = 1024 // of a key
)

// Add adds a key, or a range if end is not empty.
func (r *Record) Add(do string, key, end []byte) {
	if len(r.Keys) >= maxKeys {
		r.Omitted++
		return
	}
	k := Key{Do: do}
	if n := max(len(key), len(end)); n > maxKeyBytes {
		k.Bytes = n
		key, end = key[:min(len(key), maxKeyBytes)], end[:min(len(end), maxKeyBytes)]
	}
	k.Key, k.Key64 = text(key)
	k.End, k.End64 = text(end)
	r.Keys = append(r.Keys, k)
}

func text(b []byte) (plain, encoded string) {
	if utf8.Valid(b) {
		return string(b), ""
	}
	return "", base64.StdEncoding.EncodeToString(b)
}
