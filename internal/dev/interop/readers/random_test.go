package readers

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// randomCases is how many attackers there are before each upstream.
const randomCases = 50

// An attacker who may push to a repository with one signed image writes manifests
// and lists at random, wherever evidence is looked for. Whatever a client can reach
// through the gate, from any answer, is the image that was judged, or evidence.
func TestAttack_P15_P16_ClientsReachOnlyWhatIsAllowed(t *testing.T) {
	other := newElsewhere(t)
	for i, u := range upstreams {
		s := newStage(t, u.make(), u.listing)
		for n := range randomCases {
			t.Run(fmt.Sprintf("%s/%d", u.name, n), func(t *testing.T) {
				t.Parallel()
				a := &author{
					target: s.newTarget(t, fmt.Sprintf("team/app-%d", n)), rand: rand.New(rand.NewPCG(uint64(i), uint64(n))),
					elsewhere: other, kinds: append(slices.Clone(payloads), gzipped(t)), marker: fmt.Sprintf("PAYLOAD-%d-%d", i, n),
					payloads: make(map[string]string), runnable: make(map[string]bool), lost: make(map[string]bool),
				}
				good := a.attach()
				for range 1 + a.rand.IntN(3) {
					a.write()
				}
				way := choose(a.rand, []string{"handler", "transport"})
				for _, r := range readers {
					t.Run(r.name+"/"+way, func(t *testing.T) { a.reach(t, r, way, good) })
				}
			})
		}
	}
}

// reach pulls all that may be of interest, and looks at what has arrived.
func (a *author) reach(t *testing.T, r reader, way string, good []string) {
	from := a.stage.ways(a.repo.RepositoryStr())[way]
	refs := append([]string{"signed", a.signed.DigestStr(), a.tag(""), a.tag(".sig"), a.tag(".att"), a.tag(".sbom")}, a.refs...)
	got := r.everything(t, from, refs, append([]string{a.signed.DigestStr()}, a.subjects...))
	for which, content := range got.contents {
		if kind := carries(content, a.marker, a.payloads); kind != "" {
			t.Errorf("%s arrived, with %s in it:\n%.400q", which, kind, content)
		}
		if a.runnable[which] {
			t.Errorf("%s arrived, which can be run:\n%.400q", which, content)
		}
		a.plain(t, which, content)
	}
	for _, blob := range slices.Sorted(maps.Keys(a.payloads)) {
		if status, _ := from.get(t, "blobs/"+blob); status == http.StatusOK {
			t.Errorf("%s is given as a blob: %s", blob, a.payloads[blob])
		}
	}
	from.transport.onlyRefused(t)
	listed := a.stage.listing || !a.lost[a.tag("")]
	if listed || !a.lost[a.tag(".sig")] {
		a.pulled(t, got)
	}
	for _, want := range good {
		if listed && !got.has(want) {
			t.Errorf("well-formed evidence %s did not arrive: %v", want, got.errs)
		}
	}
}

// plain fails the test where a list has more than evidence needs.
func (a *author) plain(t *testing.T, which string, content []byte) {
	t.Helper()
	var list ocispec.Index
	if json.Unmarshal(content, &list) != nil {
		return
	}
	for _, d := range list.Manifests {
		if d.Data != nil || d.Platform != nil || d.URLs != nil {
			t.Errorf("the list %s has an entry with content, a platform or addresses:\n%.400q", which, content)
		}
	}
}
