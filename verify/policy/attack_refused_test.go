package policy_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// renewed is an authority whose settings pin its trust.
type renewed struct{ trust string }

func (r *renewed) Generation() string { return r.trust }

func (r *renewed) Matcher(settings map[string]any) (policy.Matcher, error) {
	if settings["root"] != r.trust {
		return nil, errors.New("the trust root is another one")
	}
	return noMatches{}, nil
}

type noMatches struct{ policy.Matcher }

func (noMatches) ID() string { return "ci" }

// A policy that names the next trust root comes before that root. It must not stay refused
// after the root has come: a gate may deny everything until then.
func TestAttack_T6_PoliciesBeforeTheirTrustAreNotRefusedForEver(t *testing.T) {
	text := "version: 1\nidentities: {ci: {authority: it, settings: {root: %}}}\nroles: {release: {identities: [ci]}}\nrules: [{images: [\"**\"], require: [{signature: {by: release}}]}]\n"
	path := t.TempDir() + "/policy.yaml"
	write := func(root string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Replace(text, "%", root, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	authority := &renewed{"one"}
	write("one")
	s, err := policy.NewFileSource(path, policy.FileSourceOptions{Authorities: map[string]policy.Authority{"it": authority}, Interval: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := s.Policy(t.Context())
	write("two")
	if p, _ := s.Policy(t.Context()); p != first || s.Err() == nil {
		t.Fatalf("%v", s.Err())
	}
	authority.trust = "two"
	if p, _ := s.Policy(t.Context()); p == first || s.Err() != nil {
		t.Errorf("the policy stays refused: %v", s.Err())
	}
	if p, _ := s.Policy(t.Context()); p == first || s.Err() != nil {
		t.Errorf("%v", s.Err())
	}
}

// asking is a Logger's handler that asks what the source says of itself.
type asking struct {
	slog.Handler
	source *policy.FileSource
	asked  int
}

func (a *asking) Enabled(context.Context, slog.Level) bool { return true }

func (a *asking) Handle(ctx context.Context, _ slog.Record) error {
	if a.source != nil {
		_, _ = a.source.Policy(ctx)
		if a.source.Err() != nil {
			a.asked++
		}
	}
	return nil
}

func TestAttack_T6_LoggersThatAskTheSourceStopNothing(t *testing.T) {
	a, b, c := newPEM(t), newPEM(t), newPEM(t)
	path := written(t, policyText, a, b, c)
	handler := &asking{}
	s, err := policy.NewFileSource(path, policy.FileSourceOptions{Interval: time.Nanosecond, Logger: slog.New(handler)})
	if err != nil {
		t.Fatal(err)
	}
	handler.source = s
	if err := os.WriteFile(path, []byte("version: 9"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := s.Policy(context.Background())
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil || handler.asked == 0 || s.Err() == nil {
			t.Errorf("%v, asked %d times, %v", err, handler.asked, s.Err())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no policy is returned any more")
	}
}
