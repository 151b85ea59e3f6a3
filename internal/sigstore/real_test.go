package sigstore_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
)

// A release attestation that GitHub has published: by an upper intermediate, without an
// issuer, with a timestamp whose digests are SHA-384. It is public data of
// github.com/bdehamer/delme.
func TestAReleaseOfGitHubVerifiesByGitHubsRoot(t *testing.T) {
	text, err := os.ReadFile("testdata/github-release.sigstore.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := sigstore.ParseBundle(text)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := sigstore.ParseLeaf(b.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.SubjectType != sigstore.SubjectURI || leaf.Subject != "https://dotcom.releases.github.com" || leaf.Issuer != "" {
		t.Errorf("%+v", leaf)
	}
	root, err := sigstore.ParseRoot(published(t, "github.json"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	found, err := root.VerifyLeaf(leaf, evidenceOf(b), sigstore.Demands{Times: 1, Timestamps: true}, now)
	if err != nil || !found.SignedAt.Equal(time.Date(2025, 5, 30, 20, 13, 39, 0, time.UTC)) {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := root.VerifyLeaf(leaf, evidenceOf(b), sigstore.Demands{Times: 1, CTLogs: 1}, now); !errors.Is(err, sigstore.ErrChain) {
		t.Errorf("a log of certificates was demanded, and there is none: %v", err)
	}
	other, err := sigstore.ParseRoot(published(t, "public-good.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.VerifyLeaf(leaf, evidenceOf(b), sigstore.Demands{Times: 1}, now); err == nil {
		t.Error("the public instance has verified it")
	}
}
