package sigstore

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
)

// Trusted is a log or an authority that a trust root holds.
type Trusted struct {
	// Root is which of several roots of the text holds it, from 1 on.
	Root int `json:"root"`
	// Kind is "certificate authority", "transparency log", "log of certificates" or
	// "timestamp authority".
	Kind string `json:"kind"`
	// Name is the host of a log, and the URI of an authority.
	Name string `json:"name"`
	// ID is the log's ID, or the SHA-256 of an authority's first certificate, in hex.
	ID string `json:"id"`
	// Start and End are when what it signs is trusted: by the root, and by the validity of
	// an authority's certificates. Zero End: the root names none.
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"`
}

// Contents lists what a trust root holds, by kind and in the order of time. The text is as
// in [Instance]. What has ended stays in a root: what it signed before goes on to count.
func Contents(text []byte) ([]Trusted, error) {
	roots, err := sigstore.ParseRoots(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var all []Trusted
	for i, r := range roots {
		held := r.Contents()
		slices.SortStableFunc(held, func(a, b sigstore.Trusted) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.Start.Compare(b.Start))
		})
		for _, t := range held {
			all = append(all, Trusted{i + 1, t.Kind, t.Name, t.ID, t.Start, t.End})
		}
	}
	return all, nil
}
