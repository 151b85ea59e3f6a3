package steps

import (
	"context"
	"crypto"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

// Limits of a verification that the caller can change.
const (
	defaultMaxLinks     = 1000
	defaultMaxLinkBytes = 32 << 20
)

// VerifyOptions name the trusted owner keys and the limits of a verification. Verify
// refuses the zero value, which trusts no key.
type VerifyOptions struct {
	// OwnerKeys are the keys whose signatures make a layout valid: ECDSA P-256,
	// P-384 or P-521, Ed25519, or RSA of 2048 to 4096 bits. At least one.
	OwnerKeys []crypto.PublicKey
	// OwnerThreshold is how many distinct owner keys must have signed. Zero: all
	// of them, as in-toto demands.
	OwnerThreshold int
	// Now returns the time at which the layout must be valid. Nil: time.Now.
	Now func() time.Time
	// ImageStep is the step that makes the image. Empty: the last step of the
	// layout.
	ImageStep string
	// ImageProduct is the image's name among the products. Empty: any name.
	ImageProduct string
	// MaxLinks is how many links are examined, in the order given. Zero: 1000.
	MaxLinks int
	// MaxLinkBytes is the size limit of one link's envelope, at most 64 MiB.
	// Zero: 32 MiB.
	MaxLinkBytes int64
	// InsecureAllowUnmatched lets artifacts pass that no rule of their step
	// matches, as the specification says (4.3.3.1, an implicit ALLOW *). False:
	// they are refused, as if each list of rules ended with DISALLOW *.
	InsecureAllowUnmatched bool
}

// Result is a positive decision.
type Result struct {
	// Image is the digest that was judged.
	Image v1.Hash `json:"image"`
	// Product is the image's name among the products.
	Product string `json:"product"`
	// ImageStep is the step that made the image.
	ImageStep string `json:"imageStep"`
	// Owners are the IDs of the owner keys that signed the layout, sorted. An ID
	// is the SHA-256 of the SubjectPublicKeyInfo, in hex.
	Owners []string `json:"owners"`
	// Expires is the last second at which the layout is valid.
	Expires time.Time `json:"expires"`
	// Steps are the steps of the layout, in the layout's order.
	Steps []StepResult `json:"steps"`
	// Ignored are the links that did not count, in the order of their indexes.
	Ignored []IgnoredLink `json:"ignored,omitempty"`
}

// StepResult says which keys and links satisfied a step.
type StepResult struct {
	// Name is the step's name.
	Name string `json:"name"`
	// Threshold is how many distinct keys the layout demands.
	Threshold int `json:"threshold"`
	// Keys are the IDs of the keys that counted, as in Result.Owners.
	Keys []string `json:"keys"`
	// Links are the indexes of the links that counted, in the list that Verify
	// was given.
	Links []int `json:"links"`
	// Materials and Products are what all of these links list.
	Materials Artifacts `json:"materials"`
	Products  Artifacts `json:"products"`
	// Command is the command of the first of these links.
	Command []string `json:"command,omitempty"`
	// CommandDiffers is true if Command is not the layout's expected command. It
	// refuses nothing (specification 4.3.1).
	CommandDiffers bool `json:"commandDiffers,omitempty"`
}

// Verify judges whether an image was made in the steps of a layout, each performed
// by its functionaries. layout is the envelope of the layout. links are the
// envelopes of links in any order, from any source: they are not trusted.
//
// Verify returns a Result or an error, never both. A refusal is an *Error. The
// first branch that applies decides:
//
//  1. The options are wrong: ErrOptions or sign.ErrKey, and nothing is judged.
//     They have no owner key, a weak key, a threshold above the number of distinct
//     keys, a limit out of range, or an image digest that is not a sha256.
//  2. The context has ended, at any time: the context's error, and nothing is
//     judged.
//  3. The layout is not a DSSE envelope of in-toto metadata:
//     ReasonLayoutMalformed.
//  4. Fewer than OwnerThreshold distinct owner keys have signed the layout:
//     ReasonLayoutUnsigned. Key IDs in the envelope are ignored, and so are wrong
//     signatures beside good ones.
//  5. The payload is not a layout: ReasonLayoutMalformed.
//  6. The layout has inspections: ReasonInspection. Verify runs no command.
//  7. The layout is not supported: ReasonLayoutUnsupported. It has certificate
//     authorities or parameters. Or it contradicts itself: it has a malformed rule,
//     a MATCH with an unknown step, a threshold that its keys cannot reach, two
//     steps of one name, no step, or no ImageStep.
//  8. The layout has expired: ReasonLayoutExpired. At Expires it is still valid.
//  9. Each link is examined, up to MaxLinks and 10,000 signature checks. A link
//     does not count for the reasons of type LinkReason, and is recorded in
//     Ignored.
//  10. A step lacks a set of links with the same materials and products by
//     Threshold distinct keys: ReasonThreshold. A step can have several sets, if
//     the image was built twice.
//  11. No set of the ImageStep lists the image as a product, under the name
//     ImageProduct if that is set: ReasonImage.
//  12. No combination of one set per step satisfies all rules: ReasonRule, with
//     the broken rule of the attempt that came furthest. An artifact that no rule
//     matches breaks the list, unless InsecureAllowUnmatched is true.
//  13. Branch 10, 11 or 12 applies and links were left unread, or more than 1000
//     combinations would have to be tried: ReasonTooMany.
//  14. Otherwise: a Result.
//
// An attacker who attaches links of other builds can neither allow nor deny an
// image: one combination of valid links that holds is enough.
func Verify(ctx context.Context, layout []byte, links [][]byte, image v1.Hash, o VerifyOptions) (*Result, error) {
	owners, o, err := o.check(image)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l, signed, err := verifyLayout(ctx, layout, owners, o)
	if err != nil {
		return nil, err
	}
	if o.ImageStep == "" {
		o.ImageStep = l.Steps[len(l.Steps)-1].Name
	}
	c, err := collect(ctx, l, links, o)
	if err != nil {
		return nil, err
	}
	choice, product, refusal, err := c.choose(ctx, image, o)
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		refusal.Ignored = c.ignoredBut(nil)
		return nil, refusal
	}
	return &Result{
		Image: image, Product: product, ImageStep: o.ImageStep, Owners: signed, Expires: l.Expires,
		Steps: c.results(choice), Ignored: c.ignoredBut(choice),
	}, nil
}

