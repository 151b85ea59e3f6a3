package steps

import (
	"slices"
	"strings"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

// in-toto-golang applies the rules (VerifyArtifacts). Version 0.11.0 has traps,
// and each is closed before it is called:
//
//   - It cleans artifact paths while it iterates over them, so "./a" may overwrite
//     "a". Artifacts.check accepts clean paths alone.
//   - Two artifacts without a digest are equal. Artifacts.check demands a sha256.
//   - It panics on an empty rule, and ignores a malformed pattern after a warning.
//     It also ignores a MATCH with neither materials nor products, or with a step
//     that does not exist. steplayout refuses these rules.
//   - "MATCH p IN dir" also matches artifacts outside of dir, although the
//     specification filters by the prefix first (4.3.3.2). Here every artifact
//     lies under a root that no artifact name can hold, and every MATCH names the
//     root. An artifact outside of dir keeps the root, and matches nothing.
//   - An artifact that no rule matches passes, as the specification says. A last
//     rule is added that refuses it.
//
// Its handling of signatures, thresholds, step names, expiry, inspections and
// sublayouts is not used.

// root is a directory that no artifact is in: CheckPath refuses control characters.
const root = "\x00"

// rooted returns the link with its artifacts under the root.
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

// wordsOf returns the rule for artifacts under the root.
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

// ruledStep is a step with its rules in the form of VerifyArtifacts.
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

// apply applies the rules of the step to the chosen links, which are keyed by step
// name.
func (s ruledStep) apply(chosen map[string]in_toto.Metadata) *Error {
	item := in_toto.Step{SupplyChainItem: in_toto.SupplyChainItem{
		Name: s.name, ExpectedMaterials: s.materials, ExpectedProducts: s.products,
	}}
	if err := in_toto.VerifyArtifacts([]any{item}, chosen); err != nil {
		return refuse(ReasonRule, s.name, "a rule is broken: %s", steplayout.Printable(strings.ReplaceAll(err.Error(), root+"/", "")))
	}
	return nil
}
