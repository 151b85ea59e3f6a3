package predicate

import (
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// SPDX is the header of an SPDX document. [Parse] makes it. To attest the document, use
// the [Document] and not this value.
//
// Sources: SPDX 2.2 and 2.3, "Document Creation Information"; SPDX 3.0 JSON-LD
// (https://spdx.org/schema/3.0.1/spdx-json-schema.json).
type SPDX struct {
	// Version is the specification's, such as "2.3" or "3.0.1".
	Version string
	// Name and Namespace identify the document; 3.0 has no namespace.
	Name, Namespace string
	// Created is the document's time, in its own words.
	Created string
	// Creators are the people and programs that made it (2.x only).
	Creators []string
	// Packages counts the packages that the document lists.
	Packages int
}

// parseSPDX checks a document's creation information, and that its lists are lists. It
// counts packages and does not check them.
func parseSPDX(c *checks, uri string, root strictjson.Value) (any, error) {
	var s *SPDX
	if root.Get("@context").Exists() && !root.Get("spdxVersion").Exists() {
		s = c.spdx3(root)
	} else {
		s = c.spdx2(root)
	}
	c.documentVersion(uri, TypeSPDX, s.Version)
	return s, c.err
}

func (c *checks) spdx2(root strictjson.Value) *SPDX {
	s := &SPDX{Name: textAt(root, "name"), Namespace: textAt(root, "documentNamespace"), Created: textAt(root, "creationInfo", "created")}
	version := textAt(root, "spdxVersion")
	c.oneOf("spdxVersion", version, "SPDX-2.2", "SPDX-2.3")
	s.Version = strings.TrimPrefix(version, "SPDX-")
	c.oneOf("SPDXID", textAt(root, "SPDXID"), "SPDXRef-DOCUMENT")
	c.oneOf("dataLicense", textAt(root, "dataLicense"), "CC0-1.0")
	c.need("name", s.Name != "")
	c.need("documentNamespace", s.Namespace != "")
	if s.Namespace != "" && (!isIRI(s.Namespace) || strings.Contains(s.Namespace, "#")) {
		c.fail("documentNamespace", "is %.200q, want an absolute URI without a fragment", s.Namespace)
	}
	c.need("creationInfo", root.Get("creationInfo").Exists())
	c.timeText("creationInfo.created", s.Created)
	for creator := range elements(within(root, "creationInfo", "creators")) {
		name, ok := shallow(creator).Str()
		if !ok {
			c.fail("creationInfo.creators", "has an element that is not a string")
		}
		s.Creators = append(s.Creators, name)
	}
	c.need("creationInfo.creators", len(s.Creators) > 0)
	c.lists(root, "packages", "files", "snippets", "relationships")
	s.Packages = countElements(root.Get("packages"))
	return s
}

// spdx3 reads a document as a graph, the form that tools write. Of its elements it reads
// those of the types SpdxDocument, CreationInfo and software_Package.
func (c *checks) spdx3(root strictjson.Value) *SPDX {
	s := &SPDX{Version: spdx3Context(root.Get("@context"))}
	if s.Version == "" {
		c.fail("@context", "is not that of SPDX 3")
	}
	c.need("@graph", root.Get("@graph").Exists())
	c.lists(root, "@graph")
	n := 0
	for raw := range elements(root.Get("@graph")) {
		element := shallow(raw)
		if element.Kind() != strictjson.Object {
			c.fail(indexed("@graph", n), "is not an object")
		}
		n++
		switch textAt(element, "type") {
		case "SpdxDocument":
			s.Name = textAt(element, "name")
		case "CreationInfo":
			s.Created = textAt(element, "created")
		case "software_Package":
			s.Packages++
		}
	}
	c.need("@graph", n > 0)
	return s
}

// spdx3Version is the version in the URL of SPDX 3's JSON-LD context, or "".
func spdx3Version(url string) string {
	version, isContext := strings.CutSuffix(url, "/spdx-context.jsonld")
	version, isRDF := strings.CutPrefix(version, "https://spdx.org/rdf/")
	numbers := strings.Split(version, ".")
	if !isContext || !isRDF || len(numbers) < 2 || len(numbers) > 3 || numbers[0] != "3" {
		return ""
	}
	for _, n := range numbers {
		if !isShortNumber(n, 3) {
			return ""
		}
	}
	return version
}

// spdx3Context returns the version that a JSON-LD context names, or "".
func spdx3Context(context strictjson.Value) string {
	urls := []string{textAt(context)}
	for element := range elements(context) {
		urls = append(urls, textAt(shallow(element)))
	}
	for _, url := range urls {
		if version := spdx3Version(url); version != "" {
			return version
		}
	}
	return ""
}

// CycloneDX is the header of a CycloneDX document. [Parse] makes it. To attest the
// document, use the [Document] and not this value.
//
// Source: CycloneDX 1.2 to 1.7, schema/bom-1.N.schema.json.
type CycloneDX struct {
	// SpecVersion is the specification's version, such as "1.6".
	SpecVersion string
	// SerialNumber identifies the document, as a UUID URN. Empty: it has none.
	SerialNumber string
	// Version is the document's version, 1 where it gives none.
	Version int64
	// Name and ComponentVersion are of the component that the document is about.
	Name, ComponentVersion string
	// Created is the document's time, in its own words.
	Created string
	// Components counts the components, without those nested in others.
	Components int
}

// isUUID reports whether text is a UUID as a URN, in lower case.
func isUUID(text string) bool {
	uuid, found := strings.CutPrefix(text, "urn:uuid:")
	parts := strings.Split(uuid, "-")
	if !found || len(parts) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(parts[i]) != n || !intoto.IsLowerHex(parts[i]) {
			return false
		}
	}
	return true
}

