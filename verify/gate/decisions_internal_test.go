package gate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Evidence that lists an image's blob, at the moment in which the image passes.
func TestAttack_E21_EvidenceReplacesNoImageAtTheSameTime(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := policy.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{public}, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Config{Verifier: v}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	ds := newDecisions(&c)
	term := ds.now.term(time.Minute)
	of := func(evidence bool) permit {
		return permit{Allowed: true, At: term.from, Until: term.until, Evidence: evidence, Looks: ds.looks}
	}
	for i := range 3000 {
		digest := hexOf([]byte{byte(i >> 8), byte(i)})
		key := linkKey{"r", digest, asBlob}
		begin := make(chan struct{})
		var wg sync.WaitGroup
		for _, evidence := range []bool{true, false} {
			wg.Go(func() {
				d, parent := of(evidence), "image"
				if evidence {
					parent = "evidence"
				}
				<-begin
				ds.addLink(t.Context(), v, key, parent, &d, 0)
				ds.putBlob(v, permitKey{"p", "r", digest, asBlob}, d)
			})
		}
		close(begin)
		wg.Wait()
		if l := ds.link(t.Context(), v, key); l.Evidence || !slices.Contains(l.Parents, "image") {
			t.Fatalf("after %d: %+v", i, l)
		}
		if d, ok := ds.get(t.Context(), v, permitKey{"p", "r", digest, asBlob}, nil); !ok || d.Evidence {
			t.Fatalf("after %d: %+v", i, d)
		}
	}
}

func TestContentThatIsNotWhatItsAnnotationHoldsIsNotListed(t *testing.T) {
	for _, text := range []string{"", "application/json", "application/json sha256:00 1 !"} {
		if (evidenceRules{}).admitsContent(text) {
			t.Errorf("%q is listed", text)
		}
	}
}
