package attest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// Garbage keeps no signer from attesting, nor from replacing what was said before; where
// there is more than is read, the answer says so.
func TestAttack_E21_AttestingGoesOnBesideGarbage(t *testing.T) {
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	r := registrytest.New(registrytest.Options{})
	store := r.Store()
	subject, by := pushTo(t, store, "registry.example/team/app:v1"), newSigner(t)
	tag := "sha256-" + subject.DigestStr()[7:]
	plant := func(suffix string, n int, layer func(i int) string) {
		var all []string
		for i := range n {
			all = append(all, layer(i))
		}
		r.Put("team/app", tag+suffix, mediaType, fmt.Appendf(nil,
			`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":%q},"layers":[%s]}`,
			mediaType, r.PutBlob("team/app", []byte("{}")), strings.Join(all, ",")))
	}
	envelope := func(annotation string) string {
		return fmt.Sprintf(`{"mediaType":"application/vnd.dsse.envelope.v1+json","size":2,"digest":%q,"annotations":{"n":%q}}`, r.PutBlob("team/app", []byte("{}")), annotation)
	}
	o := attest.Options{Replace: true, Formats: []registry.Format{registry.FormatEnvelope}}
	attested := func(predicate string) *attest.Attached {
		t.Helper()
		got, err := attest.Image(t.Context(), store, subject, rawText{testType, predicate}, o, by)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	r.Put("team/app", tag+".sig", mediaType, []byte("garbage")) // where no attestation is
	plant(".att", 10_001, func(int) string { return envelope("") })
	attested(`{"n":1}`)
	if got := attested(`{"n":2}`); len(got.Superseded) != 1 || !got.Superseded[0].Removed {
		t.Errorf("%+v", got.Superseded)
	}
	plant(".att", 10_100, func(i int) string { return envelope(fmt.Sprint(i)) })
	got := attested(`{"n":3}`)
	if n := len(got.Superseded); n != 1 || got.Superseded[0].KeyID != "" || !strings.Contains(got.Superseded[0].Reason, "attestation tag") {
		t.Errorf("%+v", got.Superseded)
	}
}
