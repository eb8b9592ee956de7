package ctl

import (
	"bufio"
	"errors"
	"strconv"
	"strings"
)

var errUnterminated = errors.New("unterminated quote")

// readLine returns the next line of input, trimmed. A last line without its end
// is an error: half a request must never be sent.
func readLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

// splitLine cuts a line of interactive input into words. Words are separated
// by blanks; '...' is taken as it stands, "..." is a Go string. A quote within a
// word is an ordinary character, and a quoted word ends at its closing quote.
func splitLine(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t\r\n\f\v")
		if line == "" {
			return words, nil
		}
		switch line[0] {
		case '\'':
			word, rest, found := strings.Cut(line[1:], "'")
			if !found {
				return nil, errUnterminated
			}
			words, line = append(words, word), rest
		case '"':
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, errUnterminated
			}
			word, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			words, line = append(words, word), line[len(quoted):]
		default:
			end := strings.IndexAny(line, " \t\r\n\f\v")
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, line[:end]), line[end:]
		}
	}
}
