package steps

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/sign"
)

// Bounds of a layout.
const (
	maxLayoutBytes = 8 << 20
	maxSteps       = 256
	maxKeys        = 256
	maxRules       = 1024
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
			return nil, fmt.Errorf("%w: step %s: %w", ErrLayout, printable(s.Name), err)
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
	_, e, err := openEnvelope(envelope)
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

// isLayout reports whether a payload says that it is a layout.
func isLayout(payload []byte) bool {
	root, err := strictjson.ParseShallow(payload, 1)
	return err == nil && root.Get("_type").Is("layout")
}

// parseLayout reads a layout and refuses what cannot be judged.
func parseLayout(payload []byte) (*Layout, *Error) {
	wire, err := decodeLayout(payload)
	if err != nil {
		return nil, refuse(ReasonLayoutMalformed, "", "%v", err)
	}
	l := &Layout{Readme: wire.Readme}
	if l.Expires, err = time.Parse(in_toto.ISO8601DateSchema, wire.Expires); err != nil {
		return nil, refuse(ReasonLayoutMalformed, "", "its expiry %.40q is not like 2006-01-02T15:04:05Z", wire.Expires)
	}
	if len(wire.Inspect) > 0 {
		return nil, refuse(ReasonInspection, "", "it has %d inspections: those run commands, and none is ever run here", len(wire.Inspect))
	}
	keys, err := layoutKeys(wire)
	if err == nil {
		err = checkSteps(wire)
	}
	if err != nil {
		return nil, refuse(ReasonLayoutUnsupported, "", "%v", err)
	}
	for _, s := range wire.Steps {
		step, err := toStep(s, keys)
		if err != nil {
			return nil, refuse(ReasonLayoutUnsupported, s.Name, "%v", err)
		}
		l.Steps = append(l.Steps, step)
	}
	if refusal := l.checkOrigins(); refusal != nil {
		return nil, refusal
	}
	return l, nil
}

func decodeLayout(payload []byte) (*in_toto.Layout, error) {
	if len(payload) > maxLayoutBytes {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(payload), maxLayoutBytes)
	}
	root, err := strictjson.Parse(payload)
	if err != nil {
		return nil, err
	}
	if !root.Get("_type").Is("layout") {
		return nil, errors.New(`_type is not "layout"`)
	}
	for _, field := range []string{"steps", "inspect", "keys", "expires", "readme"} {
		if !root.Get(field).Exists() {
			return nil, fmt.Errorf("%s is missing", field)
		}
	}
	var wire in_toto.Layout
	return &wire, strictjson.Decode(root, &wire, strictjson.DecodeOptions{RefuseUnknown: true})
}

// layoutKeys are the functionaries' keys by the key IDs of the layout. Those IDs
// only say which key is meant: two of them may be one key.
func layoutKeys(wire *in_toto.Layout) (map[string]*sigkey.Key, error) {
	if len(wire.RootCas)+len(wire.IntermediateCas) > 0 {
		return nil, errors.New("it has certificate authorities, which are not judged here")
	}
	if len(wire.Keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys, more than %d", len(wire.Keys), maxKeys)
	}
	keys := make(map[string]*sigkey.Key, len(wire.Keys))
	for id, k := range wire.Keys {
		key, err := fromInToto(k)
		if err == nil && k.KeyID != id {
			err = errors.New("it has another ID in itself")
		}
		if err != nil {
			return nil, fmt.Errorf("key %.80q: %w", id, err)
		}
		keys[id] = key
	}
	return keys, nil
}

func checkSteps(wire *in_toto.Layout) error {
	if n := len(wire.Steps); n == 0 || n > maxSteps {
		return fmt.Errorf("it has %d steps, want 1 to %d", n, maxSteps)
	}
	seen := make(map[string]bool)
	for _, s := range wire.Steps {
		switch {
		case s.Name == "" || len(s.Name) > maxNameBytes || hasControl(s.Name):
			return fmt.Errorf("the name of a step %s is empty, too long or not printable", printable(s.Name))
		case s.Type != "step":
			return fmt.Errorf("the _type of step %s is not \"step\"", printable(s.Name))
		case seen[s.Name]:
			return fmt.Errorf("two steps have the name %s", printable(s.Name))
		}
		seen[s.Name] = true
	}
	return nil
}

func toStep(wire in_toto.Step, keys map[string]*sigkey.Key) (Step, error) {
	s := Step{Name: wire.Name, Threshold: wire.Threshold, Command: wire.ExpectedCommand}
	if len(wire.CertificateConstraints) > 0 {
		return s, errors.New("it authorizes certificates, which are not judged here")
	}
	counted := make(map[string]bool)
	for _, id := range wire.PubKeys {
		key := keys[id]
		if key == nil {
			return s, fmt.Errorf("its key %.80q is not among those of the layout", id)
		}
		if !counted[key.ID()] {
			counted[key.ID()] = true
			s.Functionaries = append(s.Functionaries, key.Public())
		}
	}
	if s.Threshold < 1 || s.Threshold > len(counted) {
		return s, fmt.Errorf("its threshold is %d of %d distinct keys", s.Threshold, len(counted))
	}
	var err error
	if s.Materials, err = toRules(wire.ExpectedMaterials); err != nil {
		return s, fmt.Errorf("expected_materials: %w", err)
	}
	if s.Products, err = toRules(wire.ExpectedProducts); err != nil {
		return s, fmt.Errorf("expected_products: %w", err)
	}
	return s, nil
}

func toRules(wire [][]string) ([]Rule, error) {
	if len(wire) > maxRules {
		return nil, fmt.Errorf("%d rules, more than %d", len(wire), maxRules)
	}
	var rules []Rule
	for _, words := range wire {
		r := Rule(words)
		if _, err := r.parse(); err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.text(), err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// checkOrigins refuses a MATCH that says nothing: with a step that there is not,
// which would match nothing, or with the very list that it is applied to, which
// would match everything. Nobody would notice the typing error.
func (l *Layout) checkOrigins() *Error {
	for _, s := range l.Steps {
		for _, name := range s.origins() {
			if l.indexOf(name) < 0 {
				return refuse(ReasonLayoutUnsupported, s.Name, "a rule matches with the step %s, which the layout does not have", printable(name))
			}
		}
		for list, rules := range map[string][]Rule{"materials": s.Materials, "products": s.Products} {
			for _, r := range rules {
				if p, err := r.parse(); err == nil && p.kind == "match" && p.step == s.Name && p.artifact == list && p.to == p.from {
					return refuse(ReasonLayoutUnsupported, s.Name, "the rule %s matches the %s of the step with themselves, and so all of them", r.text(), list)
				}
			}
		}
	}
	return nil
}

func (l *Layout) indexOf(name string) int {
	return slices.IndexFunc(l.Steps, func(s Step) bool { return s.Name == name })
}

// origins are the steps that the rules of a step match with.
func (s *Step) origins() []string {
	var names []string
	for _, r := range slices.Concat(s.Materials, s.Products) {
		if p, err := r.parse(); err == nil && p.kind == "match" && !slices.Contains(names, p.step) {
			names = append(names, p.step)
		}
	}
	return names
}