// check returns the owner keys by ID and the options with their defaults.
func (o VerifyOptions) check(image v1.Hash) (map[string]*sigkey.Key, VerifyOptions, error) {
	owners, err := distinct(o.OwnerKeys)
	if err != nil {
		return nil, o, err
	}
	if o.OwnerThreshold == 0 {
		o.OwnerThreshold = len(owners)
	}
	if o.MaxLinks == 0 {
		o.MaxLinks = defaultMaxLinks
	}
	if o.MaxLinkBytes == 0 {
		o.MaxLinkBytes = defaultMaxLinkBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	switch {
	case len(owners) == 0:
		return nil, o, fmt.Errorf("%w: VerifyOptions.OwnerKeys is empty", ErrOptions)
	case o.OwnerThreshold < 1 || o.OwnerThreshold > len(owners):
		return nil, o, fmt.Errorf("%w: the owner threshold is %d, and there are %d distinct owner keys", ErrOptions, o.OwnerThreshold, len(owners))
	case o.MaxLinks < 0 || o.MaxLinkBytes < 0 || o.MaxLinkBytes > steplayout.MaxEnvelopeBytes:
		return nil, o, fmt.Errorf("%w: MaxLinks is %d and MaxLinkBytes %d; neither may be negative, and MaxLinkBytes at most %d", ErrOptions, o.MaxLinks, o.MaxLinkBytes, steplayout.MaxEnvelopeBytes)
	case image.Algorithm != "sha256" || len(image.Hex) != 64 || !isLowerHex(image.Hex):
		return nil, o, fmt.Errorf("%w: the image's digest is %.100q, not a sha256", ErrOptions, image.String())
	}
	return owners, o, nil
}

// verifyLayout returns a valid layout and the IDs of the owners who signed it. The
// error is an *Error or the context's.
func verifyLayout(ctx context.Context, text []byte, owners map[string]*sigkey.Key, o VerifyOptions) (*Layout, []string, error) {
	_, e, err := steplayout.Open(text)
	if err != nil {
		return nil, nil, refuse(ReasonLayoutMalformed, "", "%v", err)
	}
	var signed []string
	m := &sigkey.Message{Bytes: e.PAE()}
	for id, key := range owners {
		by, err := signedBy(ctx, e, m, key)
		if err != nil {
			return nil, nil, err
		}
		if by {
			signed = append(signed, id)
		}
	}
	if len(signed) < o.OwnerThreshold {
		return nil, nil, refuse(ReasonLayoutUnsigned, "", "%d of %d owner keys have signed the layout, want %d", len(signed), len(owners), o.OwnerThreshold)
	}
	slices.Sort(signed)
	l, refusal := parseLayout(e.Payload)
	if refusal != nil {
		return nil, nil, refusal
	}
	if refusal := l.holds(o); refusal != nil {
		return nil, nil, refusal
	}
	return l, signed, nil
}

func (l *Layout) holds(o VerifyOptions) *Error {
	if o.ImageStep != "" && l.indexOf(o.ImageStep) < 0 {
		return refuse(ReasonLayoutUnsupported, "", "the layout has no step %s, which VerifyOptions.ImageStep names", steplayout.Printable(o.ImageStep))
	}
	if now := o.Now(); now.After(l.Expires) {
		return refuse(ReasonLayoutExpired, "", "the layout expired at %s, and it is %s", l.Expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}
