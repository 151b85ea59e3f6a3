// Package predicate holds the predicates of in-toto statements: their types, their Go
// values, and the checks that their specifications ask for.
//
//	p := predicate.TestResult{Result: predicate.TestsPassed, Configuration: []predicate.ResourceDescriptor{{URI: "https://ci.example/tests"}}}
//	err := p.Validate()
//
// Two functions read a predicate:
//
//   - [Parse] is strict. It is for predicates that are about to be signed, and refuses
//     what the specification of the type does not allow.
//   - [Summarize] is tolerant. It is for people who look at a predicate that is signed
//     already, and shows what can be read.
//
// Nothing here signs or verifies: package attest binds predicates to images, and
// package verify says which of them count. Values are plain data. Functions are safe
// for concurrent use.
//
// Each Go type names its specification.
package predicate

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/uri"
)

// Errors of predicates, for errors.Is.
var (
	// ErrInvalid: a predicate is not what the specification of its type says.
	ErrInvalid = errors.New("predicate is not what its type says")
	// ErrType: a text is neither the short name nor the URI of a predicate type.
	ErrType = errors.New("unknown predicate type")
)

// URIs of the predicate types whose specification this package knows.
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
	// Name is the short name, which is cosign's where cosign has one. Empty: this
	// package does not know the specification of the type.
	Name string
	// Aliases are other short names of the type.
	Aliases []string
	// URI is the predicateType of statements.
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
	// parse reads the predicate, whose outermost object was parsed. With an error it
	// returns the members that it could read.
	parse func(c *checks, uri string, root strictjson.Value) (any, error)
}

// forms yields the table of types. The short name "slsaprovenance" is v0.2, as in
// cosign; scripts rely on that.
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

// Lookup finds a type by its short name or URI, which are compared exactly.
//
//   - Any absolute URI is a type. A type that is not known has no name.
//   - URIs of SPDX, CycloneDX and OpenVEX may end in the version of the document, as in
//     https://spdx.dev/Document/v2.3. The Type then has that URI.
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
		if version, begins := strings.CutPrefix(nameOrURI, f.uri); begins && strings.HasPrefix(version, "/v") && uri.IsAbsolute(nameOrURI) {
			f.uri = nameOrURI
			return f, true
		}
	}
	if !uri.IsAbsolute(nameOrURI) {
		return form{}, false
	}
	return form{uri: nameOrURI, parse: parseRaw}, true
}

// SameType reports whether predicateType is typeURI, or a version of it:
// https://spdx.dev/Document/v2.3 is a version of [TypeSPDX].
func SameType(predicateType, typeURI string) bool {
	rest, begins := strings.CutPrefix(predicateType, typeURI)
	if rest == "" || !begins {
		return begins
	}
	f, _ := lookupForm(typeURI)
	return f.versioned && strings.HasPrefix(rest, "/v")
}

// Document is a predicate together with its JSON text, which is signed byte for byte.
type Document struct {
	uri   string
	text  []byte
	value any
}

// PredicateType is the URI of the document's type.
func (d *Document) PredicateType() string { return d.uri }

// RawPredicate is the text of the document's JSON object. Callers must not change it.
func (d *Document) RawPredicate() []byte { return d.text }

// Value is the document as a Go value: a *[Provenance], *[Provenance02], *[VSA],
// *[SPDX], *[CycloneDX], *[OpenVEX], *[CosignVuln], *[Vulns] (for v0.1 too),
// *[TestResult], *[Link], *[Link03], *[Release], *[Custom], or a *[Raw] for a type that
// is not known. Changing the value does not change the document.
func (d *Document) Value() any { return d.value }

