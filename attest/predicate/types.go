// Package predicate holds the predicates of in-toto statements: their types, their Go
// values, and the checks that their specifications ask for.
//
// [Parse] reads a predicate, [Read] only what a reader needs of it, and [Summarize] says in
// a few lines what one says. Nothing here signs or verifies: package attest binds
// predicates to images, and package verify says which of them count.
//
// Each type names its specification.
package predicate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Errors of predicates, for errors.Is.
var (
	// ErrInvalid: a predicate, or a document that is to be one, is not what
	// its type says.
	ErrInvalid = errors.New("predicate is not what its type says")
	// ErrType: what is to name a predicate type does not.
	ErrType = errors.New("unknown predicate type")
)

// Predicate type URIs that this package knows the specification of.
const (
	TypeProvenance   = "https://slsa.dev/provenance/v1"
	TypeProvenance02 = "https://slsa.dev/provenance/v0.2"
	TypeVSA          = "https://slsa.dev/verification_summary/v1"
	TypeSPDX         = "https://spdx.dev/Document"
	TypeCycloneDX    = "https://cyclonedx.org/bom"
	TypeOpenVEX      = "https://openvex.dev/ns"
	TypeCosignVuln   = "https://cosign.sigstore.dev/attestation/vuln/v1"
	TypeVulns        = "https://in-toto.io/attestation/vulns/v0.2"
	TypeVulns01      = "https://in-toto.io/attestation/vulns/v0.1"
	TypeTestResult   = "https://in-toto.io/attestation/test-result/v0.1"
	TypeLink         = "https://in-toto.io/Link/v1"
	TypeLink03       = "https://in-toto.io/attestation/link/v0.3"
	TypeRelease      = "https://in-toto.io/attestation/release/v0.1"
	TypeCustom       = "https://cosign.sigstore.dev/attestation/v1"
)

// Type is a predicate type.
type Type struct {
	// Name is the short name; it is cosign's where cosign has one. Empty: the
	// type has none, and this package does not know its specification.
	Name string
	// Aliases are other short names of the type.
	Aliases []string
	// URI is what stands in a statement.
	URI string
	// Title says in a few words what the type is.
	Title string
}

// form is a type together with how its predicates are read.
type form struct {
	name, alias, uri, title string // of the Type; an empty alias is none
	// versioned types also have URIs that end in the document's version, such
	// as https://spdx.dev/Document/v2.3.
	versioned bool
	// parse reads the predicate, of which the outermost object was parsed. It
	// returns what it could read together with an error.
	parse func(c *checks, uri string, root strictjson.Value) (any, error)
}

// forms yields the table of types. cosign means SLSA v0.2 by "slsaprovenance",
// and scripts rely on that.
func forms(yield func(form) bool) {
	for _, f := range [...]form{
		{"slsaprovenance1", "", TypeProvenance, "SLSA provenance v1", false, parseProvenance},
		{"slsaprovenance02", "slsaprovenance", TypeProvenance02, "SLSA provenance v0.2", false, parseProvenance02},
		{"vsa", "", TypeVSA, "SLSA verification summary", false, typed[VSA]},
		{"spdx", "spdxjson", TypeSPDX, "SPDX bill of materials", true, parseSPDX},
		{"cyclonedx", "", TypeCycloneDX, "CycloneDX bill of materials", true, parseCycloneDX},
		{"openvex", "", TypeOpenVEX, "OpenVEX document", true, parseOpenVEX},
		{"vuln", "", TypeCosignVuln, "vulnerability scan (cosign)", false, parseCosignVuln},
		{"vulns", "", TypeVulns, "vulnerability scan (in-toto)", false, parseVulns},
		{"vulns01", "", TypeVulns01, "vulnerability scan (in-toto v0.1)", false, parseVulns01},
		{"testresult", "", TypeTestResult, "test result", false, typed[TestResult]},
		{"link", "", TypeLink, "in-toto link", false, typed[Link]},
		{"link03", "", TypeLink03, "in-toto link v0.3", false, typed[Link03]},
		{"release", "", TypeRelease, "release of a package", false, typed[Release]},
		{"custom", "", TypeCustom, "custom data (cosign)", false, typed[Custom]},
	} {
		if !yield(f) {
			return
		}
	}
}

// Types lists the types whose specification this package knows.
func Types() []Type {
	var types []Type
	for f := range forms {
		types = append(types, f.describe())
	}
	return types
}

