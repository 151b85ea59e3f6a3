package steps

import "github.com/hallmark-oci/hallmark/internal/wire/steplayout"

// Rule is an artifact rule of a step: the words of in-toto specification v1.0,
// section 4.3.3. The rules of a list are applied in their order to the materials
// or products of the step; what a rule matches is done with, and no later rule
// sees it.
//
// In a pattern "*" is any text, slashes too, "?" is one character, and "[a-z]"
// or "[!a-z]" is one of a set. A pattern has the form that the name of an
// artifact has: relative, without "." and "..". Backslashes and the parameters
// that others substitute ("{name}") are refused.
type Rule []string

// Allow lets artifacts pass.
func Allow(pattern string) Rule { return Rule{"ALLOW", pattern} }

// Disallow refuses the link if an artifact that no earlier rule has matched is
// one of these.
func Disallow(pattern string) Rule { return Rule{"DISALLOW", pattern} }

// Require refuses the link if there is no artifact of this very name (it is no
// pattern) that no earlier rule has matched: put it first.
func Require(name string) Rule { return Rule{"REQUIRE", name} }

// Create lets products pass that are not among the materials.
func Create(pattern string) Rule { return Rule{"CREATE", pattern} }

// Delete lets materials pass that are not among the products.
func Delete(pattern string) Rule { return Rule{"DELETE", pattern} }

// Modify lets pass what is among both, with other digests.
func Modify(pattern string) Rule { return Rule{"MODIFY", pattern} }

// Origin is where a MATCH rule wants artifacts to come from.
type Origin struct {
	// Step is the step whose artifacts they must be. Required.
	Step string
	// Materials: they must be materials of that step. False: products.
	Materials bool
	// From is the directory in which they are in that step, To that in which
	// they are here. The pattern is about what is below. Empty: the top level.
	From, To string
}

// Match lets artifacts pass that are, with the same digests, among those of
// another step, or in the other list or another directory of the same step. A
// layout that matches a list with itself is refused: that lets everything pass.
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

// closed reports whether the last rule of a list decides about everything that is
// left.
func closed(rules []Rule) bool {
	if len(rules) == 0 {
		return false
	}
	p, err := steplayout.ParseRule(rules[len(rules)-1])
	return err == nil && p.Pattern == "*" && (p.Kind == "disallow" || p.Kind == "allow")
}
