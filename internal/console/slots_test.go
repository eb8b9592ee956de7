package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestTooManyQuestions lets all that may be answered at a time wait, and asks once more.
func TestTooManyQuestions(t *testing.T) {
	c := &Console{slots: make(chan struct{}, maxQuestions)}
	entered, leave := make(chan struct{}), make(chan struct{})
	h := c.question(func(context.Context, func(any) error) (any, error) {
		entered <- struct{}{}
		<-leave
		return "x", nil
	})
	ask := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")))
		return w.Code
	}
	answers := make(chan int)
	for range maxQuestions {
		go func() { answers <- ask() }()
		<-entered
	}
	if code := ask(); code != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", code)
	}
	close(leave)
	for range maxQuestions {
		if code := <-answers; code != http.StatusOK {
			t.Errorf("one of those that waited: %d", code)
		}
	}
}
