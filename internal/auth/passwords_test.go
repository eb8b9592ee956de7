package auth

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	"golang.org/x/crypto/bcrypt"
)

func TestPasswords(t *testing.T) {
	ctx := t.Context()
	p := NewPasswords(bcrypt.MinCost)
	hash, err := p.Hash(ctx, "right")
	if err != nil {
		t.Fatal(err)
	}
	u := &authpb.User{Name: []byte("u"), Password: hash, Options: &authpb.UserAddOptions{}}
	tests := []struct {
		name     string
		user     *authpb.User
		password string
		want     error
	}{
		{"right", u, "right", nil},
		{"again", u, "right", nil},
		{"wrong", u, "wrong", ErrFailed},
		{"none", u, "", ErrFailed},
		{"nobody", nil, "right", ErrFailed},
		{"a user without a hash", &authpb.User{}, "", ErrFailed},
		{"a user without a password", &authpb.User{Options: &authpb.UserAddOptions{NoPassword: true}}, "x", ErrNoPassword},
	}
	for _, test := range tests {
		if err := p.Verify(ctx, test.user, test.password); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	if _, err := p.Hash(ctx, strings.Repeat("x", 73)); !errors.Is(err, ErrPasswordTooLong) || err.Error() != ErrPasswordTooLong.Error() {
		t.Errorf("73 bytes: %v", err)
	}
}

// TestRememberedPasswords: what is remembered belongs to one hash, and is not needed to
// be right. It shows by a context that has ended, with which nothing dear is done.
func TestRememberedPasswords(t *testing.T) {
	ctx := t.Context()
	p := NewPasswords(bcrypt.MinCost)
	ended, end := context.WithCancel(ctx)
	end()
	user := func(password string) *authpb.User {
		hash, err := p.Hash(ctx, password)
		if err != nil {
			t.Fatal(err)
		}
		return &authpb.User{Password: hash}
	}
	for range cap(p.slots) {
		p.slots <- struct{}{} // nobody's turn comes
	}
	free := func() {
		for range cap(p.slots) {
			<-p.slots
		}
	}
	free()
	first := user("one")
	if err := p.Verify(ctx, first, "one"); err != nil {
		t.Fatal(err)
	}
	changed := user("two")
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	defer free()
	if err := p.Verify(ended, first, "one"); err != nil {
		t.Errorf("a password that was right is not remembered: %v", err)
	}
	if err := p.Verify(ended, changed, "one"); !errors.Is(err, context.Canceled) {
		t.Errorf("the old password of a changed hash: %v", err)
	}
	p.Forget()
	if err := p.Verify(ended, first, "one"); !errors.Is(err, context.Canceled) {
		t.Errorf("what was forgotten: %v", err)
	}
}

func TestPasswordsAreBounded(t *testing.T) {
	p := NewPasswords(bcrypt.MinCost)
	p.waiting.Store(maxWaiting)
	if _, err := p.Hash(t.Context(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("behind a full line: %v", err)
	}
	for i := range maxRemembered + 10 {
		p.remember(p.key([]byte{byte(i), byte(i >> 8)}, "x"))
	}
	if len(p.remembered) > maxRemembered {
		t.Errorf("%d are remembered", len(p.remembered))
	}
}

func BenchmarkVerifyRemembered(b *testing.B) {
	p := NewPasswords(bcrypt.MinCost)
	hash, err := p.Hash(b.Context(), "right")
	if err != nil {
		b.Fatal(err)
	}
	u := &authpb.User{Password: hash}
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Verify(b.Context(), u, "right"); err != nil {
			b.Fatal(err)
		}
	}
}
