package verify

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/license"
	"github.com/hallmark-oci/hallmark/internal/purl"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// judgeBill looks for packages and licences that are denied. A part that cannot be read
// could hold either, and is denied too.
func (a attestation) judgeBill(d document) *problem {
	if len(a.DenyPackages) > 0 {
		all, err := readBill(d, billPackages)
		if p := a.judgePackages(all); p != nil {
			return p
		}
		if err != nil {
			return problemf(ReasonPredicate, "its packages cannot be read: %v", err)
		}
	}
	if len(a.DenyLicenses) > 0 {
		all, err := readBill(d, billLicenses)
		if p := a.judgeLicenses(all); p != nil {
			return p
		}
		if err != nil {
			return problemf(ReasonPredicate, "its licences cannot be read: %v", err)
		}
	}
	return nil
}

func (a attestation) judgePackages(all []listed) *problem {
	for _, p := range all {
		for _, denied := range a.DenyPackages {
			if p.is(denied) {
				return problemf(ReasonDeniedPackage, "it has the package %s", denied)
			}
		}
	}
	return nil
}

func (a attestation) judgeLicenses(all []listed) *problem {
	for _, p := range all {
		for _, denied := range a.DenyLicenses {
			if p.hasLicense(denied) {
				return problemf(ReasonDeniedLicense, "its package %s has the licence %s", p.title, denied)
			}
		}
	}
	return nil
}

// listed is a package, file or service in a bill of materials.
type listed struct {
	title           string   // for messages
	names           []string // of a package: as a bill has it, and behind a group
	purls, licenses []string
}

// is reports whether the package has this name, or this package URL apart from
// version, qualifiers and subpath.
func (p listed) is(denied string) bool {
	return slices.Contains(p.names, denied) || slices.ContainsFunc(p.purls, func(u string) bool { return purl.Plain(u) == purl.Canonical(denied) })
}

// hasLicense reports whether an identifier is anywhere in the package's licences.
func (p listed) hasLicense(id string) bool {
	return slices.ContainsFunc(p.licenses, func(text string) bool { return license.Holds(text, id) })
}

// billPart is the part of a bill that is read. The other part may be of any form.
type billPart int

const (
	billPackages billPart = iota
	billLicenses
)

// bill reads one part of an SPDX 2.x or CycloneDX document. It keeps the first error:
// a member that does not have the type that its format gives it.
//
// Sources: SPDX 2.3, schemas/spdx-schema.json; CycloneDX 1.2 to 1.7,
// schema/bom-1.N.schema.json.
type bill struct {
	shape
	part billPart
	all  []listed
}

// keptOfBill is how deep a bill is parsed at once: its lists. Elements are parsed one by
// one, since a large image has more files than a document may have values.
const keptOfBill = 2

func readBill(d document, part billPart) ([]listed, error) {
	if err := d.billVersion(); err != nil {
		return nil, err
	}
	root, err := strictjson.Unfold(d.root, keptOfBill)
	if err != nil {
		return nil, err
	}
	b := bill{part: part}
	b.document(root)
	return b.all, b.err
}

// billVersion refuses versions whose members for packages and licences are not known.
func (d document) billVersion() error {
	name, versions := "specVersion", []string{"1.2", "1.3", "1.4", "1.5", "1.6", "1.7"}
	switch {
	case d.tagValue:
		return fmt.Errorf("it is SPDX in tag-value syntax; denyPackages and denyLicenses need JSON")
	case d.is(predicate.TypeSPDX):
		name, versions = "spdxVersion", []string{"SPDX-2.2", "SPDX-2.3"}
	}
	if version, _ := d.at(name).text(); !slices.Contains(versions, version) {
		return fmt.Errorf("%s is %s; denyPackages and denyLicenses need one of %s", name, d.at(name).shown(), strings.Join(versions, ", "))
	}
	return nil
}

func (b *bill) document(root strictjson.Value) {
	b.object("the document", root, "packages", "components", "services", "metadata", "externalDocumentRefs", "externalReferences")
	for member := range root.Members() {
		if strings.EqualFold(member, "Data") {
			b.fail("the document", "has a second document in %s", member)
		}
	}
	b.noDocuments("externalDocumentRefs", root.Get("externalDocumentRefs"))
	b.noBills("externalReferences", b.whole("externalReferences", root.Get("externalReferences")))
	metadata := root.Get("metadata")
	if metadata.Exists() {
		b.object("metadata", metadata, "component")
	}
	b.each("packages", root.Get("packages"), b.spdxPackage)
	if b.part == billLicenses {
		b.object("the document", root, "files", "snippets", "hasExtractedLicensingInfos")
		b.licenses("the document", root)
		b.licenses("metadata", metadata, "licenses") // of the bill itself
		b.each("files", root.Get("files"), b.spdxFile)
		b.each("snippets", root.Get("snippets"), b.spdxFile)
		b.eachOrNull("hasExtractedLicensingInfos", root.Get("hasExtractedLicensingInfos"), b.spdxLicense)
	}
	if c := metadata.Get("component"); c.Exists() {
		b.component("metadata.component", b.whole("metadata.component", c))
	}
	b.each("components", root.Get("components"), b.component)
	b.each("services", root.Get("services"), b.component)
	if len(b.all) == 0 {
		b.fail("the document", "lists nothing: a package that is denied may be left out")
	}
}