// parseCycloneDX checks the members of the document itself, and that its lists are
// lists. It counts components and does not check them.
func parseCycloneDX(c *checks, uri string, root strictjson.Value) (any, error) {
	component := within(root, "metadata", "component")
	b := &CycloneDX{
		SpecVersion: textAt(root, "specVersion"), SerialNumber: textAt(root, "serialNumber"), Version: 1,
		Name: textAt(component, "name"), ComponentVersion: textAt(component, "version"), Created: textAt(root, "metadata", "timestamp"),
		Components: countElements(root.Get("components")),
	}
	c.oneOf("bomFormat", textAt(root, "bomFormat"), "CycloneDX")
	c.oneOf("specVersion", b.SpecVersion, "1.2", "1.3", "1.4", "1.5", "1.6", "1.7")
	c.bomVersion(root, b)
	if root.Get("serialNumber").Exists() && !isUUID(b.SerialNumber) {
		c.fail("serialNumber", "is %.100q, want urn:uuid: and a UUID in lower case", b.SerialNumber)
	}
	if metadata := root.Get("metadata"); metadata.Exists() {
		if metadata.Kind() != strictjson.Object {
			c.fail("metadata", "is not an object")
		}
		if within(metadata, "timestamp").Exists() {
			c.timeText("metadata.timestamp", b.Created)
		}
	}
	c.lists(root, "components", "services", "externalReferences", "dependencies", "compositions", "vulnerabilities")
	c.documentVersion(uri, TypeCycloneDX, b.SpecVersion)
	return b, c.err
}

// bomVersion: the version is required up to specification 1.4.
func (c *checks) bomVersion(root strictjson.Value, b *CycloneDX) {
	version := root.Get("version")
	if !version.Exists() {
		c.need("version", !slices.Contains([]string{"1.2", "1.3", "1.4"}, b.SpecVersion))
		return
	}
	n, ok := version.Int()
	if !ok || n < 1 {
		c.fail("version", "is not an integer above zero")
	}
	b.Version = n
}

// lists refuses members that are there and are not lists.
func (c *checks) lists(root strictjson.Value, names ...string) {
	for _, name := range names {
		if v := root.Get(name); v.Exists() && v.Kind() != strictjson.Array {
			c.fail(name, "is not a list")
		}
	}
}

// timeText checks a required time of RFC 3339.
func (c *checks) timeText(field, value string) {
	c.need(field, value != "")
	if _, err := time.Parse(time.RFC3339, value); err != nil {
		c.fail(field, "is %.100q, want a time by RFC 3339", value)
	}
}

// documentVersion refuses a document of another version than its type URI says: /v3 is
// for every 3.x, /v2.3 for 2.3.
func (c *checks) documentVersion(uri, base, version string) {
	want, versioned := strings.CutPrefix(uri, base+"/v")
	if versioned && version != want && !strings.HasPrefix(version, want+".") {
		c.fail("the document", "is of version %.40q, and the type says %.40q", version, want)
	}
}

func (s SPDX) summary() summaryLines {
	var l summaryLines
	l.add("format", spaced("SPDX", s.Version))
	l.add("name", s.Name)
	l.add("created", s.Created)
	l.add("creators", strings.Join(s.Creators, ", "))
	l.number("packages", s.Packages)
	return l
}

func (b CycloneDX) summary() summaryLines {
	var l summaryLines
	l.add("format", spaced("CycloneDX", b.SpecVersion))
	l.add("name", nameVersion(b.Name, b.ComponentVersion))
	l.add("created", b.Created)
	l.add("serial number", b.SerialNumber)
	l.number("components", b.Components)
	return l
}

func nameVersion(name, version string) string {
	if name == "" || version == "" {
		return name
	}
	return name + "@" + version
}
