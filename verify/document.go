package verify

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// document is the predicate of a statement. Conditions ask for its members one by one;
// members that no condition asks for may be of any form.
type document struct {
	predicateType string
	root          strictjson.Value
	// tagValue says that the document is SPDX in its other syntax, which has no members
	// to read.
	tagValue bool
	// parsed are the parts of a large document that were read, by their paths.
	parsed map[string]strictjson.Value
}

// keptOfDocument is how deep a document is parsed at once. Members are parsed when a
// condition reads them: an unread member may have more values than a parsed one may.
const keptOfDocument = 1

// openDocument parses the predicate of a statement. It refuses JSON that two readers
// could understand differently, predicates that are not an object, and members whose
// names differ in case alone from those of the type.
func openDocument(s *statement) (document, *problem) {
	d := document{predicateType: s.predicateType, parsed: make(map[string]strictjson.Value)}
	var err error
	if d.isBill() {
		err = d.openBill(s.predicate)
	} else {
		d.root, err = parseObject(s.predicate)
	}
	if err == nil {
		err = d.misspelt()
	}
	if err == nil {
		err = d.otherForm()
	}
	if err != nil {
		return d, &problem{reason: ReasonPredicate, detail: err.Error()}
	}
	return d, nil
}

func parseObject(text []byte) (strictjson.Value, error) {
	if len(text) == 0 {
		return strictjson.Value{}, errors.New("the statement has no predicate")
	}
	root, err := strictjson.ParseOthers(text, keptOfDocument)
	if err == nil && root.Kind() != strictjson.Object {
		err = fmt.Errorf("the predicate is %s, want an object", kindName(root))
	}
	return root, err
}

func (d *document) is(uri string) bool { return predicate.SameType(d.predicateType, uri) }

func (d *document) isBill() bool {
	return d.is(predicate.TypeSPDX) || d.is(predicate.TypeCycloneDX)
}

// openBill also looks into what cosign wraps bills of materials in.
func (d *document) openBill(text []byte) error {
	root, err := strictjson.ParseOthers(text, keptOfDocument)
	inner, wrapped := intoto.Wrapped(root)
	if err != nil || !wrapped {
		d.root, err = parseObject(text)
		return err
	}
	if d.tagValue = d.is(predicate.TypeSPDX) && bytes.HasPrefix(bytes.TrimSpace(inner), []byte("SPDXVersion:")); d.tagValue {
		return nil
	}
	d.root, err = parseObject(inner)
	return err
}

// named are the names of the members of one object.
type named struct {
	path  string
	names []string
}

