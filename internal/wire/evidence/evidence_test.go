package evidence_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
)

// endsAfter is a context that ends once it was asked so often.
type endsAfter struct {
	context.Context
	left int
}

func (e *endsAfter) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestAttack_E22_TheContextIsLookedAtBeforeEachSignature(t *testing.T) {
	key, err := sigkey.New(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public())
	if err != nil {
		t.Fatal(err)
	}
	one := `{"sig":"` + base64.StdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize)) + `"},`
	opened, err := evidence.Open(dsse.EnvelopeMediaType, nil, fmt.Appendf(nil, `{"payloadType":%q,"payload":"e30=","signatures":[%s]}`,
		dsse.PayloadTypeInToto, strings.TrimSuffix(strings.Repeat(one, dsse.MaxSignatures), ",")))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, dsse.MaxSignatures - 1} {
		if _, err := opened.VerifiedWithin(&endsAfter{t.Context(), n}, key); !errors.Is(err, context.Canceled) {
			t.Errorf("ended after %d: %v", n, err)
		}
		if _, err := opened.SignaturesBy(&endsAfter{t.Context(), n}, key); !errors.Is(err, context.Canceled) {
			t.Errorf("ended after %d: %v", n, err)
		}
	}
	if made, err := opened.VerifiedWithin(&endsAfter{t.Context(), dsse.MaxSignatures}, key); made || err != nil {
		t.Error(made, err)
	}
}

func TestAttack_E22_ManySignaturesOverALargePayloadAreNotOpened(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	open := func(signatures, size int) error {
		_, err := evidence.Open(dsse.EnvelopeMediaType, nil, fmt.Appendf(nil, `{"payloadType":%q,"payload":%q,"signatures":[%s]}`,
			dsse.PayloadTypeInToto, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), size)), strings.TrimSuffix(strings.Repeat(`{"sig":"AQI="},`, signatures), ",")))
		return err
	}
	for _, c := range []struct{ signatures, size int }{{1, 23 << 20}, {2, 16 << 20}, {64, 1 << 20}} {
		if err := open(c.signatures, c.size); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []struct{ signatures, size int }{{3, 23 << 20}, {64, 1<<20 + 1}} {
		if err := open(c.signatures, c.size); !errors.Is(err, evidence.ErrTooMuch) || !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("%+v: %v, want ErrTooMuch", c, err)
		}
	}
}
