package attest_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// A claim that is held and one that is read in parts say and write the same.
func TestClaims_LargeOnesAreReadInParts(t *testing.T) {
	store, subject := pushed(t)
	by := newSigner(t)
	text := big(1 << 20)
	if _, err := attest.Image(t.Context(), store, subject, rawText{testType, text}, attest.Options{}, by); err != nil {
		t.Fatal(err)
	}
	key, err := policy.NewPublicKey(by.Public())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := policy.NewPublicKey(newSigner(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	for above, held := range map[int64]bool{0: true, 1000: false} {
		n := 0
		for claim, err := range attest.Claims(t.Context(), store, subject, registry.Limits{OpenAbove: above}) {
			n++
			if err != nil || !claim.Names || claim.Signatures != 1 || claim.Statement.PredicateType != testType || (claim.Item.Payload != nil) != held {
				t.Fatalf("above %d: %+v, %v", above, claim.Statement, err)
			}
			var predicate, envelope bytes.Buffer
			if err := claim.WritePredicate(&predicate); err != nil || predicate.String() != text {
				t.Errorf("above %d: %d bytes of predicate, %v", above, predicate.Len(), err)
			}
			if err := claim.WriteEnvelope(&envelope); err != nil || !bytes.Contains(envelope.Bytes(), []byte(`"payloadType"`)) {
				t.Errorf("above %d: %d bytes of envelope, %v", above, envelope.Len(), err)
			}
			for k, want := range map[policy.PublicKey]bool{key: true, stranger: false} {
				if made, err := verify.SignedBy(t.Context(), claim.Item, k); made != want || err != nil {
					t.Errorf("above %d: signed: %t, %v; want %t", above, made, err, want)
				}
			}
			if d := registry.Describe(claim.Item, registry.Manifest{}); (d.PredicateType == testType) != held {
				t.Errorf("above %d: described as %+v", above, d)
			}
		}
		if n != 1 {
			t.Errorf("above %d: %d claims", above, n)
		}
	}
}

func TestClaims_LargeGarbageIsMalformed(t *testing.T) {
	store, subject := pushed(t)
	item := registry.Item{Format: registry.FormatBundle, Payload: []byte(big(10_000))}
	item.Layer.MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	if _, err := registry.Attach(t.Context(), store, subject, item); err != nil {
		t.Fatal(err)
	}
	for claim, err := range attest.Claims(t.Context(), store, subject, registry.Limits{OpenAbove: 1000}) {
		if !errors.Is(err, attest.ErrStatement) {
			t.Errorf("%+v, %v", claim, err)
		}
	}
}

// ReadClaim passes over large items of no statement, and tells those of a malformed one.
func TestReadClaim_LargeItemsThatAreNoAttestation(t *testing.T) {
	const envelope = `{"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AQI="}],"payload":`
	for label, c := range map[string]struct {
		content []byte
		want    error
	}{
		"an image's signature":  {bundled(envelope + `"` + encodedStatement("https://sigstore.dev/cosign/sign/v1") + `"}`).Payload, nil},
		"a signature of a file": {[]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"h"}},"messageSignature":{"signature":"AQ=="}}`), nil},
		"no statement":          {bundled(envelope + `"e30="}`).Payload, attest.ErrStatement},
	} {
		item := bundled("{}")
		item.Payload, item.Open = nil, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.content)), nil }
		claim, is, err := attest.ReadClaim(item, v1.Hash{Algorithm: "sha256", Hex: "00"})
		if is != (c.want != nil) || !errors.Is(err, c.want) || claim.Statement != nil {
			t.Errorf("%s: %+v, %t, %v", label, claim.Statement, is, err)
		}
	}
}
