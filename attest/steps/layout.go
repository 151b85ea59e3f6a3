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

// Layout describes how an image is made: the steps, the functionaries of each
// step, and how files pass from one step to another.
//
// Source: in-toto specification v1.0, section 4.3.
type Layout struct {
	// Expires is the last second at which the layout is valid. Required.
	Expires time.Time
	// Readme is a description for people. Empty: none.
	Readme string
	// Steps are the steps in the order in which they are performed. The image is
	// a product of the last one. At least one.
	Steps []Step
}

// Step is one step of a layout.
type Step struct {
	// Name is unique within the layout. It has letters, digits, ".", "_" and "-",
	// and does not begin with a dot. Required.
	Name string
	// Functionaries are the keys that may sign links of the step. At least one.
	Functionaries []crypto.PublicKey
	// Threshold is how many functionaries must sign links with the same materials
	// and products. Zero: one.
	Threshold int
	// Materials and Products are the rules for the files that the step reads and
	// makes. SignLayout ends each list with DISALLOW *, unless it ends with that
	// or with ALLOW *. Empty: the step may have no such files.
	Materials, Products []Rule
	// Command is the expected command. Verify reports a difference, and refuses
	// nothing for it. Empty: any command.
	Command []string
}

// SignLayout signs a layout and returns its DSSE envelope as JSON, with one
// signature for each owner. AddSignatures adds the signatures of owners who sign
// on other machines. The algorithms are those of SignLink.
//
// Errors are ErrLayout, ErrOptions, sign.ErrSigner and sign.ErrKey.
func SignLayout(ctx context.Context, l Layout, owners ...sign.Signer) ([]byte, error) {
	payload, err := l.payload()
	if err != nil {
		return nil, err
	}
	return signPayload(ctx, payload, owners)
}

// payload returns the text to sign. It reads the text back, so nothing is signed
// that Verify would refuse.
func (l Layout) payload() ([]byte, error) {
	wire := in_toto.Layout{
		Type: "layout", Readme: l.Readme, Expires: l.Expires.UTC().Format(in_toto.ISO8601DateSchema),
		Steps: []in_toto.Step{}, Inspect: []in_toto.Inspection{}, Keys: map[string]in_toto.Key{},
	}
	if l.Expires.IsZero() {
		return nil, fmt.Errorf("%w: Layout.Expires is not set", ErrLayout)
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

// closedRules returns the words of the rules, with a last rule that refuses every
// artifact which no other rule matches.
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

// ReadLayout returns the layout of an envelope. It checks the layout's form as
// Verify does, and verifies no signature and no expiry. Errors are ErrLayout.
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

// parseLayout reads a layout, and refuses one that Verify could not judge.
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

// origins returns the names of the steps that the MATCH rules of a step name.
func (s *Step) origins() []string {
	var names []string
	for _, r := range slices.Concat(s.Materials, s.Products) {
		if p, err := steplayout.ParseRule(r); err == nil && p.Kind == "match" && !slices.Contains(names, p.Step) {
			names = append(names, p.Step)
		}
	}
	return names
}
