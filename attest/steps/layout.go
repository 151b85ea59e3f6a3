package steps

import (
	"context"
	"crypto"
	"fmt"
	"slices"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
	"github.com/hallmark-oci/hallmark/sign"
)

// Layout says how something is made: the steps, who performs them, and how files
// pass from one to another.
//
// Source: in-toto specification v1.0, section 4.3.
type Layout struct {
	// Expires is when the layout ends to be valid, to the second. Required.
	Expires time.Time
	// Readme is a description for people. Empty: none.
	Readme string
	// Steps are in the order in which they are performed; the image is a product
	// of the last one. At least one.
	Steps []Step
}

// Step is one step of a layout.
type Step struct {
	// Name tells it from other steps: letters, digits, ".", "_" and "-", not
	// beginning with a dot. Required.
	Name string
	// Functionaries are the keys of those who may perform the step. At least one.
	Functionaries []crypto.PublicKey
	// Threshold is how many of them must have signed links that list the same
	// materials and products. Zero: one.
	Threshold int
	// Materials and Products are the rules for what the step reads and makes.
	// What no rule matches is refused: SignLayout adds a last rule, DISALLOW *,
	// where the last is neither that nor ALLOW *. Empty: there may be none.
	Materials, Products []Rule
	// Command is what should be run. A difference is reported, and no more.
	// Empty: none is expected.
	Command []string
}

// SignLayout signs a layout and returns its envelope (DSSE, JSON), with one
// signature for each owner's key. Owners who sign elsewhere add theirs with
// AddSignatures. Signers are those of SignLink. Errors are ErrLayout, ErrOptions,
// sign.ErrSigner and sign.ErrKey.
func SignLayout(ctx context.Context, l Layout, owners ...sign.Signer) ([]byte, error) {
	payload, err := l.payload()
	if err != nil {
		return nil, err
	}
	return signPayload(ctx, payload, owners)
}

// payload is the text that is signed. It is read again, so that nothing is signed
// that Verify would not accept.
func (l Layout) payload() ([]byte, error) {
	wire := in_toto.Layout{
		Type: "layout", Readme: l.Readme, Expires: l.Expires.UTC().Format(in_toto.ISO8601DateSchema),
		Steps: []in_toto.Step{}, Inspect: []in_toto.Inspection{}, Keys: map[string]in_toto.Key{},
	}
	if l.Expires.IsZero() {
		return nil, fmt.Errorf("%w: it has no expiry", ErrLayout)
	}
	for _, s := range l.Steps {
		if err := s.appendTo(&wire); err != nil {
			return nil, fmt.Errorf("%w: step %s: %w", ErrLayout, steplayout.Printable(s.Name), err)
		}
	}
	text, err := marshal(wire)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLayout, err)
	}
	if _, err := readLayout(text); err != nil {
		return nil, err
	}
	return text, nil
}

func (s Step) appendTo(wire *in_toto.Layout) error {
	if err := checkStepName(s.Name); err != nil {
		return err
	}
	step := in_toto.Step{
		Type: "step", Threshold: s.Threshold, ExpectedCommand: nonNil(s.Command), PubKeys: []string{},
		SupplyChainItem: in_toto.SupplyChainItem{Name: s.Name, ExpectedMaterials: closedRules(s.Materials), ExpectedProducts: closedRules(s.Products)},
	}
	if step.Threshold == 0 {
		step.Threshold = 1
	}
	for _, public := range s.Functionaries {
		key, err := sigkey.New(public)
		if err != nil {
			return err
		}
		k, err := toInToto(key)
		if err != nil {
			return err
		}
		if !slices.Contains(step.PubKeys, k.KeyID) {
			step.PubKeys = append(step.PubKeys, k.KeyID)
		}
		wire.Keys[k.KeyID] = k
	}
	wire.Steps = append(wire.Steps, step)
	return nil
}

// closedRules writes rules so that nothing passes by being left over.
func closedRules(rules []Rule) [][]string {
	wire := make([][]string, 0, len(rules)+1)
	for _, r := range rules {
		wire = append(wire, r)
	}
	if !closed(rules) {
		wire = append(wire, Disallow("*"))
	}
	return wire
}

// ReadLayout reads the layout of an envelope and checks its form, as Verify does.
// Nothing is verified: it shows what a layout says, not that it holds. Errors are
// ErrLayout.
func ReadLayout(envelope []byte) (*Layout, error) {
	_, e, err := steplayout.Open(envelope)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLayout, err)
	}
	return readLayout(e.Payload)
}

func readLayout(payload []byte) (*Layout, error) {
	l, refusal := parseLayout(payload)
	if refusal != nil {
		return nil, fmt.Errorf("%w: %w", ErrLayout, refusal)
	}
	return l, nil
}

// parseLayout reads a layout and refuses what cannot be judged.
func parseLayout(payload []byte) (*Layout, *Error) {
	wire, refusal := steplayout.Parse(payload)
	if refusal != nil {
		reason := map[steplayout.Kind]Reason{
			steplayout.Malformed: ReasonLayoutMalformed, steplayout.Inspections: ReasonInspection, steplayout.Unsupported: ReasonLayoutUnsupported,
		}[refusal.Kind]
		return nil, &Error{Reason: reason, Step: refusal.Step, Detail: refusal.Detail}
	}
	l := &Layout{Expires: wire.Expires, Readme: wire.Readme}
	for _, s := range wire.Steps {
		step := Step{Name: s.Name, Threshold: s.Threshold, Materials: toRules(s.Materials), Products: toRules(s.Products), Command: s.Command}
		for _, key := range s.Functionaries {
			step.Functionaries = append(step.Functionaries, key.Public())
		}
		l.Steps = append(l.Steps, step)
	}
	return l, nil
}

func toRules(parsed []steplayout.Rule) (rules []Rule) {
	for _, r := range parsed {
		rules = append(rules, r.Words)
	}
	return rules
}

func (l *Layout) indexOf(name string) int {
	return slices.IndexFunc(l.Steps, func(s Step) bool { return s.Name == name })
}

// origins are the steps that the rules of a step match with.
func (s *Step) origins() []string {
	var names []string
	for _, r := range slices.Concat(s.Materials, s.Products) {
		if p, err := steplayout.ParseRule(r); err == nil && p.Kind == "match" && !slices.Contains(names, p.Step) {
			names = append(names, p.Step)
		}
	}
	return names
}
