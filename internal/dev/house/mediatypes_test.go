package house_test

import (
	"testing"

	cosign "github.com/sigstore/cosign/v2/pkg/types"

	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

// What we write must be found by cosign, and what it writes by us. The library has
// constants of its own, since a program that imports it should not carry cosign's
// module graph.
func TestMediaTypesAreThoseOfCosign(t *testing.T) {
	for _, pair := range [][2]string{
		{simplesigning.LayerMediaType, cosign.SimpleSigningMediaType},
		{dsse.EnvelopeMediaType, cosign.DssePayloadType},
		{dsse.PayloadTypeInToto, cosign.IntotoPayloadType},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%q is %q in cosign", pair[0], pair[1])
		}
	}
}
