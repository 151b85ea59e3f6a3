package cel_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/processor"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/policy/cel"
)

// longText is a predicate with one text.
func longText(t testing.TB, bytes int) *policy.ExpressionVariables {
	t.Helper()
	return statement(t, `{"text":"`+strings.Repeat("a", bytes)+`"}`)
}

func TestAttack_T26_CallsOnLongTextsEnd(t *testing.T) {
	vars := longText(t, 4<<20-100)
	for _, pattern := range []string{
		`^(a|b|ab)*$`, `^a*$`, `^(a?){200}b$`, `^(.*a){30}b$`, `^(` + strings.Repeat("a*", 300) + `)b$`, `(?i)^(.|é)*$`,
	} {
		for _, text := range []string{`predicate.text.matches('` + pattern + `')`, `matches(predicate.text, '` + pattern + `')`} {
			e, err := cel.New().Compile(text, policy.AboutStatement)
			if err != nil {
				t.Fatal(err)
			}
			began := processor.Time()
			ok, err := e.Holds(t.Context(), vars)
			if took := processor.Time() - began; ok || err == nil || !strings.Contains(err.Error(), "too long for a pattern of") || took > 3*time.Second {
				t.Errorf("%.40s: %t, %v, in %s", text, ok, err, took)
			}
		}
	}
}

func TestAttack_T26_ManyCallsOfMatchesCostTogether(t *testing.T) {
	element := `"` + strings.Repeat("a", 40) + `",`
	vars := statement(t, `{"list":[`+strings.Repeat(element, 90_000)+`""]}`)
	for text, held := range map[string]bool{
		`predicate.list.all(x, x.matches('^[a-z0-9]*$'))`:                                        true,
		`predicate.list.all(x, x.matches('^(` + strings.Repeat("a?", 300) + `)*$'))`:             false,
		`predicate.list.all(x, matches(x + x + x + x, '^(` + strings.Repeat("a?", 90) + `)*$'))`: false,
	} {
		e, err := cel.New().Compile(text, policy.AboutStatement)
		if err != nil {
			t.Fatal(err)
		}
		began := processor.Time()
		ok, err := e.Holds(t.Context(), vars)
		if took := processor.Time() - began; ok != held || (err == nil) != held || took > 20*time.Second {
			t.Errorf("%.40s: %t, %v, in %s", text, ok, err, took)
		}
	}
}

func TestMatchesReadsTextsWithinItsBound(t *testing.T) {
	e, err := cel.New().Compile(`predicate.text.matches('^(a|b|ab)*$')`, policy.AboutStatement)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := e.Holds(t.Context(), longText(t, 1<<20)); !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestMatchesEndsWithItsContext(t *testing.T) {
	e, err := cel.New().Compile(`predicate.text.matches('^a*$') && predicate.text.matches('^[ab]*$')`, policy.AboutStatement)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, err := e.Holds(ctx, longText(t, 100)); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestPatternsOfManyInstructionsAreRefused(t *testing.T) {
	for _, pattern := range []string{`^(.{900}a){2}$`, `^` + strings.Repeat("a", 1100) + `$`, `^(a{1000}){1000}$`} {
		if _, err := cel.New().Compile(`predicate.text.matches('`+pattern+`')`, policy.AboutStatement); err == nil {
			t.Errorf("%.40s was compiled", pattern)
		}
	}
}

func TestMatchesOfOtherTypesCannotBeEvaluated(t *testing.T) {
	if ok, err := holds(t, `!predicate.approvals.matches('^a$')`, review); ok || err == nil {
		t.Errorf("%t, %v", ok, err)
	}
}