func (f form) describe() Type {
	t := Type{Name: f.name, URI: f.uri, Title: f.title}
	if f.alias != "" {
		t.Aliases = []string{f.alias}
	}
	return t
}

// Lookup finds a type by its short name or URI. Any absolute URI is a type:
// one that is not known has no name. SPDX, CycloneDX and OpenVEX documents also
// have URIs that end in their version (https://spdx.dev/Document/v2.3): the Type
// then has that URI. Names and URIs are compared exactly.
func Lookup(nameOrURI string) (Type, bool) {
	f, ok := lookupForm(nameOrURI)
	return f.describe(), ok
}

func lookupForm(nameOrURI string) (form, bool) {
	for f := range forms {
		if nameOrURI == f.name || nameOrURI == f.uri || f.alias != "" && nameOrURI == f.alias {
			return f, true
		}
		if !f.versioned {
			continue
		}
		if version, begins := strings.CutPrefix(nameOrURI, f.uri); begins && strings.HasPrefix(version, "/v") && isURI(nameOrURI) {
			f.uri = nameOrURI
			return f, true
		}
	}
	if !isURI(nameOrURI) {
		return form{}, false
	}
	return form{uri: nameOrURI, parse: parseRaw}, true
}

// SameType reports whether a predicate type is uri or, where documents of that type say
// their version, a version of it: https://spdx.dev/Document/v2.3 is of TypeSPDX.
func SameType(predicateType, uri string) bool {
	rest, begins := strings.CutPrefix(predicateType, uri)
	if rest == "" || !begins {
		return begins
	}
	f, _ := lookupForm(uri)
	return f.versioned && strings.HasPrefix(rest, "/v")
}

// Document is a predicate that was read from its JSON text. That text is what is
// signed, byte for byte.
type Document struct {
	uri   string
	text  []byte
	value any
}

// PredicateType is the URI of the document's type.
func (d *Document) PredicateType() string { return d.uri }

// RawPredicate is the text of the document's JSON object. It must not be changed.
func (d *Document) RawPredicate() []byte { return d.text }

// Value is what the document says: a *Provenance, *Provenance02, *VSA, *SPDX,
// *CycloneDX, *OpenVEX, *CosignVuln, *Vulns (for v0.1 too), *TestResult, *Link,
// *Link03, *Release, *Custom, or a *Raw for a type that is not known. Changing
// it changes nothing about the document: attest the value itself where it is a
// Predicate.
func (d *Document) Value() any { return d.value }

// Parse reads a predicate of a type given by its short name or URI, and
// checks that it is what the type's specification says. For a type that is not
// known it must be a JSON object.
//
// JSON is read strictly. Fields that the specification does not have are passed
// over, since in-toto demands that of consumers (spec/v1/README.md, "Parsing
// rules"); they are signed with the rest. The document keeps data, which must
// not change afterwards, and copies none of a bill of materials or scanner
// report in it. Of type spdx it may be a string that holds the document, as cosign
// attest --type spdx writes it. Errors are ErrInvalid, or ErrType for one that is neither
// a known name nor an absolute URI.
func Parse(nameOrURI string, data []byte) (*Document, error) {
	return parsePredicate(nameOrURI, data, &checks{})
}

// Read is Parse for a reader who needs only some of a predicate.
// Members at the paths of passOver may be of any form: they are passed over, and their
// zero value says nothing of them. A path is as in "runDetails.byproducts", with list[]
// for the elements of a list; what is inside of a member is passed over with it.
// Required members must be there even so. A member that is not passed over, and whose
// name differs from one of the type in case alone, is refused: other readers take it
// for that one.
func Read(nameOrURI string, data []byte, passOver ...string) (*Document, error) {
	return parsePredicate(nameOrURI, data, &checks{passedOver: passOver, otherCase: true})
}

func parsePredicate(nameOrURI string, data []byte, c *checks) (*Document, error) {
	f, ok := lookupForm(nameOrURI)
	if !ok {
		return nil, fmt.Errorf("%w: %.200q is neither a known short name nor an absolute URI", ErrType, nameOrURI)
	}
	data = bytes.Trim(data, " \t\r\n")
	root, err := f.object(data)
	if err != nil {
		return nil, f.wrap(err)
	}
	c.passedOver = slices.DeleteFunc(slices.Clone(c.passedOver), func(path string) bool { return !isThere(root, path) })
	value, err := f.read(c, root)
	if err != nil {
		return nil, err
	}
	return &Document{uri: f.uri, text: data, value: value}, nil
}