// noDocuments refuses an SPDX document that refers to other documents: packages may be
// listed there.
func (b *bill) noDocuments(at string, list strictjson.Value) {
	b.eachOrNull(at, list, func(at string, _ strictjson.Value) {
		b.fail(at, "refers to another document, which is not read")
	})
}

// noBills refuses references of a CycloneDX object to another bill: components may be listed
// there. References of another form lead nowhere.
func (b *bill) noBills(at string, refs strictjson.Value) {
	switch refs.Kind() {
	case strictjson.Array:
		b.each(at, refs, b.noBills)
	case strictjson.Object:
		b.object(at, refs, "type")
		if kind, _ := refs.Get("type").Str(); strings.EqualFold(strings.TrimSpace(kind), "bom") {
			b.fail(at, "refers to another bill of materials, which is not read")
		}
	}
}

func (b *bill) spdxPackage(at string, v strictjson.Value) {
	if b.part == billLicenses {
		b.object(at, v, "licenseConcluded", "licenseDeclared", "licenseInfoFromFiles", "files")
		b.licenses(at, v, "licenseConcluded", "licenseDeclared", "licenseInfoFromFiles", "licenseComments")
		b.each(at+".files", v.Get("files"), b.spdxFile) // as some Go programs write them
		name, _ := v.Get("name").Str()
		b.addLicenses(listed{title: name}, at, v, []string{"licenseConcluded", "licenseDeclared"}, "licenseInfoFromFiles")
		return
	}
	b.object(at, v, "name", "externalRefs")
	p := listed{names: []string{b.text(at+".name", v.Get("name"))}}
	b.each(at+".externalRefs", v.Get("externalRefs"), func(at string, ref strictjson.Value) {
		b.object(at, ref, "referenceType", "referenceLocator")
		kind := b.text(at+".referenceType", ref.Get("referenceType")) // a name, or the URI of one
		locator := b.text(at+".referenceLocator", ref.Get("referenceLocator"))
		if purl.Is(strings.TrimSpace(locator)) || strings.EqualFold(kind[strings.LastIndexByte(kind, '/')+1:], "purl") {
			p.purls = append(p.purls, b.purl(at+".referenceLocator", locator))
		}
	})
	b.all = append(b.all, p)
}

// spdxFile reads a file or a snippet of one, which have licences of their own.
func (b *bill) spdxFile(at string, v strictjson.Value) {
	b.object(at, v, "licenseConcluded", "licenseInfoInFiles", "licenseInfoInSnippets")
	b.licenses(at, v, "licenseConcluded", "licenseInfoInFiles", "licenseInfoInSnippets", "licenseComments")
	var p listed
	for _, name := range []string{"name", "fileName"} { // of a snippet, of a file
		if text, ok := v.Get(name).Str(); ok {
			p.title = text
		}
	}
	b.addLicenses(p, at, v, []string{"licenseConcluded"}, "licenseInfoInFiles", "licenseInfoInSnippets")
}

// spdxLicense reads a licence that the document defines, and packages name by its ID:
// its name may be that of another one.
func (b *bill) spdxLicense(at string, v strictjson.Value) {
	b.object(at, v, "licenseId", "name")
	b.licenses(at, v, "licenseId")
	p := listed{title: b.text(at+".licenseId", v.Get("licenseId"))}
	p.licenses = append(p.licenses, p.title)
	if name := v.Get("name"); name.Exists() {
		p.licenses = append(p.licenses, b.text(at+".name", name))
	}
	b.all = append(b.all, p)
}

// addLicenses adds a package or file with the licence expressions, and lists of them,
// that stand in its members.
func (b *bill) addLicenses(p listed, at string, v strictjson.Value, texts []string, lists ...string) {
	for _, name := range texts {
		if text := v.Get(name); text.Exists() {
			p.licenses = append(p.licenses, b.expression(at+"."+name, text))
		}
	}
	for _, name := range lists {
		b.eachOrNull(at+"."+name, v.Get(name), func(at string, text strictjson.Value) {
			p.licenses = append(p.licenses, b.expression(at, text))
		})
	}
	b.all = append(b.all, p)
}

