package evidence_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

// What Open takes, Describe can read: what counts can be shown.
func FuzzDescribe(f *testing.F) {
	types := []string{bundle.MediaTypeV03, dsse.EnvelopeMediaType, simplesigning.LayerMediaType, dsse.PayloadTypeInToto}
	f.Add(uint8(0), "", []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"AQI="}},"messageSignature":{"signature":"AwQ="}}`))
	f.Add(uint8(1), "-----BEGIN CERTIFICATE-----\nAQI=\n-----END CERTIFICATE-----", []byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="}]}`))
	f.Add(uint8(2), "", []byte(`{"critical":{"identity":{"docker-reference":"x"},"image":{"docker-manifest-digest":"y"},"type":"cosign container image signature"},"optional":null}`))
	f.Fuzz(func(t *testing.T, which uint8, certificate string, data []byte) {
		mediaType := types[int(which)%len(types)]
		annotations := map[string]string{simplesigning.AnnotationSignature: "AA==", simplesigning.AnnotationCertificate: certificate}
		d, described := evidence.Describe(mediaType, annotations, data)
		opened, err := evidence.Open(mediaType, annotations, data)
		if opened == nil {
			return
		}
		if d.Signer.Certificate != opened.Certificate {
			t.Fatalf("described %+v, opened %+v", d.Signer, opened)
		}
		content, wrong := evidence.Content{}, err
		if opened.Signed != nil {
			content, wrong = opened.Content()
		}
		if wrong == nil && (described != nil || (content.Statement == nil) != (d.Statement == nil) || (content.Simple == nil) != (d.Simple == nil)) {
			t.Fatalf("opened %+v, described %+v, %v", content, d, described)
		}
	})
}
