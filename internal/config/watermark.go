package config

import (
	"encoding/json"
	"strconv"
	"strings"
)

// watermark is an amount of memory: bytes, or a share of what there is, from 1% to 100%.
// Nothing, or 0, is none. In a file it is a string, or a number of bytes.
type watermark struct{ to *Watermark }

func (v watermark) Set(s string) error {
	share, percent := strings.CutSuffix(s, "%")
	switch {
	case s == "":
		*v.to = Watermark{}
	case percent:
		n, err := strconv.ParseUint(share, 10, 8)
		if err != nil || n == 0 || n > 100 {
			return errParse
		}
		*v.to = Watermark{Percent: int(n)}
	default:
		n, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			return numberError(err)
		}
		*v.to = Watermark{Bytes: int64(n)}
	}
	return nil
}

func (v watermark) String() string {
	switch w := *v.to; {
	case w.Percent > 0:
		return strconv.Itoa(w.Percent) + "%"
	case w.Bytes > 0:
		return strconv.FormatInt(w.Bytes, 10)
	}
	return ""
}

func (v watermark) fromFile(raw json.RawMessage) error {
	var n int64
	if json.Unmarshal(raw, &n) == nil {
		return v.Set(strconv.FormatInt(n, 10))
	}
	return stringFromFile(raw, v.Set)
}
