package sigstore_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
)

// One bundle that was seen before, as most are: its certificate has been verified.
func BenchmarkVerify(b *testing.B) {
	w := newWorld(b)
	for name, text := range map[string][]byte{
		"v1 message": w.signed().Text(), "v2 message": w.signedV2().Text(),
		"v2 statement": w.signer.SignStatement(statement).Log(w.Rekor2, "dsse 0.0.2").Stamp(w.TSA).Text(),
	} {
		b.Run(name, func(b *testing.B) {
			root, err := sigstore.ParseRoot(w.Root())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				parsed, err := sigstore.ParseBundle(text)
				if err != nil {
					b.Fatal(err)
				}
				leaf, err := sigstore.ParseLeaf(parsed.Certificate)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := root.VerifyLeaf(leaf, evidenceOf(parsed), strictest, w.judgedAt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
