package verify_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// loud is a log handler that panics while armed.
type loud struct {
	slog.Handler
	armed *bool
}

func (loud) Enabled(context.Context, slog.Level) bool { return true }

func (l loud) Handle(context.Context, slog.Record) error {
	if *l.armed {
		panic("a bug")
	}
	return nil
}

// A key is revoked in the policy, and what runs while that is loaded has a bug: the
// revocation holds as soon as it can, and until then Err tells.
func TestAttack_T5_APanicWhileAPolicyIsLoadedHoldsUpNoRevocation(t *testing.T) {
	for label, keepsPanicking := range map[string]bool{"authority": false, "logger": true} {
		t.Run(label, func(t *testing.T) {
			a, at, armed := newPerson(t), time.Now(), false
			hook := &hooked{houseCA: newHouseCA(t)}
			path := written(t, identityPolicy, a)
			s, err := verify.NewFileSource(path, verify.FileSourceOptions{
				Options: verify.Options{Authorities: map[string]policy.Authority{"house": hook}, Now: func() time.Time { return at }},
				Logger:  slog.New(loud{slog.DiscardHandler, &armed}),
			})
			if err != nil {
				t.Fatal(err)
			}
			before, _ := s.Verifier(t.Context())
			revoked := strings.Replace(identityPolicy, "{file: a.pub}", "{file: a.pub, revoked: 2026-01-01T00:00:00Z}", 1)
			if err := os.WriteFile(path, []byte(revoked), 0o600); err != nil {
				t.Fatal(err)
			}
			if armed = keepsPanicking; !armed {
				hook.then = func() { panic("a bug") }
			}
			at = at.Add(time.Minute)
			first, _ := s.Verifier(t.Context())
			var p *panics.Error
			if !errors.As(s.Err(), &p) || p.Cause != "a bug" || first == nil {
				t.Errorf("%v holds, and Err is %v", first, s.Err())
			}
			armed = false
			at = at.Add(time.Minute)
			if now, _ := s.Verifier(t.Context()); now.PolicyDigest() == before.PolicyDigest() || s.Err() != nil {
				t.Errorf("the policy that revokes a key does not hold, and Err is %v", s.Err())
			}
		})
	}
}

func TestAPanicWhileThePolicyIsLoadedAtTheStartIsAnError(t *testing.T) {
	hook := &hooked{newHouseCA(t), func() { panic("a bug") }}
	_, err := verify.NewFileSource(written(t, identityPolicy, newPerson(t)), verify.FileSourceOptions{
		Options: verify.Options{Authorities: map[string]policy.Authority{"house": hook}},
	})
	if p := (*panics.Error)(nil); !errors.As(err, &p) {
		t.Errorf("%v", err)
	}
}
