package sigstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

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

// What is charged is compared with what is taken, in checks of a P-256 signature.
func BenchmarkEffort(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := make([]byte, 32)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		b.Fatal(err)
	}
	at := time.Now()
	for range 500 {
		ecdsa.VerifyASN1(&key.PublicKey, digest, signature)
	}
	check := time.Since(at) / 500
	w := newWorld(b)
	for _, n := range []int{1, 4, 16} {
		many := w.signed()
		for i := range n {
			if i > 0 {
				many.Log(w.Rekor1, "hashedrekord 0.0.1")
			}
			many.Stamp(w.TSA)
		}
		parsed, err := sigstore.ParseBundle(many.Text())
		if err != nil {
			b.Fatal(err)
		}
		leaf, err := sigstore.ParseLeaf(parsed.Certificate)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%d entries and timestamps", n), func(b *testing.B) {
			effort := 0
			for b.Loop() {
				b.StopTimer()
				root, err := sigstore.ParseRoot(w.Root()) // as if the certificate were new
				if err != nil {
					b.Fatal(err)
				}
				e := evidenceOf(parsed)
				effort = root.LeafEffort(leaf, e)
				b.StartTimer()
				if _, err := root.VerifyLeaf(leaf, e, strictest, w.judgedAt); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(effort), "charged")
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(check), "taken")
		})
	}
}
