package steps_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/attest/steps"
)

// Whatever is put in place of the layout and a link, the decision is one, and a
// positive one rests on the same signed payloads.
func FuzzVerify(f *testing.F) {
	b := newBuild(f)
	layout, links := b.signedLayout(), b.links()
	f.Add(layout, links[3])
	f.Add([]byte(`{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AA=="}]}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, layout, last []byte) {
		o := b.options()
		res, err := steps.Verify(t.Context(), layout, [][]byte{last, links[0], links[1], links[2]}, b.image, o)
		if (res == nil) == (err == nil) {
			t.Fatalf("%v, %v", res, err)
		}
		if err == nil && (len(res.Steps) != 3 || res.Product != "manifest.json" || res.Steps[1].Threshold != 2 || len(res.Ignored) != 0) {
			t.Errorf("%+v\n%s\n%s", res, layout, last)
		}
	})
}
