package attest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// Nothing but the signer's own attestation is superseded, whatever else is there,
// and garbage does not keep anybody from attesting.
func TestReplacePassesOverWhatIsNoAttestation(t *testing.T) {
	store, err := layout.Open(t.TempDir(), layout.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	subject, by := pushTo(t, store, store.Tag("v1").String()), newSigner(t)
	signatures := sign.ImageOptions{Formats: []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}}
	if _, err := sign.Image(t.Context(), store, subject, signatures, by); err != nil {
		t.Fatal(err)
	}
	for _, garbage := range []registry.Item{bundled(`{}`), bundled(`"` + strings.Repeat("x", 5000) + `"`)} {
		if _, err := registry.Attach(t.Context(), store, subject, garbage); err != nil {
			t.Fatal(err)
		}
	}
	o := attest.Options{Replace: true, Limits: registry.Limits{MaxPayloadBytes: 4000}}
	for round := range 3 {
		got, err := attest.Image(t.Context(), store, subject, rawText{testType, `{}`}, o, by)
		if err != nil || len(got.Superseded) != min(round, 1) || round > 0 && !got.Superseded[0].Removed {
			t.Fatalf("round %d: %+v, %v", round, got, err)
		}
	}
	signed, err := sign.Image(t.Context(), store, subject, signatures, by)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range signed.Signatures {
		if !s.Existed {
			t.Errorf("the signature in the format %s was removed", s.Format)
		}
	}
}

// Who gives up while the earlier attestations are removed is told so: the new one
// is there, and so may be the earlier ones.
func TestCancellationWhileEarlierAttestationsAreRemoved(t *testing.T) {
	by := newSigner(t)
	var subject name.Digest
	var inner registry.Store
	o := attest.Options{Formats: bothFormats, Replace: true}
	calls := registrytest.TestCancellation(t, func() registry.Store {
		inner, subject = pushed(t)
		if _, err := attest.Image(t.Context(), inner, subject, rawText{testType, `{"n":1}`}, o, by); err != nil {
			t.Fatal(err)
		}
		return inner
	}, func(ctx context.Context, store registry.Store) error {
		attested, err := attest.Image(ctx, store, subject, rawText{testType, `{"n":2}`}, o, by)
		if err == nil && (len(attested.Superseded) != 2 || strings.Contains(fmt.Sprint(attested.Superseded), context.Canceled.Error())) {
			t.Errorf("%+v", attested.Superseded)
		}
		if all := said(t, inner, subject, by); len(all) == 0 {
			t.Error("nothing is left, neither what was nor what is")
		}
		return err
	})
	if calls < 15 {
		t.Errorf("only %d reads and writes", calls)
	}
}
