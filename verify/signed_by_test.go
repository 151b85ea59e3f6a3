package verify_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestSignedBy_EachFormat(t *testing.T) {
	w := newWorld(t)
	w.sign(w.image, both, w.trusted)
	seen := 0
	for item, err := range registry.Evidence(t.Context(), w.store, w.image, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		for _, c := range []struct {
			key  policy.PublicKey
			want bool
		}{{w.trusted.key, true}, {w.other.key, false}, {policy.PublicKey{}, false}} {
			if made, err := verify.SignedBy(t.Context(), item, c.key); made != c.want || err != nil {
				t.Errorf("%s by %s: %v, %v", item.Format, c.key.ID(), made, err)
			}
		}
		item.Payload = []byte("garbage")
		if made, err := verify.SignedBy(t.Context(), item, w.trusted.key); made || err != nil {
			t.Errorf("%s of other content: %v, %v", item.Format, made, err)
		}
	}
	if seen != 2 {
		t.Errorf("%d items", seen)
	}
}
