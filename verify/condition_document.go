package verify

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

func (q *DocumentConditions) setForBills() []string {
	return setNames(map[string]bool{"denyPackages": q.DenyPackages != nil, "denyLicenses": q.DenyLicenses != nil})
}

func (q *DocumentConditions) setForTests() []string {
	return setNames(map[string]bool{"result": q.Result != nil})
}

// licenseForm is an SPDX identifier of a licence (SPDX specification, annex D).
var licenseForm = regexp.MustCompile(`^(?:DocumentRef-[A-Za-z0-9.-]+:)?[A-Za-z0-9.-]+$`)

// checkBills refuses what could never deny anything.
func (q *DocumentConditions) checkBills() error {
	for _, p := range q.DenyPackages {
		if p == "" || strings.HasPrefix(p, "pkg:") && plainPURL(p) != canonicalPURL(p) {
			return fmt.Errorf("has in denyPackages %.200q: package URLs stand without version, qualifiers and subpath", p)
		}
	}
	for _, l := range q.DenyLicenses {
		if !licenseForm.MatchString(l) {
			return fmt.Errorf("has in denyLicenses %.100q, which is no SPDX identifier; those that end in + are written without", l)
		}
	}
	return nil
}

// canonicalPURL is a package URL whose type has no case and whose escapes are
// decoded, so that pkg:npm/%40a/b and pkg:npm/@a/b are one.
func canonicalPURL(purl string) string {
	if kind, rest, found := strings.Cut(purl, "/"); found {
		purl = strings.ToLower(kind) + "/" + rest
	}
	if text, err := url.PathUnescape(purl); err == nil {
		return text
	}
	return purl
}

// plainPURL is a package URL without version, qualifiers and subpath.
func plainPURL(purl string) string {
	if i := strings.IndexAny(purl, "?#"); i >= 0 {
		purl = purl[:i]
	}
	if i := strings.LastIndexByte(purl, '@'); i > strings.LastIndexByte(purl, '/')+1 {
		purl = purl[:i]
	}
	return canonicalPURL(purl)
}

// testPassed is what tests must have ended with where nothing else is asked for.
const testPassed = "PASSED"

func (q *DocumentConditions) checkTests() error {
	for _, r := range q.Result {
		if r != testPassed && r != "WARNED" && r != "FAILED" {
			return fmt.Errorf("has in result %.40q, want PASSED, WARNED or FAILED", r)
		}
	}
	return nil
}

func (q *DocumentConditions) judgeTests(v *attest.TestResult) *problem {
	want := q.Result
	if len(want) == 0 {
		want = []string{testPassed}
	}
	if !slices.Contains(want, v.Result) {
		return problemf(ReasonTests, "the tests ended with %s", v.Result)
	}
	return nil
}

// listed is a package in a bill of materials.
type listed struct {
	names           []string // as a bill has it, and behind a group
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
	if err != nil {
		return problemf(ReasonPredicate, "its packages cannot be read: %v", err)
	}
	for p := range packagesOf(root) {
		for _, denied := range q.DenyPackages {
			if p.is(denied) {
				return problemf(ReasonDeniedPackage, "it has the package %s", denied)
			}
		}
		for _, denied := range q.DenyLicenses {
			if p.hasLicense(denied) {
				return problemf(ReasonDeniedLicense, "its package %s has the licence %s", p.names[len(p.names)-1], denied)
			}
		}
	}
	return nil
}

// packagesOf iterates over the packages of an SPDX 2.x or CycloneDX document,
// nested components included.
func packagesOf(root strictjson.Value) func(yield func(listed) bool) {
	return func(yield func(listed) bool) {
		for p := range root.Get("packages").Elems() {
			if !yield(spdxPackage(p)) {
				return
			}
		}
		if walkComponents(root.Get("components"), yield) {
			walkComponents(root.Get("metadata").Get("component"), yield)
		}
	}
}

func walkComponents(v strictjson.Value, yield func(listed) bool) bool {
	if v.Kind() == strictjson.Object {
		return yield(cyclonePackage(v)) && walkComponents(v.Get("components"), yield)
	}
	for c := range v.Elems() {
		if !walkComponents(c, yield) {
			return false
		}
	}
	return true
}

func spdxPackage(v strictjson.Value) listed {
	var p listed
	name, _ := v.Get("name").Str()
	p.names = []string{name}
	for _, field := range []string{"licenseConcluded", "licenseDeclared"} {
		if text, ok := v.Get(field).Str(); ok {
			p.licenses = append(p.licenses, text)
		}
	}
	for ref := range v.Get("externalRefs").Elems() {
		if ref.Get("referenceType").Is("purl") {
			purl, _ := ref.Get("referenceLocator").Str()
			p.purls = append(p.purls, purl)
		}
	}
	return p
}

func cyclonePackage(v strictjson.Value) listed {
	var p listed
	name, _ := v.Get("name").Str()
	p.names = []string{name}
	if purl, ok := v.Get("purl").Str(); ok {
		p.purls = append(p.purls, purl)
	}
	if group, ok := v.Get("group").Str(); ok && group != "" {
		p.names = append(p.names, group+"/"+name)
	}
	for l := range v.Get("licenses").Elems() {
		for _, text := range []strictjson.Value{l.Get("expression"), l.Get("license").Get("id"), l.Get("license").Get("name")} {
			if s, ok := text.Str(); ok {
				p.licenses = append(p.licenses, s)
			}
		}
	}
	return p
}

// is reports whether the package has a name, or a package URL apart from version,
// qualifiers and subpath.
func (p listed) is(denied string) bool {
	return slices.Contains(p.names, denied) || slices.ContainsFunc(p.purls, func(purl string) bool { return plainPURL(purl) == canonicalPURL(denied) })
}

// hasLicense reports whether an identifier stands anywhere in the package's
// licence expressions, whatever its case (SPDX specification, annex D).
func (p listed) hasLicense(id string) bool {
	for _, expression := range p.licenses {
		words := strings.FieldsFunc(expression, func(r rune) bool { return r == '(' || r == ')' || r == '+' || unicode.IsSpace(r) })
		if slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, id) }) {
			return true
		}
	}
	return false
}
