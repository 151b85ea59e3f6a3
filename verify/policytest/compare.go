package policytest

import (
	"context"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// Effect is how a new policy changes the decision about an image.
type Effect string

// The effects.
const (
	// EffectNone: the decision is the same. Its reason may differ.
	EffectNone Effect = "same"
	// EffectLoosened: the image was denied, and is allowed.
	EffectLoosened Effect = "loosened"
	// EffectTightened: the image was allowed, and is denied.
	EffectTightened Effect = "tightened"
	// EffectWarned: the image is allowed by both, by one of them only with a warning.
	EffectWarned Effect = "warned"
)

// Change is what two policies decide about an image.
type Change struct {
	// Image is the reference, Digest the digest that both have judged.
	Image  string `json:"image"`
	Digest string `json:"digest"`
	Effect Effect `json:"effect"`
	// Old and New are the decisions, without their evidence.
	Old verify.Report `json:"old"`
	New verify.Report `json:"new"`
	// Unmet are requirements that New does not meet, Met those that only Old did not meet.
	// Both are compared by their titles.
	Unmet []verify.Unmet `json:"unmet,omitempty"`
	Met   []verify.Unmet `json:"met,omitempty"`
}

// Compare judges an image by two policies. A tag is resolved once. The error is why one of
// them reached no decision.
func Compare(ctx context.Context, old, new *verify.Verifier, r registry.Reader, ref name.Reference) (*Change, error) {
	digest, err := resolve(ctx, r, ref)
	if err != nil {
		return nil, err
	}
	c := &Change{Image: ref.String(), Digest: digest.String()}
	for _, by := range []struct {
		v    *verify.Verifier
		into *verify.Report
	}{{old, &c.Old}, {new, &c.New}} {
		res, err := by.v.Image(ctx, r, digest)
		if *by.into = verify.ReportOf(c.Image, res, err); by.into.Status == verify.StatusUndecided {
			return nil, err
		}
		by.into.Evidence = nil
	}
	c.Effect = effectOf(c.Old.Status, c.New.Status)
	c.Unmet, c.Met = only(c.New.Unmet, c.Old.Unmet), only(c.Old.Unmet, c.New.Unmet)
	return c, nil
}

func resolve(ctx context.Context, r registry.Reader, ref name.Reference) (name.Digest, error) {
	if d, ok := ref.(name.Digest); ok {
		return d, nil
	}
	desc, err := r.Resolve(ctx, ref)
	if err != nil {
		return name.Digest{}, err
	}
	return ref.Context().Digest(desc.Digest.String()), nil
}

func effectOf(old, new verify.Status) Effect {
	switch {
	case old == new:
		return EffectNone
	case old == verify.StatusDenied:
		return EffectLoosened
	case new == verify.StatusDenied:
		return EffectTightened
	}
	return EffectWarned
}

// only are the requirements of a list that another one does not have.
func only(list, other []verify.Unmet) (all []verify.Unmet) {
	for _, u := range list {
		if !slices.ContainsFunc(other, func(o verify.Unmet) bool { return o.Title == u.Title }) {
			all = append(all, u)
		}
	}
	return all
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
