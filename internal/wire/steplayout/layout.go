// Package steplayout reads the wire form of in-toto layouts and of the envelopes of layouts
// and links, and refuses what cannot be judged. It verifies no signature.
//
// Source: in-toto specification v1.0, section 4.3.
package steplayout

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// TypeLinkSet is the predicate type of links that travel with an image; see package steps.
const TypeLinkSet = "https://github.com/hallmark-oci/hallmark/blob/main/attest/steps/linkset.md#v1"

// Bounds of a layout.
const (
	maxLayoutBytes = 8 << 20
	maxSteps       = 256
	maxKeys        = 256
	maxRules       = 1024
)

// Layout is a layout whose form has been checked.
type Layout struct {
	Expires time.Time
	Readme  string
	Steps   []Step
}

// Step is a step of a Layout.
type Step struct {
	Name                string
	Functionaries       []*sigkey.Key // distinct
	Threshold           int
	Materials, Products []Rule
	Command             []string
}

// Kind is what is wrong with a layout.
type Kind int

// Kinds of a Refusal.
const (
	// Malformed: it is not a layout.
	Malformed Kind = iota
	// Inspections: it has inspections, which would run commands.
	Inspections
	// Unsupported: the layout uses what is not judged, or contradicts itself.
	Unsupported
)

// Refusal says what is wrong with a layout, and in which step; Step may be empty.
type Refusal struct {
	Kind         Kind
	Step, Detail string
}

// Error says what is wrong.
func (r *Refusal) Error() string {
	if r.Step == "" {
		return r.Detail
	}
	return "step " + Printable(r.Step) + ": " + r.Detail
}

func refuse(kind Kind, step, format string, args ...any) *Refusal {
	return &Refusal{Kind: kind, Step: step, Detail: fmt.Sprintf(format, args...)}
}

// Read reads the layout in an envelope. Nothing is verified.
func Read(envelope []byte) (*Layout, error) {
	_, e, err := Open(envelope)
	if err != nil {
		return nil, err
	}
	l, refusal := Parse(e.Payload)
	if refusal != nil {
		return nil, refusal
	}
	return l, nil
}

// Is reports whether a payload says that it is a layout.
func Is(payload []byte) bool {
	root, err := strictjson.ParseShallow(payload, 1)
	return err == nil && root.Get("_type").Is("layout")
}

// Parse reads a layout and refuses what cannot be judged.
func Parse(payload []byte) (*Layout, *Refusal) {
	wire, err := decode(payload)
	if err != nil {
		return nil, refuse(Malformed, "", "%v", err)
	}
	l := &Layout{Readme: wire.Readme}
	if l.Expires, err = time.Parse(in_toto.ISO8601DateSchema, wire.Expires); err != nil {
		return nil, refuse(Malformed, "", "its expiry %.40q is not like 2006-01-02T15:04:05Z", wire.Expires)
	}
	if len(wire.Inspect) > 0 {
		return nil, refuse(Inspections, "", "it has %d inspections: those run commands, and none is ever run here", len(wire.Inspect))
	}
	keys, err := keysOf(wire)
	if err == nil {
		err = checkSteps(wire)
	}
	if err != nil {
		return nil, refuse(Unsupported, "", "%v", err)
	}
	for _, s := range wire.Steps {
		step, err := toStep(s, keys)
		if err != nil {
			return nil, refuse(Unsupported, s.Name, "%v", err)
		}
		l.Steps = append(l.Steps, step)
	}
	if refusal := l.checkOrigins(); refusal != nil {
		return nil, refusal
	}
	return l, nil
}

func decode(payload []byte) (*in_toto.Layout, error) {
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

// keysOf are the functionaries' keys by the key IDs of the layout. Those IDs
// only say which key is meant: two of them may be one key.
func keysOf(wire *in_toto.Layout) (map[string]*sigkey.Key, error) {
	if len(wire.RootCas)+len(wire.IntermediateCas) > 0 {
		return nil, errors.New("it has certificate authorities, which are not judged here")
	}
	if len(wire.Keys) > maxKeys {
		return nil, fmt.Errorf("it has %d keys, more than %d", len(wire.Keys), maxKeys)
	}
	keys := make(map[string]*sigkey.Key, len(wire.Keys))
	for id, k := range wire.Keys {
		key, err := keyOf(k)
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

// keyOf reads the public key of a layout. What it says about its ID, scheme
// and hashes is passed over: the key itself decides.
func keyOf(k in_toto.Key) (*sigkey.Key, error) {
	if k.KeyVal.Private != "" {
		return nil, errors.New("it holds a private key")
	}
	if k.KeyType == "ed25519" {
		raw, err := hex.DecodeString(k.KeyVal.Public)
		if err != nil {
			return nil, errors.New("its public part is not hex")
		}
		return sigkey.New(ed25519.PublicKey(raw))
	}
	key, err := keyfile.ParsePublic([]byte(k.KeyVal.Public))
	if err != nil {
		return nil, err
	}
	isType := false
	switch key.Public().(type) {
	case *ecdsa.PublicKey:
		isType = k.KeyType == "ecdsa"
	case *rsa.PublicKey:
		isType = k.KeyType == "rsa"
	}
	if !isType {
		return nil, fmt.Errorf("it is %s and says that it is %.40q", key.Algorithm(), k.KeyType)
	}
	return key, nil
}

func checkSteps(wire *in_toto.Layout) error {
	if n := len(wire.Steps); n == 0 || n > maxSteps {
		return fmt.Errorf("it has %d steps, want 1 to %d", n, maxSteps)
	}
	seen := make(map[string]bool)
	for _, s := range wire.Steps {
		switch {
		case s.Name == "" || len(s.Name) > MaxNameBytes || HasControl(s.Name):
			return fmt.Errorf("the name of a step %s is empty, too long or not printable", Printable(s.Name))
		case s.Type != "step":
			return fmt.Errorf("the _type of step %s is not \"step\"", Printable(s.Name))
		case seen[s.Name]:
			return fmt.Errorf("two steps have the name %s", Printable(s.Name))
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
			s.Functionaries = append(s.Functionaries, key)
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
		r, err := ParseRule(words)
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", text(words), err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// checkOrigins refuses a MATCH that means nothing. A MATCH with a step that does not
// exist would match nothing; one with the list that it is applied to would match
// everything. The author would not notice the typing error.
func (l *Layout) checkOrigins() *Refusal {
	for _, s := range l.Steps {
		for _, r := range slices.Concat(s.Materials, s.Products) {
			if r.Kind == "match" && !slices.ContainsFunc(l.Steps, func(o Step) bool { return o.Name == r.Step }) {
				return refuse(Unsupported, s.Name, "a rule matches with the step %s, which the layout does not have", Printable(r.Step))
			}
		}
		for list, rules := range map[string][]Rule{"materials": s.Materials, "products": s.Products} {
			for _, r := range rules {
				if r.Kind == "match" && r.Step == s.Name && r.Artifact == list && r.To == r.From {
					return refuse(Unsupported, s.Name, "the rule %s matches the %s of the step with themselves, and so all of them", text(r.Words), list)
				}
			}
		}
	}
	return nil
}
