package steps

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/lazy"
)

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

// parsedRule is a rule that has been checked.
type parsedRule struct {
	kind    string // in lower case
	pattern string
	// Of a match rule: prefixes without a slash at their ends, or empty.
	to, from string
	artifact string // "materials" or "products"
	step     string
}

// parse refuses what in-toto-golang would panic on, print a warning about or
// pass over: empty rules, malformed patterns, a MATCH with something that is
// neither materials nor products.
func (r Rule) parse() (parsedRule, error) {
	if len(r) == 0 {
		return parsedRule{}, errors.New("it is empty")
	}
	words, err := in_toto.UnpackRule(r)
	if err != nil {
		return parsedRule{}, errors.New("its words are in none of the forms of in-toto")
	}
	p := parsedRule{
		kind: words["type"], pattern: words["pattern"], artifact: words["dstType"], step: words["dstName"],
		to: strings.TrimSuffix(words["srcPrefix"], "/"), from: strings.TrimSuffix(words["dstPrefix"], "/"),
	}
	if err := checkPattern(p.pattern); err != nil {
		return p, err
	}
	if p.kind != "match" {
		return p, nil
	}
	if p.artifact != "materials" && p.artifact != "products" {
		return p, errors.New("it matches neither materials nor products")
	}
	for _, prefix := range []string{p.to, p.from} {
		if prefix != "" {
			err = errors.Join(err, checkPath(prefix))
		}
	}
	return p, err
}

// parameter is what in-toto replaces before it applies a rule (in-toto-golang,
// SubstituteParameters).
var parameter = lazy.Regexp(`\{[a-zA-Z0-9_-]+\}`)

// checkPattern refuses patterns that in-toto-golang cannot read, which it passes
// over with a warning, so that a DISALLOW would have no effect; and patterns that
// no artifact's name can match because they are no such path.
func checkPattern(pattern string) error {
	switch {
	case len(pattern) > maxPathBytes || !fs.ValidPath(pattern) || pattern == ".":
		return errors.New("its pattern is no relative path without empty parts, \".\" and \"..\"")
	case strings.Contains(pattern, `\`) || hasControl(pattern):
		return errors.New("its pattern holds a backslash or a control character")
	case parameter().MatchString(pattern):
		return errors.New("its pattern holds a parameter to be substituted")
	}
	for rest := []rune(pattern); len(rest) > 0; {
		if rest[0] != '[' {
			rest = rest[1:]
			continue
		}
		var ok bool
		if rest, ok = skipSet(rest[1:]); !ok {
			return errors.New("its pattern has a malformed set of characters")
		}
	}
	return nil
}

// skipSet passes over "[!]{char|char-char}]", of which the first bracket has been
// read, and returns what follows.
func skipSet(rest []rune) ([]rune, bool) {
	if len(rest) > 0 && rest[0] == '!' {
		rest = rest[1:]
	}
	for n := 0; len(rest) > 0; n++ {
		if rest[0] == ']' && n > 0 {
			return rest[1:], true
		}
		if rest[0] == ']' || rest[0] == '-' {
			return nil, false
		}
		rest = rest[1:]
		if len(rest) > 1 && rest[0] == '-' {
			if rest[1] == ']' || rest[1] == '-' {
				return nil, false
			}
			rest = rest[2:]
		}
	}
	return nil, false
}

// text is the rule for an error.
func (r Rule) text() string { return fmt.Sprintf("%.200q", strings.Join(r, " ")) }

// closed reports whether the last rule of a list decides about everything that is
// left.
func closed(rules []Rule) bool {
	if len(rules) == 0 {
		return false
	}
	p, err := rules[len(rules)-1].parse()
	return err == nil && p.pattern == "*" && (p.kind == "disallow" || p.kind == "allow")
}
