package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	// patience is how long the answer to a question may take.
	patience = 8 * time.Second
	// maxAnswer bounds an answer of one call, in bytes.
	maxAnswer = 16 << 20

	codePermissionDenied = codes.PermissionDenied
)

// answerer answers a question: decode reads it into a struct. ctx carries the token of
// who asks.
type answerer func(ctx context.Context, decode func(any) error) (any, error)

// question serves a question, which is a POST with JSON as the body: keys are no text,
// may be long, and do not belong into the logs of proxies.
func (c *Console) question(answer answerer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			refuse(w, http.StatusMethodNotAllowed, codes.Unimplemented, "console: questions are POSTs")
			return
		}
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		default:
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, codes.ResourceExhausted, "console: too many questions at once")
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		if token := r.Header.Get("Authorization"); token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", token)
		}
		decode := func(into any) error {
			if err := json.NewDecoder(r.Body).Decode(into); err != nil && !errors.Is(err, io.EOF) {
				return status.Error(codes.InvalidArgument, "console: "+err.Error())
			}
			return nil
		}
		a, err := answer(ctx, decode)
		if err != nil {
			s := status.Convert(err)
			refuse(w, runtime.HTTPStatusFromCode(s.Code()), s.Code(), s.Message())
			return
		}
		write(w, http.StatusOK, a)
	})
}

// refuse answers with an error in the form of the JSON gateway.
func refuse(w http.ResponseWriter, code int, c codes.Code, message string) {
	write(w, code, struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{int(c), message})
}

func write(w http.ResponseWriter, code int, a any) {
	body, err := json.Marshal(a)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(body)
}

// bounded are the options of all calls that may bring much.
func bounded() grpc.CallOption { return grpc.MaxCallRecvMsgSize(maxAnswer) }
