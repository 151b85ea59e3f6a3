package sigstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

func TestContents_ListsWhatRootsHold(t *testing.T) {
	lines := append(append(published(t, "public-good.json"), '\n'), published(t, "github.json")...)
	all, err := sigstore.Contents(lines)
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for i, c := range all {
		counts[c.Kind]++
		if c.Name == "" || len(c.ID) != 64 || c.Start.IsZero() {
			t.Errorf("%+v", c)
		}
		if i > 0 && all[i-1].Root == c.Root && all[i-1].Kind == c.Kind && c.Start.Before(all[i-1].Start) {
			t.Errorf("%+v stands after %+v", c, all[i-1])
		}
		// No certificate outlives the ones above it.
		if c.Kind == "certificate authority" && c.End.IsZero() {
			t.Errorf("%+v has no end", c)
		}
	}
	if len(counts) != 4 || all[0].Root != 1 || all[len(all)-1].Root != 2 {
		t.Errorf("%v", counts)
	}
}

func TestContents_EndsWithTheCertificates(t *testing.T) {
	w := newWorld(t)
	all, err := sigstore.Contents(w.Root())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Kind == "certificate authority" && !c.End.Equal(w.CA.Chain[0].NotAfter.Truncate(time.Second)) && c.End.After(w.CA.Chain[0].NotAfter) {
			t.Errorf("%+v, and its certificate ends at %s", c, w.CA.Chain[0].NotAfter)
		}
	}
	if all, err := sigstore.Contents([]byte("{}")); all != nil || !errors.Is(err, sigstore.ErrInvalid) {
		t.Errorf("%v, %v", all, err)
	}
}
