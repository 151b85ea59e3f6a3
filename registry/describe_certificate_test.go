package registry_test

import (
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
	"github.com/hallmark-oci/hallmark/registry"
)

// What is described is not verified.
func TestDescribe_SaysWhatACertificateAndALogSay(t *testing.T) {
	w := sigstoretest.New(t, sigstoretest.Options{})
	const source = "https://git.example/team/app"
	s := w.Issue(sigstoretest.Leaf{URI: source + "/build.yml@refs/heads/main", Issuer: "https://ci.example", Claims: map[int]string{12: source}})
	payload := []byte(`{"critical":{"identity":{"docker-reference":"x"},"image":{"docker-manifest-digest":"sha256:` + strings.Repeat("ab", 32) + `"},"type":"cosign container image signature"},"optional":null}`)
	for name, item := range map[string]registry.Item{
		"a bundle": {
			Format: registry.FormatBundle, Layer: v1.Descriptor{MediaType: bundle.MediaTypeV03},
			Payload: s.SignMessage(payload).Log(w.Rekor1, "hashedrekord 0.0.1").Text(),
		},
		"a layer of cosign": {
			Format: registry.FormatSimpleSigning, Payload: payload, Layer: v1.Descriptor{
				MediaType: types.MediaType(simplesigning.LayerMediaType), Annotations: s.SignMessage(payload).Annotations(w.Rekor1, "hashedrekord 0.0.1", w.TSA),
			},
		},
	} {
		got := registry.Describe(item, registry.Manifest{}).Signer
		if got.SourceRepository != source || got.Issuer != "https://ci.example" || got.LogIndex == nil || *got.LogIndex == 0 || !got.LoggedAt.Equal(w.Now.Add(time.Minute).Truncate(time.Second)) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	plain := s.SignMessage(payload)
	delete(plain.Material(), "certificate")
	plain.Material()["publicKey"] = sigstoretest.Object{"hint": "h"}
	got := registry.Describe(registry.Item{Format: registry.FormatBundle, Layer: v1.Descriptor{MediaType: bundle.MediaTypeV03}, Payload: plain.Text()}, registry.Manifest{}).Signer
	if got.LogIndex != nil || got.SourceRepository != "" || !got.LoggedAt.IsZero() {
		t.Errorf("%+v", got)
	}
}