// The names of the members of the objects that conditions may have to look into.
var (
	provenanceNames = []named{
		{"", []string{"buildDefinition", "runDetails"}},
		{"buildDefinition", []string{"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}},
		{"runDetails", []string{"builder", "metadata", "byproducts"}},
		{"runDetails.builder", []string{"id", "version", "builderDependencies"}},
		{"runDetails.metadata", []string{"startedOn", "finishedOn"}},
	}
	provenance02Names = []named{
		{"", []string{"builder", "buildType", "invocation", "buildConfig", "metadata", "materials"}},
		{"builder", []string{"id"}},
		{"invocation", []string{"configSource", "parameters", "environment"}},
		{"invocation.configSource", []string{"uri", "digest", "entryPoint"}},
		{"metadata", []string{"buildStartedOn", "buildFinishedOn"}},
	}
	vsaNames = []named{
		{"", []string{"verifier", "timeVerified", "resourceUri", "policy", "inputAttestations", "verificationResult", "verifiedLevels", "dependencyLevels", "slsaVersion"}},
		{"verifier", []string{"id", "version"}},
		{"policy", []string{"uri", "digest"}},
	}
	testResultNames = []named{{"", []string{"result", "configuration", "url", "passedTests", "warnedTests", "failedTests"}}}
	scanNames       = []named{
		{"", []string{"invocation", "scanner", "metadata"}},
		{"scanner", []string{"uri", "version", "db", "result"}},
		{"metadata", []string{"scanStartedOn", "scanFinishedOn"}},
	}
	billNames    = []named{{"", []string{"bomFormat", "specVersion", "spdxVersion", "@context"}}}
	openVEXNames = []named{{"", []string{"@context", "timestamp", "statements"}}}
)

// names are those of the document's type.
func (d *document) names() []named {
	switch {
	case d.is(predicate.TypeProvenance):
		return provenanceNames
	case d.is(predicate.TypeProvenance02):
		return provenance02Names
	case d.is(predicate.TypeVSA):
		return vsaNames
	case d.is(predicate.TypeTestResult):
		return testResultNames
	case d.is(predicate.TypeCosignVuln), d.is(predicate.TypeVulns), d.is(predicate.TypeVulns01):
		return scanNames
	case d.isBill():
		return billNames
	case d.is(predicate.TypeOpenVEX):
		return openVEXNames
	}
	return nil
}

// misspelt refuses names that differ from those of the type in case alone. Many
// programs read JSON without regard to case, and would read what is passed over here.
func (d *document) misspelt() error {
	for _, object := range d.names() {
		if name, found := d.at(object.path).value.Misspelt(object.names); found {
			return fmt.Errorf("%s has the member %.40q, which differs from a known one in case alone", whereOr(object.path), name)
		}
	}
	return nil
}

// otherForm refuses documents that are of another type by their own account, or of two
// types at once: another reader could read another builder, or another bill.
func (d *document) otherForm() error {
	var others []string
	switch {
	case d.is(predicate.TypeProvenance):
		others = []string{"builder", "buildType", "invocation", "materials"}
	case d.is(predicate.TypeProvenance02):
		others = []string{"buildDefinition", "runDetails"}
	case d.is(predicate.TypeSPDX):
		others = []string{"bomFormat"}
	case d.is(predicate.TypeCycloneDX):
		others = []string{"spdxVersion"}
	}
	for _, name := range others {
		if d.root.Get(name).Exists() {
			return fmt.Errorf("the predicate has the member %q, which documents of another type have", name)
		}
	}
	switch {
	case d.is(predicate.TypeCycloneDX) && !d.root.Get("bomFormat").Is("CycloneDX"):
		return fmt.Errorf("bomFormat is %s, want \"CycloneDX\"", d.at("bomFormat").shown())
	case d.is(predicate.TypeSPDX) && !d.tagValue && !d.root.Get("@context").Exists() && !d.startsWith("spdxVersion", "SPDX-"):
		return fmt.Errorf("spdxVersion is %s, want SPDX-2.2 or SPDX-2.3", d.at("spdxVersion").shown())
	case d.is(predicate.TypeOpenVEX) && !d.startsWith("@context", predicate.TypeOpenVEX):
		return fmt.Errorf("@context is %s, want that of OpenVEX", d.at("@context").shown())
	}
	return nil
}

func (d *document) startsWith(name, prefix string) bool {
	text, _ := d.root.Get(name).Str()
	return strings.HasPrefix(text, prefix)
}

// at is the member at a path such as "runDetails.builder.id"; "" is the document. An
// object on the way that is missing or null has no members.
func (d *document) at(path string) member {
	m := member{path: path, value: d.root}
	if path == "" {
		return m
	}
	for start := 0; start <= len(path); {
		end := len(path)
		if dot := strings.IndexByte(path[start:], '.'); dot >= 0 {
			end = start + dot
		}
		switch m.value.Kind() {
		case strictjson.Missing, strictjson.Null:
			return m
		case strictjson.Object:
		default:
			return member{path: path, err: fmt.Errorf("%s is %s, want an object", whereOr(strings.TrimSuffix(path[:start], ".")), kindName(m.value))}
		}
		if m.value, m.err = d.unfolded(path[:end], m.value.Get(path[start:end])); m.err != nil {
			return m
		}
		start = end + 1
	}
	return m
}

// unfolded is the value at a path with its own members or elements, where the document
// was too large to keep them. Each path is parsed once.
func (d *document) unfolded(path string, v strictjson.Value) (strictjson.Value, error) {
	if !v.Opaque() {
		return v, nil
	}
	if v, done := d.parsed[path]; done {
		return v, nil
	}
	v, err := strictjson.Unfold(v, 1)
	if err != nil {
		return v, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	d.parsed[path] = v
	return v, nil
}
