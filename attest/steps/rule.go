package steps

import "github.com/hallmark-oci/hallmark/internal/wire/steplayout"

// Rule is an artifact rule of a step, as the words of in-toto specification v1.0,
// section 4.3.3. The rules of a list are applied in their order to the materials
// or products of the step. A later rule does not see an artifact that an earlier
// rule has matched.
//
// A pattern is a relative path like an artifact's name, with these wildcards:
//
//   - "*" is any text, slashes included
//   - "?" is one character
//   - "[a-z]" is one character of a set, "[!a-z]" one that is not of the set
//
// Backslashes and parameters for substitution ("{name}") are refused.
type Rule []string

// Allow returns a rule that lets artifacts pass.
func Allow(pattern string) Rule { return Rule{"ALLOW", pattern} }

// Disallow returns a rule that refuses the link if an artifact matches the pattern
// and no earlier rule has matched it.
func Disallow(pattern string) Rule { return Rule{"DISALLOW", pattern} }

// Require returns a rule that refuses the link if it has no artifact of this name.
// The name is not a pattern. Put the rule first: it does not see artifacts that an
// earlier rule has matched.
func Require(name string) Rule { return Rule{"REQUIRE", name} }

// Create returns a rule that lets products pass that are not among the materials.
func Create(pattern string) Rule { return Rule{"CREATE", pattern} }

// Delete returns a rule that lets materials pass that are not among the products.
func Delete(pattern string) Rule { return Rule{"DELETE", pattern} }

// Modify returns a rule that lets artifacts pass that are among both materials and
// products, with different digests.
func Modify(pattern string) Rule { return Rule{"MODIFY", pattern} }

// Origin says where the artifacts of a MATCH rule come from.
type Origin struct {
	// Step is the step that lists the artifacts. Required.
	Step string
	// Materials says that the artifacts are materials of that step. False: they
	// are products.
	Materials bool
	// From is the artifacts' directory in that step, and To their directory in
	// the step with the rule. The pattern is relative to them. Empty: the top
	// level.
	From, To string
}

// Match returns a rule that lets artifacts pass which the origin lists with the same
// digests. The origin is another step, or another list or directory of the same
// step. A layout that matches a list with itself is refused: such a rule would let
// every artifact pass.
func Match(pattern string, o Origin) Rule {
	r := Rule{"MATCH", pattern}
	if o.To != "" {
		r = append(r, "IN", o.To)
	}
	r = append(r, "WITH", map[bool]string{false: "PRODUCTS", true: "MATERIALS"}[o.Materials])
	if o.From != "" {
		r = append(r, "IN", o.From)
	}
	return append(r, "FROM", o.Step)
}

// closed reports whether the last rule of a list matches every artifact.
func closed(rules []Rule) bool {
	if len(rules) == 0 {
		return false
	}
	p, err := steplayout.ParseRule(rules[len(rules)-1])
	return err == nil && p.Pattern == "*" && (p.Kind == "disallow" || p.Kind == "allow")
}
