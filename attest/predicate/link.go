package predicate

import (
	"fmt"
	"maps"
	"slices"
)

// Link is an in-toto link in its first form: one step of a build, with the files that
// it read and wrote. Package steps records and verifies links.
//
// Sources: in-toto specification 0.9, section 4.4, and cosign, which gives it the type
// "https://in-toto.io/Link/v1".
type Link struct {
	// Type is "link". Required.
	Type string `json:"_type"`
	// Name is the step's name. Required.
	Name string `json:"name"`
	// Materials and Products map file names to their digests. Required, may be
	// empty.
	Materials map[string]map[string]string `json:"materials"`
	Products  map[string]map[string]string `json:"products"`
	// ByProducts describe the run further, such as its output. Required, may be empty.
	ByProducts map[string]any `json:"byproducts"`
	// Command is the command that was run. Empty: none.
	Command []string `json:"command"`
	// Environment is the recorded part of the environment. Required, may be empty.
	Environment map[string]any `json:"environment"`
}

// PredicateType is TypeLink.
func (Link) PredicateType() string { return TypeLink }

// Validate checks the required fields and the digests.
func (l Link) Validate() error { return validated(l) }

func (l Link) check(c *checks) {
	c.oneOf("_type", l.Type, "link")
	c.need("name", l.Name != "")
	c.artifacts("materials", l.Materials)
	c.artifacts("products", l.Products)
	c.need("byproducts", l.ByProducts != nil)
	c.need("environment", l.Environment != nil)
}

func (c *checks) artifacts(field string, artifacts map[string]map[string]string) {
	c.need(field, artifacts != nil)
	for _, name := range slices.Sorted(maps.Keys(artifacts)) {
		where := fmt.Sprintf("%s[%.100q]", field, name)
		c.need(where, name != "" && len(artifacts[name]) > 0)
		c.digests(where, artifacts[name])
	}
}

func (l Link) summary() summaryLines {
	var s summaryLines
	s.add("step", l.Name)
	s.command(l.Command)
	s.number("materials", len(l.Materials))
	s.number("products", len(l.Products))
	return s
}

// command adds a command as a Go list of strings, which shows where arguments end.
func (l *summaryLines) command(args []string) {
	if len(args) > 0 {
		l.add("command", fmt.Sprintf("%.100q", args[:min(len(args), 20)]))
	}
}

// Link03 is an in-toto link whose products are the statement's subjects.
//
// Source: in-toto Attestation Framework, spec/predicates/link.md v0.3
// ("https://in-toto.io/attestation/link/v0.3").
type Link03 struct {
	// Name is the step's name. Required.
	Name string `json:"name"`
	// Command is the command that was run. Empty: none, or not known.
	Command []string `json:"command,omitempty"`
	// Materials are the artifacts that the step read, each with a digest and a unique
	// name. Empty: none.
	Materials []ResourceDescriptor `json:"materials,omitempty"`
	// ByProducts and Environment describe the run further. Empty: not known.
	ByProducts  map[string]any `json:"byproducts,omitempty"`
	Environment map[string]any `json:"environment,omitempty"`
}

// PredicateType is TypeLink03.
func (Link03) PredicateType() string { return TypeLink03 }

// Validate checks the required fields, the digests, and that names of materials are
// unique.
func (l Link03) Validate() error { return validated(l) }

func (l Link03) check(c *checks) {
	c.need("name", l.Name != "")
	names := make(map[string]bool, len(l.Materials))
	for i, m := range l.Materials {
		field := indexed("materials", i)
		c.need(field+".name", m.Name != "")
		c.need(field+".digest", len(m.Digest) > 0)
		c.descriptor(field, m)
		if names[m.Name] {
			c.fail(field+".name", "is the name of two materials: %.100q", m.Name)
		}
		names[m.Name] = true
	}
}

func (l Link03) summary() summaryLines {
	var s summaryLines
	s.add("step", l.Name)
	s.command(l.Command)
	s.number("materials", len(l.Materials))
	return s
}
