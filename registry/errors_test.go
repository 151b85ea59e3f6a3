package registry_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
)

func TestTextFromOutsideIsMadeVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "": "", "é 漢": "é 漢",
		"a\x1b[31m":              `a\x1b[31m`,
		"line\nline\r\t":         `line\x0aline\x0d\x09`,
		"\xff\xfe":               `\xff\xfe`,
		"cut \xe6\xbc":           `cut \xe6\xbc`,
		"the rune itself \ufffd": "the rune itself \ufffd",
		"right \u202e left":      `right \u202e left`,
		"para\u2029graph":        `para\u2029graph`,
		"zero\u200bwidth":        `zero\u200bwidth`,
		"\x7f\u0085":             `\x7f\u0085`,
		"123456789012345678901234567890123456789":   "123456789012345678901234567890123456789",
		"12345678901234567890123456789012345678901": "1234567890123456789012345678901234567890…",
	} {
		if got := registry.SafeText(in, 40); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestAnErrorSaysAllThatIsKnown(t *testing.T) {
	cause := errors.New("cause\x1b")
	e := &registry.Error{
		Op: "resolve", Ref: "registry.example/a:v1", Kind: registry.ErrRateLimited, Status: 429, RetryAfter: time.Second, Detail: "slow down", Err: cause,
	}
	if got, want := e.Error(), `resolve registry.example/a:v1: rate limited (HTTP 429): slow down: cause\x1b`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	wrapped := fmt.Errorf("wrapped: %w", e)
	if !errors.Is(wrapped, registry.ErrRateLimited) || errors.Is(wrapped, registry.ErrDenied) || !errors.Is(wrapped, cause) {
		t.Error("its kind and cause are not found")
	}
	// A kind by itself can be wrapped and shown, too.
	if err := fmt.Errorf("test: %w", registry.ErrDenied); !errors.Is(err, registry.ErrDenied) || err.Error() != "test: access denied" {
		t.Error(err)
	}
}
