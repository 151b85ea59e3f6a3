package signtest_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/signtest"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// broken is a signer that breaks the contract by a function.
type broken struct {
	sign.Signer
	sign func(ctx context.Context, s sign.Signer, message []byte) ([]byte, error)
}

func (b broken) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return b.sign(ctx, b.Signer, message)
}

// brokenSigners each break the contract in one way; noticed is the subtest that must see
// it.
var brokenSigners = map[string]struct {
	noticed string
	sign    func(ctx context.Context, s sign.Signer, message []byte) ([]byte, error)
}{
	"signs another message": {"signatures_verify", func(ctx context.Context, s sign.Signer, m []byte) ([]byte, error) {
		return s.Sign(ctx, append([]byte{0}, m...))
	}},
	"changes the message": {"the_message_is_not_changed", func(ctx context.Context, s sign.Signer, m []byte) ([]byte, error) {
		sig, err := s.Sign(ctx, m)
		if len(m) > 0 {
			m[0] ^= 1
		}
		return sig, err
	}},
	"gives a bad signature at the end": {"the_end_of_the_context", func(ctx context.Context, s sign.Signer, m []byte) ([]byte, error) {
		if ctx.Err() != nil {
			return nil, nil
		}
		return s.Sign(ctx, m)
	}},
	"panics on nothing": {"signatures_verify", func(ctx context.Context, s sign.Signer, m []byte) ([]byte, error) {
		_ = m[0]
		return s.Sign(ctx, m)
	}},
}

// anyone is a matcher that recognises whatever there is.
type anyone struct{ id string }

func (a anyone) ID() string { return a.id }
func (a anyone) Signed(context.Context, policy.SignedEvidence) (policy.Recognized, error) {
	return policy.Recognized{Principal: "anyone"}, nil
}

const inside = "SIGNTEST_BROKEN"

// The broken ones run in a process of their own, whose tests fail.
func TestBroken(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	switch name := os.Getenv(inside); name {
	case "":
		t.Skip("run by the tests below")
	case "matcher":
		signtest.TestMatcher(t, func(*testing.T) policy.Matcher { return anyone{} }, func(*testing.T) policy.SignedEvidence {
			return policy.SignedEvidence{Content: []byte("{}"), Message: []byte("m"), Signatures: [][]byte{{1}}}
		})
	default:
		signtest.TestSigner(t, func(t *testing.T) sign.Signer {
			s, err := sign.New(crypto.Signer(key), sign.SignerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return broken{s, brokenSigners[name].sign}
		})
	}
}

// failures are what the test of a broken one prints.
func failures(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestBroken$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+name)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("%s: nothing was noticed:\n%s", name, out)
	}
	return string(out)
}

func TestBrokenSignersAreNoticed(t *testing.T) {
	for name, b := range brokenSigners {
		if out := failures(t, name); !strings.Contains(out, "--- FAIL: TestBroken/"+b.noticed) {
			t.Errorf("%s was not noticed by %s:\n%s", name, b.noticed, out)
		}
	}
}

func TestABrokenMatcherIsNoticed(t *testing.T) {
	out := failures(t, "matcher")
	for _, part := range []string{"the_ID_is", "another_message", "another_signature", "what_is_left_out"} {
		if !strings.Contains(out, "--- FAIL: TestBroken/"+part) {
			t.Errorf("%s did not notice:\n%s", part, out)
		}
	}
}
