package verify

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// listed is a package, file or service in a bill of materials.
type listed struct {
	title           string   // for messages
	names           []string // of a package: as a bill has it, and behind a group
	purls, licenses []string
}

// judgeBill looks for packages and licences that are denied.
func (q *DocumentConditions) judgeBill(document *attest.Document) *problem {
	if len(q.DenyPackages) == 0 && len(q.DenyLicenses) == 0 {
		return nil
	}
	if bill, ok := document.Value().(*attest.SPDX); ok && !strings.HasPrefix(bill.Version, "2.") {
		return problemf(ReasonPredicate, "its packages cannot be read: it is SPDX %s; denyPackages and denyLicenses need SPDX 2 or CycloneDX", bill.Version)
	}
	root, err := strictjson.Parse(document.RawPredicate())
	if err == nil && root.Kind() == strictjson.String { // as cosign attest --type spdx writes it
		text, _ := root.StrBytes()
		root, err = strictjson.Parse(text)
	}
	var all []listed
	if err == nil {
		all, err = readBill(root)
	}
	if err != nil {
		return problemf(ReasonPredicate, "its packages cannot be read: %v", err)
	}
	for _, p := range all {
		for _, denied := range q.DenyPackages {
			if p.is(denied) {
				return problemf(ReasonDeniedPackage, "it has the package %s", denied)
			}
		}
		for _, denied := range q.DenyLicenses {
			if p.hasLicense(denied) {
				return problemf(ReasonDeniedLicense, "its package %s has the licence %s", p.title, denied)
			}
		}
	}
	return nil
}

// bill reads an SPDX 2.x or CycloneDX document. It keeps the first error.
type bill struct {
	all []listed
	err error
}

func readBill(root strictjson.Value) ([]listed, error) {
	var b bill
	b.known(root, "packages", "files", "snippets", "components", "services", "metadata")
	for v := range root.Get("packages").Elems() {
		b.spdxPackage(v)
	}
	for _, list := range []string{"files", "snippets"} {
		for v := range root.Get(list).Elems() {
			b.spdxFile(v)
		}
	}
	metadata := root.Get("metadata")
	b.known(metadata, "component")
	b.components(metadata.Get("component"))
	b.components(root.Get("components"))
	b.components(root.Get("services"))
	return b.all, b.err
}

// known refuses members of an object whose names differ from known ones in case
// alone: others would read there what is passed over here.
func (b *bill) known(v strictjson.Value, names ...string) {
	if b.err != nil || v.Kind() != strictjson.Object {
		return
	}
	for member := range v.Members() {
		for _, name := range names {
			if member != name && strings.EqualFold(member, name) {
				b.err = fmt.Errorf("the member %.40q is not written %q, and would be read as that by some", member, name)
				return
			}
		}
	}
}

func (b *bill) spdxPackage(v strictjson.Value) {
	b.known(v, "name", "licenseConcluded", "licenseDeclared", "licenseInfoFromFiles", "externalRefs")
	name, _ := v.Get("name").Str()
	p := listed{title: name, names: []string{name}}
	for _, field := range []string{"licenseConcluded", "licenseDeclared", "licenseInfoFromFiles"} {
		p.addLicenses(v.Get(field))
	}
	for ref := range v.Get("externalRefs").Elems() {
		b.known(ref, "referenceType", "referenceLocator")
		kind, _ := ref.Get("referenceType").Str() // a name, or the URI of one
		locator, _ := ref.Get("referenceLocator").Str()
		if isPURL(locator) || strings.EqualFold(kind[strings.LastIndexByte(kind, '/')+1:], "purl") {
			p.purls = append(p.purls, locator)
		}
	}
	b.all = append(b.all, p)
}

// spdxFile reads a file or a snippet of one, which have licences of their own.
func (b *bill) spdxFile(v strictjson.Value) {
	fields := []string{"licenseConcluded", "licenseInfoInFiles", "licenseInfoInSnippets"}
	b.known(v, fields...)
	var p listed
	for _, name := range []string{"name", "fileName"} { // of a snippet, of a file
		if text, ok := v.Get(name).Str(); ok {
			p.title = text
		}
	}
	for _, field := range fields {
		p.addLicenses(v.Get(field))
	}
	b.all = append(b.all, p)
}

// components reads a CycloneDX component or service, or a list of them, and what
// is nested in them.
func (b *bill) components(v strictjson.Value) {
	if v.Kind() == strictjson.Object {
		b.component(v)
		b.components(v.Get("components"))
		b.components(v.Get("services"))
		return
	}
	for c := range v.Elems() {
		b.components(c)
	}
}

func (b *bill) component(v strictjson.Value) {
	b.known(v, "name", "group", "purl", "licenses", "evidence", "components", "services")
	name, _ := v.Get("name").Str()
	p := listed{title: name, names: []string{name}}
	if purl, ok := v.Get("purl").Str(); ok {
		p.purls = append(p.purls, purl)
	}
	if group, ok := v.Get("group").Str(); ok && group != "" {
		p.title = group + "/" + name
		p.names = append(p.names, p.title)
	}
	evidence := v.Get("evidence")
	b.known(evidence, "licenses")
	for _, list := range []strictjson.Value{v.Get("licenses"), evidence.Get("licenses")} {
		for choice := range list.Elems() {
			license := choice.Get("license")
			b.known(choice, "license", "expression")
			b.known(license, "id", "name")
			for _, text := range []strictjson.Value{choice.Get("expression"), license.Get("id"), license.Get("name")} {
				p.addLicenses(text)
			}
		}
	}
	b.all = append(b.all, p)
}

// addLicenses adds a licence expression, or a list of them.
func (p *listed) addLicenses(v strictjson.Value) {
	if text, ok := v.Str(); ok {
		p.licenses = append(p.licenses, text)
	}
	for element := range v.Elems() {
		if text, ok := element.Str(); ok {
			p.licenses = append(p.licenses, text)
		}
	}
}

// is reports whether the package has a name, or a package URL apart from version,
// qualifiers and subpath.
func (p listed) is(denied string) bool {
	return slices.Contains(p.names, denied) || slices.ContainsFunc(p.purls, func(purl string) bool { return plainPURL(purl) == canonicalPURL(denied) })
}

// hasLicense reports whether an identifier stands anywhere in the package's
// licences, whatever its case (SPDX specification, annex D) and whatever is
// written between identifiers: many a licence is no expression, as in
// "MIT/Apache-2.0".
func (p listed) hasLicense(id string) bool {
	for _, text := range p.licenses {
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !inLicense(r) && r != ':' }) {
			if isLicense(word, id) {
				return true
			}
			for part := range strings.SplitSeq(word, ":") { // after DocumentRef-x, or of a sentence
				if isLicense(part, id) {
					return true
				}
			}
		}
	}
	return false
}

func isLicense(word, id string) bool {
	return strings.EqualFold(word, id) || strings.EqualFold(strings.Trim(word, ".-"), id)
}

// inLicense reports whether SPDX identifiers hold a character.
func inLicense(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-'
}