// Parse reads a predicate of a type given by its short name or URI, and checks that it
// is what the specification of the type says.
//
//   - A predicate of a type that is not known must be a JSON object.
//   - JSON is read strictly: see internal package strictjson for what is refused.
//   - Members that the specification does not have are passed over, as in-toto demands
//     (spec/v1/README.md, "Parsing rules"), and signed with the rest.
//   - Of type spdx, the predicate may be a string that holds the document, as cosign
//     attest --type spdx writes it.
//
// The document keeps data, which must not change afterwards. Errors are [ErrInvalid],
// or [ErrType] for a text that is neither a known name nor an absolute URI.
func Parse(nameOrURI string, data []byte) (*Document, error) {
	f, ok := lookupForm(nameOrURI)
	if !ok {
		return nil, unknownType(nameOrURI)
	}
	data = bytes.Trim(data, " \t\r\n")
	root, err := f.object(data)
	if err != nil {
		return nil, f.wrap(err)
	}
	value, err := f.read(&checks{}, root)
	if err != nil {
		return nil, err
	}
	return &Document{uri: f.uri, text: data, value: value}, nil
}

func unknownType(nameOrURI string) error {
	return fmt.Errorf("%w: %.200q is neither a known short name nor an absolute URI", ErrType, nameOrURI)
}

// object parses the object that a predicate is. cosign writes a predicate of type
// "spdx" as a string that holds the document.
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

// read is parse, and refuses documents that are of another type by their own account.
func (f form) read(c *checks, root strictjson.Value) (any, error) {
	value, err := f.parse(c, f.uri, root)
	looks := f.mistaken(root)
	switch {
	case looks != "" && err != nil:
		err = fmt.Errorf("%w (it looks like %s)", err, looks)
	case looks != "":
		err = fmt.Errorf("%w: it looks like %s", ErrInvalid, looks)
	}
	if err != nil {
		err = f.wrap(err)
	}
	return value, err
}

// mistaken says what a document of this type looks like, where that is another type.
// Members that a type does not have are passed over, so all members of a document of
// another type would be.
func (f form) mistaken(root strictjson.Value) (looks string) {
	name, looks := lookalike(root)
	if f.name == "" || name == f.name {
		return ""
	}
	return looks
}

// wrap says which type an error is about.
func (f form) wrap(err error) error {
	if f.name != "" {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return fmt.Errorf("%.200s: %w", f.uri, err)
}

// parseObject parses the outermost object of a predicate; all of it is checked. It must
// not nest deeper than it may as part of a statement.
func parseObject(data []byte) (strictjson.Value, error) {
	root, err := strictjson.ParseShallow(data, 1)
	return checkObject(data, root, err)
}

func checkObject(data []byte, root strictjson.Value, err error) (strictjson.Value, error) {
	switch {
	case err != nil:
		return root, fmt.Errorf("%w: %w%s", ErrInvalid, err, notJSON(data))
	case root.Kind() != strictjson.Object:
		return root, fmt.Errorf("%w: it is not a JSON object", ErrInvalid)
	case nesting(root.Raw()) >= strictjson.MaxDepth:
		return root, fmt.Errorf("%w: nested deeper than %d", ErrInvalid, strictjson.MaxDepth-1)
	}
	return root, nil
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

// decodePart stores a part of a predicate, any value of which may be opaque.
func (c *checks) decodePart(name string, part strictjson.Value, into any) error {
	if !part.Exists() {
		return nil
	}
	whole, err := part.Whole()
	if err == nil {
		err = strictjson.Decode(whole, into, strictjson.DecodeOptions{PassUnfit: c.lenient})
	}
	switch {
	case err == nil || c.lenient:
		return nil
	case name == "":
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return fmt.Errorf("%w: in %s: %w", ErrInvalid, name, err)
}

// member is a part of a predicate, by its path, and where to store it.
type member struct {
	path string
	into any
}

// decodeMembers stores parts of a predicate. Where one is missing, nothing is stored.
func (c *checks) decodeMembers(root strictjson.Value, members ...member) error {
	for _, m := range members {
		if err := c.decodePart(m.path, within(root, strings.Split(m.path, ".")...), m.into); err != nil {
			return err
		}
	}
	return nil
}
