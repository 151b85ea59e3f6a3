package gate

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

func TestMoreRequestsThanThereMayBeAreRefusedWhoeverAsks(t *testing.T) {
	l := newLimits(3, 2)
	var leave []func()
	for _, c := range []struct {
		client string
		want   int // 0: it is let in
	}{{"a", 0}, {"a", 0}, {"a", http.StatusTooManyRequests}, {"b", 0}, {"b", http.StatusServiceUnavailable}, {"c", http.StatusServiceUnavailable}} {
		got := 0
		back, r := l.enter(c.client)
		if r == nil {
			leave = append(leave, back)
		} else {
			if got = r.status; r.retryAfter <= 0 {
				t.Errorf("%s: does not say when to ask again", c.client)
			}
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.client, got, c.want)
		}
	}
	for _, back := range leave {
		back()
	}
	if n := l.places.Used(); n != 0 {
		t.Errorf("when all have left: %d", n)
	}
}

func TestAttack_P11_ClientsWithoutAnAddressAreBounded(t *testing.T) {
	l := newLimits(3, 1)
	leave, r := l.enter("")
	if r != nil {
		t.Fatal(r)
	}
	defer leave()
	if _, r := l.enter(""); r == nil || r.status != http.StatusTooManyRequests {
		t.Errorf("%+v", r)
	}
}

// A manifest that was let through as an image, and is seen as evidence later, takes
// nothing from what it lists.
func TestEvidenceChangesNoLinkOfAnImage(t *testing.T) {
	c, err := Config{Verifier: &verify.Verifier{}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l, v := newDecisions(&c), &verify.Verifier{}
	key := linkKey{"registry.example/app", "sha256:blob", asBlob}
	for _, step := range []struct {
		parent   string
		evidence bool
		want     []string
		as       bool // evidence alone lists it
	}{
		{"e1", true, []string{"e1"}, true},
		{"image", false, []string{"image", "e1"}, false},
		{"image", true, []string{"image", "e1"}, false},
		{"e2", true, []string{"image", "e1", "e2"}, false},
		{"e1", true, []string{"image", "e1", "e2"}, false},
		{"e3", true, []string{"image", "e1", "e2", "e3"}, false},
		{"e4", true, []string{"image", "e1", "e2", "e3"}, false},
		{"other", false, []string{"other", "image", "e1", "e2"}, false},
	} {
		l.addLink(t.Context(), v, key, step.parent, &permit{Evidence: step.evidence}, 0)
		if got, _ := l.links.Get(key); !slices.Equal(got.Parents, step.want) || got.Evidence != step.as {
			t.Errorf("after %s: %+v, want %v", step.parent, got, step.want)
		}
	}
}

func TestWhatADenialHoldsCountsWithWhatWasWanted(t *testing.T) {
	without := weightOf([]verify.Unmet{{Found: "none"}})
	if n := weightOf([]verify.Unmet{{Found: "none", Wanted: []string{"a key", "another"}}}); n != without+2*16+12 {
		t.Errorf("%d, and %d without", n, without)
	}
}

func TestContentContinuesOnlyWhatWasSentBefore(t *testing.T) {
	for text, want := range map[string]error{"the content": nil, "thx content": registry.ErrDigestMismatch} {
		c := &continued{r: strings.NewReader("content"), from: strings.NewReader(text), at: 4, left: 4}
		if text[:3] != "the" {
			c.r, c.at, c.left = strings.NewReader("the content"), 0, 4
		}
		if got, err := io.ReadAll(c); !errors.Is(err, want) || err == nil && (string(got) != "content" || c.at != 8 || c.left != 0) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}
