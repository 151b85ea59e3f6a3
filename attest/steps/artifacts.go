package steps

import (
	"slices"
	"strings"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

// in-toto-golang applies the rules (VerifyArtifacts). Read line by line, v0.11.0
// has these traps, which are closed before it sees anything:
//
//   - it cleans the paths of artifacts while it iterates over them, so that "./a"
//     overwrites "a" or the other way round: Artifacts.check lets only clean
//     paths through;
//   - two artifacts without any digest are equal: Artifacts.check wants a sha256;
//   - it panics on an empty rule, prints a warning and goes on where a pattern is
//     malformed, and passes over a MATCH with neither materials nor products or
//     with a step that is not there: Rule.parse and Layout.checkOrigins refuse;
//   - "MATCH p IN dir" also matches what is not in dir, as if it were (the
//     specification, 4.3.3.2, filters by the prefix first): below, everything is
//     put under a root that no artifact can have, and every MATCH names it. What
//     is not in dir then keeps the root in what it is compared with, and nothing
//     has that;
//   - what no rule matches passes, as the specification has it: a last rule is
//     added that refuses it.
//
// What it does about signatures, thresholds, names of steps, expiry, inspections
// and sublayouts is not used.

// root is a directory that no artifact has: checkPath refuses control characters.
const root = "\x00"

// rooted is a link as the rules see it.
func rooted(l *Link) in_toto.Metadata {
	return &in_toto.Metablock{Signed: in_toto.Link{
		Type: "link", Name: l.Name, Materials: rootedArtifacts(l.Materials), Products: rootedArtifacts(l.Products),
	}}
}

func rootedArtifacts(all Artifacts) map[string]in_toto.HashObj {
	out := make(map[string]in_toto.HashObj, len(all))
	for name, digests := range all {
		out[root+"/"+name] = digests
	}
	return out
}

func rootedPrefix(prefix string) string {
	if prefix == "" {
		return root
	}
	return root + "/" + prefix
}

// wordsOf is the rule for artifacts under the root.
func wordsOf(p steplayout.Rule) []string {
	if p.Kind != "match" {
		return []string{p.Kind, root + "/" + p.Pattern}
	}
	return []string{"match", p.Pattern, "in", rootedPrefix(p.To), "with", p.Artifact, "in", rootedPrefix(p.From), "from", p.Step}
}

func rootedRules(rules []Rule, allowUnmatched bool) ([][]string, error) {
	if !allowUnmatched && !closed(rules) {
		rules = append(slices.Clip(rules), Disallow("*"))
	}
	out := make([][]string, 0, len(rules))
	for _, r := range rules {
		p, err := steplayout.ParseRule(r)
		if err != nil {
			return nil, err
		}
		out = append(out, wordsOf(p))
	}
	return out, nil
}

// ruledStep is a step with its rules as VerifyArtifacts takes them.
type ruledStep struct {
	name                string
	materials, products [][]string
}

func newRuledStep(s *Step, allowUnmatched bool) (ruledStep, error) {
	materials, err := rootedRules(s.Materials, allowUnmatched)
	if err != nil {
		return ruledStep{}, err
	}
	products, err := rootedRules(s.Products, allowUnmatched)
	return ruledStep{s.Name, materials, products}, err
}

// apply applies the rules of the step to the links that have been chosen, by the
// names of their steps.
func (s ruledStep) apply(chosen map[string]in_toto.Metadata) *Error {
	item := in_toto.Step{SupplyChainItem: in_toto.SupplyChainItem{
		Name: s.name, ExpectedMaterials: s.materials, ExpectedProducts: s.products,
	}}
	if err := in_toto.VerifyArtifacts([]any{item}, chosen); err != nil {
		return refuse(ReasonRule, s.name, "a rule is broken: %s", steplayout.Printable(strings.ReplaceAll(err.Error(), root+"/", "")))
	}
	return nil
}