// object parses the object that a predicate is. Of type "spdx" cosign writes a
// string that holds the document (spdxjson is the object itself); it is read, but
// cannot be attested again, as it is no object.
func (f form) object(data []byte) (strictjson.Value, error) {
	if f.name != "spdx" || len(data) == 0 || data[0] != '"' {
		return parseObject(data)
	}
	text, err := strictjson.Parse(data)
	if err != nil {
		return text, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	document, _ := text.StrBytes()
	return parseObject(document)
}

// read is parse, and refuses what says itself that it is something else: fields
// that a type does not have are passed over, so that those of another type would
// be.
func (f form) read(c *checks, root strictjson.Value) (any, error) {
	value, err := f.parse(c, f.uri, root)
	name, looks := lookalike(root)
	mistaken := f.name != "" && looks != "" && name != f.name
	switch {
	case mistaken && err != nil:
		err = fmt.Errorf("%w (it looks like %s)", err, looks)
	case mistaken:
		err = fmt.Errorf("%w: it looks like %s", ErrInvalid, looks)
	}
	if err != nil {
		err = f.wrap(err)
	}
	return value, err
}

// wrap says which type an error is about.
func (f form) wrap(err error) error {
	if f.name != "" {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return fmt.Errorf("%.200s: %w", f.uri, err)
}

// parseObject parses the outermost object of a predicate; all of it is checked.
// It must not nest deeper than it may as part of a statement.
func parseObject(data []byte) (strictjson.Value, error) {
	root, err := strictjson.ParseShallow(data, 1)
	switch {
	case err != nil:
		return root, fmt.Errorf("%w: %w%s", ErrInvalid, err, notJSON(data))
	case root.Kind() != strictjson.Object:
		return root, fmt.Errorf("%w: it is no JSON object", ErrInvalid)
	case nesting(root.Raw()) >= strictjson.MaxDepth:
		return root, fmt.Errorf("%w: nested deeper than %d", ErrInvalid, strictjson.MaxDepth-1)
	}
	return root, nil
}

// isThere reports whether there is a member at a path, in whatever case, as far as
// that leads through objects alone.
func isThere(v strictjson.Value, path string) bool {
	path, _, inList := strings.Cut(path, "[]")
	if inList {
		return true
	}
	name, rest, further := strings.Cut(path, ".")
	if v.Opaque() {
		v = shallow(v.Raw())
	}
	for member, value := range v.Members() {
		if strings.EqualFold(member, name) {
			return !further || isThere(value, rest)
		}
	}
	return false
}

// typed reads a predicate into a Go struct.
func typed[T checked](c *checks, _ string, root strictjson.Value) (any, error) {
	value := new(T)
	if err := c.decodePart("", root, value); err != nil {
		return value, err
	}
	(*value).check(c)
	return value, c.err
}

// decodePart stores a part of a predicate, of which anything may be opaque.
func (c *checks) decodePart(name string, part strictjson.Value, into any) error {
	if !part.Exists() || name != "" && c.passesOver(name) {
		return nil
	}
	whole, err := part.Whole()
	if err == nil {
		err = strictjson.Decode(whole, into, c.decoding(name))
	}
	switch {
	case err == nil:
		return nil
	case name == "":
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return fmt.Errorf("%w: in %s: %w", ErrInvalid, name, err)
}

// decoding are the options by which the part of this name is decoded.
func (c *checks) decoding(name string) strictjson.DecodeOptions {
	o := strictjson.DecodeOptions{RefuseOtherCase: c.otherCase}
	if len(c.passedOver) > 0 {
		o.PassOver = func(path string) bool { return c.passesOver(strings.TrimPrefix(name+"."+path, ".")) }
	}
	return o
}

// member is a part of a predicate, by its path, and where to store it.
type member struct {
	path string
	into any
}

// decodeMembers stores parts of a predicate; those that are missing stay as they
// are.
func (c *checks) decodeMembers(root strictjson.Value, members ...member) error {
	for _, m := range members {
		if err := c.decodePart(m.path, within(root, strings.Split(m.path, ".")...), m.into); err != nil {
			return err
		}
	}
	return nil
}
