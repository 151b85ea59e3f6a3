package verify

import (
	"context"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
)

// Keys are the keys and identities that the policy trusts, by ID and Name: whom the
// records of evidence name.
func (v *Verifier) Keys() (all []Principal) {
	for _, k := range slices.Concat(v.policy.keys, v.policy.identities) {
		all = append(all, Principal{ID: k.id, Name: k.Name})
	}
	return all
}

// Examine is Image for programs that show people what each piece of evidence is worth. It
// reads all evidence, where Image stops once enough counts. The decision is that of Image,
// except:
//
//   - Evidence of the result, or of the error, has records of every piece in the places
//     that the rule reads, and Item names the piece.
//   - Keys and Statements of a result may be more than the thresholds ask for.
//
// Examine shares no work with other calls, and neither asks nor fills Options.Cache. It
// costs what an attacker has attached, within the limits: decide with Image.
func (v *Verifier) Examine(ctx context.Context, r registry.Reader, image name.Digest) (*Result, error) {
	if _, err := registry.HashOf(image); err != nil {
		return nil, err
	}
	return inquiry{v: v, r: r, reference: image.String(), image: image, all: true}.answer(ctx)
}