// component reads a CycloneDX component or service, and what is nested in it.
func (b *bill) component(at string, v strictjson.Value) {
	b.object(at, v, "components", "services", "externalReferences")
	b.noBills(at+".externalReferences", v.Get("externalReferences"))
	if b.part == billPackages {
		b.componentNames(at, v)
	} else {
		b.componentLicenses(at, v)
	}
	b.each(at+".components", v.Get("components"), b.component)
	b.each(at+".services", v.Get("services"), b.component)
}

func (b *bill) componentNames(at string, v strictjson.Value) {
	b.object(at, v, "name", "group", "purl")
	name := b.text(at+".name", v.Get("name"))
	p := listed{names: []string{name}}
	if purl := v.Get("purl"); purl.Exists() {
		p.purls = append(p.purls, b.purl(at+".purl", b.text(at+".purl", purl)))
	}
	if group := v.Get("group"); group.Exists() && !group.Is("") {
		p.names = append(p.names, b.text(at+".group", group)+"/"+name)
	}
	b.all = append(b.all, p)
}

func (b *bill) componentLicenses(at string, v strictjson.Value) {
	b.object(at, v, "licenses", "evidence")
	b.licenses(at, v, "licenses")
	var p listed
	p.title, _ = v.Get("name").Str()
	if group, ok := v.Get("group").Str(); ok && group != "" {
		p.title = group + "/" + p.title
	}
	b.licenseChoices(&p, at+".licenses", v.Get("licenses"))
	if evidence := v.Get("evidence"); evidence.Exists() {
		b.object(at+".evidence", evidence, "licenses")
		b.licenses(at+".evidence", evidence, "licenses")
		b.licenseChoices(&p, at+".evidence.licenses", evidence.Get("licenses"))
	}
	b.all = append(b.all, p)
}

// licenseChoices reads a list of licences and expressions. Each element must be one
// of both, and has no identifier or name of its own.
func (b *bill) licenseChoices(p *listed, at string, list strictjson.Value) {
	b.each(at, list, func(at string, choice strictjson.Value) {
		b.object(at, choice, "license", "expression", "expressionDetails")
		b.licenses(at, choice, "license", "expression", "licensing")
		for member := range choice.Members() {
			if strings.EqualFold(member, "id") || strings.EqualFold(member, "name") {
				b.fail(at, "has the member %.40q, which its format does not have", member)
			}
		}
		expression, license := choice.Get("expression"), choice.Get("license")
		if !expression.Exists() && !license.Exists() {
			b.fail(at, "has neither license nor expression")
		}
		if expression.Exists() {
			p.licenses = append(p.licenses, b.expression(at+".expression", expression))
		}
		b.each(at+".expressionDetails", choice.Get("expressionDetails"), func(at string, v strictjson.Value) { // since 1.7
			b.object(at, v, "licenseIdentifier")
			b.licenses(at, v, "licenseIdentifier")
			p.licenses = append(p.licenses, b.expression(at+".licenseIdentifier", v.Get("licenseIdentifier")))
		})
		if license.Exists() {
			b.license(p, at+".license", license)
		}
	})
}

// license reads a licence by its SPDX identifier or by a name, and by a URL that ends
// in one.
func (b *bill) license(p *listed, at string, v strictjson.Value) {
	b.object(at, v, "id", "name", "url")
	b.licenses(at, v, "licensing")
	id, name := v.Get("id"), v.Get("name")
	if !id.Exists() && !name.Exists() {
		b.fail(at, "has neither id nor name")
	}
	if id.Exists() {
		p.licenses = append(p.licenses, b.expression(at+".id", id))
	}
	if name.Exists() {
		p.licenses = append(p.licenses, b.text(at+".name", name))
	}
	if at, v := at+".url", v.Get("url"); v.Exists() && !v.Is("") {
		p.licenses = append(p.licenses, licenseOfURL(b.text(at, v)))
	}
}

// licenseOfURL is what stands behind "license" or "licenses" in a URL, such as
// https://spdx.org/licenses/MIT.html.
func licenseOfURL(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	for _, place := range []string{"licenses/", "license/"} {
		if i := strings.Index(strings.ToLower(text), place); i >= 0 {
			return strings.ToLower(text)[i+len(place):]
		}
	}
	return ""
}

// expression reads a licence expression, which is ASCII: in other characters an
// identifier could look like itself and not be found.
func (b *bill) expression(at string, v strictjson.Value) string {
	text := b.text(at, v)
	for _, c := range []byte(text) {
		if c >= 0x80 {
			b.fail(at, "has characters that licence expressions do not have")
		}
	}
	return text
}

// purl refuses what cannot be compared with package URLs.
func (b *bill) purl(at, text string) string {
	if !purl.Readable(text) {
		b.fail(at, "is not a package URL: %.100q", text)
	}
	return text
}
