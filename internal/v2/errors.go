package v2

import (
	"fmt"
	"net/http"
)

// The codes of errors, as etcd numbers them.
const (
	CodeNotFound      = 100
	CodeCompareFailed = 101
	CodeNotFile       = 102
	CodeNotDirectory  = 104
	CodeExists        = 105
	CodeRootReadOnly  = 107
	CodeNotEmpty      = 108
	CodeUnauthorized  = 110

	CodePrevValueRequired = 201
	CodeBadTTL            = 202
	CodeBadIndex          = 203
	CodeInvalidField      = 209
	CodeInvalidForm       = 210
	CodeRefreshValue      = 211
	CodeRefreshTTL        = 212

	CodeRaft    = 300
	CodeCleared = 401
)

var messages = map[int]string{
	CodeNotFound:      "Key not found",
	CodeCompareFailed: "Compare failed",
	CodeNotFile:       "Not a file",
	CodeNotDirectory:  "Not a directory",
	CodeExists:        "Key already exists",
	CodeRootReadOnly:  "Root is read only",
	CodeNotEmpty:      "Directory not empty",
	CodeUnauthorized:  "The request requires user authentication",

	CodePrevValueRequired: "PrevValue is Required in POST form",
	CodeBadTTL:            "The given TTL in POST form is not a number",
	CodeBadIndex:          "The given index in POST form is not a number",
	CodeInvalidField:      "Invalid field",
	CodeInvalidForm:       "Invalid POST form",
	CodeRefreshValue:      "Value provided on refresh",
	CodeRefreshTTL:        "A TTL must be provided on refresh",

	CodeRaft:    "Raft Internal Error",
	CodeCleared: "The event in requested index is outdated and cleared",
}

// Error is a refusal. Its JSON form is what clients get.
type Error struct {
	Code    int    `json:"errorCode"`
	Message string `json:"message"`
	Cause   string `json:"cause,omitempty"`
	Index   uint64 `json:"index"`
}

// NewError returns the error with this code. Index is the store's, 0 for what the
// store was not asked about.
func NewError(code int, cause string, index uint64) *Error {
	return &Error{Code: code, Message: messages[code], Cause: cause, Index: index}
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Cause) }

// Status is the error's HTTP status.
func (e *Error) Status() int {
	switch e.Code {
	case CodeNotFound:
		return http.StatusNotFound
	case CodeNotFile, CodeNotEmpty:
		return http.StatusForbidden
	case CodeCompareFailed, CodeExists:
		return http.StatusPreconditionFailed
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeRaft:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}
