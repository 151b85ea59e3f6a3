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

// Bounds of a verification, where the caller sets none.
const (
	defaultMaxLinks     = 1000
	defaultMaxLinkBytes = 32 << 20
)

// VerifyOptions say whom to trust. The zero value trusts nobody, and Verify
// refuses it.
type VerifyOptions struct {
	// OwnerKeys are the keys whose signatures make a layout valid: ECDSA P-256,
	// P-384 or P-521, Ed25519, RSA of 2048 to 4096 bits. At least one.
	OwnerKeys []crypto.PublicKey
	// OwnerThreshold is how many distinct ones must have signed. Zero: all of
	// them, as in-toto demands.
	OwnerThreshold int
	// Now gives the time that the layout's expiry is compared with. Nil:
	// time.Now.
	Now func() time.Time
	// ImageStep is the step whose product the image must be. Empty: the last
	// step of the layout.
	ImageStep string
	// ImageProduct is the name that the image must have among the products.
	// Empty: any.
	ImageProduct string
	// MaxLinks bounds how many links are looked at, in the order given. Zero:
	// 1000.
	MaxLinks int
	// MaxLinkBytes bounds the envelope of one link. Zero: 32 MiB. It cannot be
	// more than 64 MiB.
	MaxLinkBytes int64
	// InsecureAllowUnmatched lets materials and products pass that no rule of
	// their step matches, as the specification has it (4.3.3.1: "there is an
	// implicit ALLOW *"). False: they are refused, as if each list of rules ended
	// with DISALLOW *.
	InsecureAllowUnmatched bool
}

// Result is a positive decision.
type Result struct {
	// Image is the digest that was judged.
	Image v1.Hash `json:"image"`
	// Product is the name under which it is a product.
	Product string `json:"product"`
	// ImageStep is the step whose product it is.
	ImageStep string `json:"imageStep"`
	// Owners are the owner keys that have signed the layout: the SHA-256 of
	// their SubjectPublicKeyInfo, in hex and in order.
	Owners []string `json:"owners"`
	// Expires is when the layout ends to be valid.
	Expires time.Time `json:"expires"`
	// Steps are the steps of the layout, in its order.
	Steps []StepResult `json:"steps"`
	// Ignored are the links that did not count, in their order.
	Ignored []IgnoredLink `json:"ignored,omitempty"`
}

// StepResult says by what a step is met.
type StepResult struct {
	// Name is the step's.
	Name string `json:"name"`
	// Threshold is how many distinct keys the layout wants.
	Threshold int `json:"threshold"`
	// Keys are those that counted, as in Result.Owners.
	Keys []string `json:"keys"`
	// Links are the places of the links that counted, in the list that was given.
	Links []int `json:"links"`
	// Materials and Products are what all of them say.
	Materials Artifacts `json:"materials"`
	Products  Artifacts `json:"products"`
	// Command is what the first of them says was run.
	Command []string `json:"command,omitempty"`
	// CommandDiffers is true where that is not what the layout expects. It is
	// no ground for refusal (specification 4.3.1).
	CommandDiffers bool `json:"commandDiffers,omitempty"`
}

// Verify judges whether an image was made in the steps of a layout, by those who
// may perform them. layout is the envelope of the layout; links are the envelopes
// of links, from whatever source, in any order: they are not trusted.
//
// The branches, in order. The first that applies decides.
//
//  1. Options without owner keys, with a key that is too weak, with a threshold
//     below zero or above the number of distinct keys, or a digest that is no
//     sha256: ErrOptions or sign.ErrKey. Nothing was judged.
//  2. The context has ended, now or later: its error. Nothing was judged.
//  3. The layout is no DSSE envelope of in-toto metadata: ReasonLayoutMalformed.
//  4. Fewer than OwnerThreshold distinct owner keys have signed its bytes:
//     ReasonLayoutUnsigned. A key is its SubjectPublicKeyInfo; key IDs are not
//     looked at; one good signature is not spoilt by garbage beside it.
//  5. What was signed is no layout: ReasonLayoutMalformed.
//  6. It has inspections: ReasonInspection. No command is ever run.
//  7. It has certificate authorities, parameters, rules that cannot be read or
//     that match with no step of the layout, thresholds below one or above the
//     number of distinct keys of the step, two steps of one name, no step, or not
//     the ImageStep: ReasonLayoutUnsupported.
//  8. It is past its expiry: ReasonLayoutExpired. At that very time it is valid.
//  9. Each link is looked at, up to MaxLinks and to 10,000 checks of a signature
//     by a key. One that is too large, malformed, signed by no key of any step,
//     a sublayout, about a step that is not in the layout, or signed by nobody
//     who may perform the step that it is about, is recorded and does not count.
//  10. For a step, links with the same materials and products by Threshold
//     distinct keys stand in for it; there may be several such sets, as when an
//     image was built twice. A step that has none: ReasonThreshold.
//  11. None of the sets of the ImageStep has a product (called ImageProduct, where
//     set) whose sha256 is the image's: ReasonImage.
//  12. One set is chosen for each step so that all rules of all steps hold, and
//     the image is a product. There is no such choice: ReasonRule, with the rule
//     that was broken in the attempt that came furthest. What no rule of a list
//     matches breaks it, unless InsecureAllowUnmatched is true.
//  13. Where 10, 11 or 12 refuses and links were left unread, or more than 1000
//     choices would have to be tried: ReasonTooMany.
//  14. Otherwise: a Result.
//
// That any choice is enough adds nothing to what an attacker can do, who decides
// which links are seen: and a link of another build that somebody attaches does
// no harm. Verify returns a Result or an error, never both. A refusal is an
// *Error.
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

// check refuses options that could never verify, and fills in the defaults.
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
		return nil, o, fmt.Errorf("%w: no owner key", ErrOptions)
	case o.OwnerThreshold < 1 || o.OwnerThreshold > len(owners):
		return nil, o, fmt.Errorf("%w: an owner threshold of %d with %d distinct keys", ErrOptions, o.OwnerThreshold, len(owners))
	case o.MaxLinks < 0 || o.MaxLinkBytes < 0 || o.MaxLinkBytes > steplayout.MaxEnvelopeBytes:
		return nil, o, fmt.Errorf("%w: a limit is negative, or too large", ErrOptions)
	case image.Algorithm != "sha256" || len(image.Hex) != 64 || !isLowerHex(image.Hex):
		return nil, o, fmt.Errorf("%w: the image's digest is no sha256: %.100q", ErrOptions, image.String())
	}
	return owners, o, nil
}

// verifyLayout returns a layout that holds, and the owners who have signed it. An
// error is an *Error, or that of the context.
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
		return refuse(ReasonLayoutUnsupported, "", "it has no step %s, whose product the image must be", steplayout.Printable(o.ImageStep))
	}
	if now := o.Now(); now.After(l.Expires) {
		return refuse(ReasonLayoutExpired, "", "it expired at %s, and it is %s", l.Expires.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}
