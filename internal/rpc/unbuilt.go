package rpc

import (
	"fmt"

	"bowline/internal/server"
)

// Unbuilt is a call of which this version lacks the capability, or a part of it.
type Unbuilt struct {
	// Method is its full name, like /etcdserverpb.Auth/RoleAdd.
	Method string
	// Answers is what it answers now, "" if it is always refused.
	Answers string
	// WaitsFor is the capability; the refusal names it.
	WaitsFor string
}

// unbuiltCalls is the table of them all: there is none at present. A call without an answer of its own is
// refused by the interceptor; the others refuse by themselves what is left.
var unbuiltCalls []Unbuilt

// UnbuiltCalls lists the calls that this version cannot carry out, or not wholly.
func UnbuiltCalls() []Unbuilt { return append([]Unbuilt(nil), unbuiltCalls...) }

// refusalOf is what a method is always refused with, nil if it is not.
func refusalOf(method string) error {
	for _, u := range unbuiltCalls {
		if u.Method == method && u.Answers == "" {
			return toStatus(fmt.Errorf("%w: %s", server.ErrUnbuilt, u.WaitsFor))
		}
	}
	return nil
}
