package attest_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// bundled is a bundle with this in place of an envelope.
func bundled(envelope string) registry.Item {
	item := registry.Item{Format: registry.FormatBundle, Payload: []byte(`{"mediaType":"` + bundleType + `","verificationMaterial":{"publicKey":{}},"dsseEnvelope":` + envelope + `}`)}
	item.Layer.MediaType = bundleType
	return item
}

func encodedStatement(predicateType string) string {
	text := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"00"}}],"predicateType":"` + predicateType + `","predicate":{}}`
	return base64.StdEncoding.EncodeToString([]byte(text))
}

// What looks like an attestation and is none is told beside the others; what is a
// signature is passed over.
func TestClaimsTellWhatIsMalformed(t *testing.T) {
	const signatures = `"signatures":[{"sig":"AQI="}]`
	for label, c := range map[string]struct {
		envelope          string
		claims, malformed int
	}{
		"a statement": {`{"payloadType":"application/vnd.in-toto+json","payload":"` + encodedStatement("https://example.com/p") + `",` + signatures + `}`, 2, 0},
		"a signature": {`{"payloadType":"application/vnd.in-toto+json","payload":"` + encodedStatement("https://sigstore.dev/cosign/sign/v1") + `",` + signatures + `}`, 1, 0},
		"no envelope": {`{}`, 1, 1},
		"of another type": {
			`{"payloadType":"application/json","payload":"` + encodedStatement("https://example.com/p") + `",` + signatures + `}`, 1, 1,
		},
		"no statement": {`{"payloadType":"application/vnd.in-toto+json","payload":"e30=",` + signatures + `}`, 1, 1},
		"no base64":    {`{"payloadType":"application/vnd.in-toto+json","payload":"!",` + signatures + `}`, 1, 1},
	} {
		store, subject := pushed(t)
		if _, err := registry.Attach(t.Context(), store, subject, bundled(c.envelope)); err != nil {
			t.Fatal(err)
		}
		if _, err := attest.Image(t.Context(), store, subject, rawText{testType, `{}`}, attest.Options{}, newSigner(t)); err != nil {
			t.Fatal(err)
		}
		var claims, malformed int
		for claim, err := range attest.Claims(t.Context(), store, subject, registry.Limits{}) {
			switch {
			case errors.Is(err, attest.ErrStatement) && claim.Statement == nil && len(claim.Item.Payload) > 0:
				malformed++
			case err == nil && claim.Statement != nil:
				claims++
			default:
				t.Errorf("%s: %+v, %v", label, claim, err)
			}
		}
		if claims != c.claims || malformed != c.malformed {
			t.Errorf("%s: %d claims and %d malformed, want %d and %d", label, claims, malformed, c.claims, c.malformed)
		}
	}
}

func TestASignatureOverBytesIsNoClaim(t *testing.T) {
	store, subject := pushed(t)
	text, err := sign.Blob(t.Context(), strings.NewReader("a file"), newSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	item := registry.Item{Format: registry.FormatBundle, Payload: text}
	item.Layer.MediaType = bundleType
	if _, err := registry.Attach(t.Context(), store, subject, item); err != nil {
		t.Fatal(err)
	}
	for claim, err := range attest.Claims(t.Context(), store, subject, registry.Limits{}) {
		t.Errorf("%+v, %v", claim, err)
	}
}

func TestClaimsEndWhereTheCallerHasEnough(t *testing.T) {
	store, subject := pushed(t)
	for range 3 {
		if _, err := attest.Image(t.Context(), store, subject, rawText{testType, `{}`}, attest.Options{}, newSigner(t)); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for _, err := range attest.Claims(t.Context(), store, subject, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 2 {
			break
		}
	}
	if seen != 2 {
		t.Errorf("%d claims", seen)
	}
}

func TestOfADigestThatIsNoneNothingIsClaimedOrSaid(t *testing.T) {
	store, subject := pushed(t)
	for _, digest := range []string{"sha256:ab", "sha512:" + strings.Repeat("ab", 64), ""} {
		bad, errs := subject.Context().Digest(digest), 0
		for claim, err := range attest.Claims(t.Context(), store, bad, registry.Limits{}) {
			if errs++; claim.Statement != nil || !errors.Is(err, registry.ErrReference) {
				t.Errorf("%q: %+v, %v; want ErrReference", digest, claim, err)
			}
		}
		if errs != 1 {
			t.Errorf("%q: %d errors", digest, errs)
		}
		if got, err := attest.Image(t.Context(), store, bad, rawText{testType, `{}`}, attest.Options{}, newSigner(t)); got != nil || !errors.Is(err, registry.ErrReference) {
			t.Errorf("%q: %+v, %v; want ErrReference", digest, got, err)
		}
	}
}
