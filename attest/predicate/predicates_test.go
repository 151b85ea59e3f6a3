package predicate_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// sample is a predicate of realistic shape.
type sample struct{ file, typ string }

// samples has at least one of every type.
func samples() []sample {
	s := []sample{{"spdx3", typeOf("spdx3")}}
	for _, t := range predicate.Types() {
		s = append(s, sample{t.Name, t.Name})
	}
	return s
}

func typeOf(file string) string {
	if file == "spdx3" {
		return "spdx"
	}
	return file
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "predicates", file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func anImage() attest.Subject {
	return attest.Subject{Name: "registry.example/team/app", Digest: map[string]string{"sha256": strings.Repeat("ab", 32)}}
}

func TestSamplesAreWhatTheirTypeSays(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.file, func(t *testing.T) {
			data := read(t, s.file)
			doc, err := predicate.Parse(s.typ, data)
			if err != nil {
				t.Fatal(err)
			}
			statement, err := attest.NewStatement(doc, anImage())
			if err != nil {
				t.Fatal(err)
			}
			if want := bytes.TrimSpace(data); !bytes.Equal(statement.Predicate, want) {
				t.Errorf("what is signed is not the file:\n%s", statement.Predicate)
			}
			if typ, _ := predicate.Lookup(s.typ); statement.PredicateType != typ.URI {
				t.Errorf("predicate type %s, want %s", statement.PredicateType, typ.URI)
			}
		})
	}
}

// What was read and is made again from the Go value says the same.
func TestValuesSayWhatTheirDocumentsSay(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.file, func(t *testing.T) {
			doc, err := predicate.Parse(s.typ, read(t, s.file))
			if err != nil {
				t.Fatal(err)
			}
			value, ok := doc.Value().(attest.Predicate)
			if !ok || s.typ == "vulns01" { // read as v0.2
				t.Skip("not a predicate that is made from a Go value")
			}
			statement, err := attest.NewStatement(value, anImage())
			if err != nil {
				t.Fatal(err)
			}
			if got, want := normal(t, statement.Predicate), normal(t, read(t, s.file)); got != want {
				t.Errorf("made again:\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// normal writes JSON with sorted keys, without empty lists.
func normal(t testing.TB, data []byte) string {
	t.Helper()
	tree := parseTree(t, data)
	if m, ok := tree.(map[string]any); ok && fmt.Sprint(m["failedTests"]) == "[]" {
		delete(m, "failedTests")
	}
	return string(marshalTree(t, tree))
}

func TestAttack_E3_PredicateOfAnotherTypeIsRefused(t *testing.T) {
	for _, s := range samples() {
		for _, other := range predicate.Types() {
			// v0.2 of vulns changed nothing about what is required.
			if other.Name == s.typ || other.Name == "vulns01" && s.typ == "vulns" {
				continue
			}
			_, err := predicate.Parse(other.Name, read(t, s.file))
			if !errors.Is(err, predicate.ErrInvalid) {
				t.Errorf("%s given as %s: %v, want ErrPredicate", s.file, other.Name, err)
			}
		}
	}
}

// required lists what each specification requires. SPDX 2.3, CycloneDX and
// OpenVEX: the "required" lists of their JSON schemas; SPDX's text also requires
// documentNamespace, and CycloneDX requires the version up to 1.4.
func required() map[string][]string {
	return map[string][]string{
		"slsaprovenance1":  {"buildDefinition.buildType", "buildDefinition.externalParameters", "runDetails.builder.id"},
		"slsaprovenance02": {"builder.id", "buildType"},
		"vsa": {
			"verifier.id", "timeVerified", "resourceUri", "policy.uri", "inputAttestations[0].digest", "verificationResult", "verifiedLevels",
		},
		"spdx": {
			"spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo", "creationInfo.created", "creationInfo.creators",
		},
		"spdx3":     {"@graph"},
		"cyclonedx": {"bomFormat", "specVersion"},
		"openvex": {
			"@context", "@id", "author", "timestamp", "version", "statements", "statements[0].status", "statements[2].vulnerability.name",
			"statements[0].justification", "statements[1].action_statement",
		},
		"vuln": {"scanner", "metadata.scanStartedOn", "metadata.scanFinishedOn"},
		"vulns": {
			"scanner.uri", "scanner.db.lastUpdate", "scanner.result", "scanner.result[0].id", "scanner.result[1].severity",
			"scanner.result[0].severity[1].method", "scanner.result[0].severity[0].score", "metadata.scanStartedOn", "metadata.scanFinishedOn",
		},
		"vulns01":    {"scanner.uri", "scanner.result", "scanner.result[0].id", "metadata.scanStartedOn", "metadata.scanFinishedOn"},
		"testresult": {"result", "configuration"},
		"link":       {"_type", "name", "materials", "products", "byproducts", "environment"},
		"link03":     {"name", "materials[0].name", "materials[0].digest"},
		"release":    {"purl"},
		"custom":     {"Data", "Timestamp"},
	}
}

func TestRequiredFields(t *testing.T) {
	table := required()
	for _, s := range samples() {
		if len(table[s.file]) == 0 {
			t.Errorf("nothing is required of %s", s.file)
		}
		for _, path := range table[s.file] {
			t.Run(s.file+"/"+path, func(t *testing.T) {
				tree := parseTree(t, read(t, s.file))
				edit(t, tree, path, nil, true)
				_, err := predicate.Parse(s.typ, marshalTree(t, tree))
				refusedFor(t, err, "without it", path)
				edit(t, tree, path, nil, false)
				_, err = predicate.Parse(s.typ, marshalTree(t, tree))
				refusedFor(t, err, "with null", path)
			})
		}
	}
}

// refusedFor expects an error that names the field, the last name of the path at
// least.
func refusedFor(t *testing.T, err error, what, path string) {
	t.Helper()
	last := path[strings.LastIndexByte(path, '.')+1:]
	if !errors.Is(err, predicate.ErrInvalid) || !strings.Contains(err.Error(), last) {
		t.Errorf("%s: %v, want ErrPredicate that names %s", what, err, path)
	}
}

func TestWrongValues(t *testing.T) {
	sha := strings.Repeat("a", 64)
	for _, c := range []struct {
		file, path string
		value      any
	}{
		{"slsaprovenance1", "buildDefinition.buildType", "container"},
		{"slsaprovenance1", "buildDefinition.externalParameters", []any{}},
		{"slsaprovenance1", "buildDefinition.resolvedDependencies[0].uri", "alpine"},
		{"slsaprovenance1", "buildDefinition.resolvedDependencies[0].digest.sha256", strings.ToUpper(sha)},
		{"slsaprovenance1", "buildDefinition.resolvedDependencies[0].digest.sha256", sha[1:]},
		{"slsaprovenance1", "buildDefinition.resolvedDependencies[1].digest.gitCommit", sha[:63]},
		{"slsaprovenance1", "buildDefinition.resolvedDependencies[1].digest.gitCommit", "main"},
		{"slsaprovenance1", "buildDefinition.resolvedDependencies[0]", map[string]any{"name": "only a name"}},
		{"slsaprovenance1", "runDetails.builder.builderDependencies[0].digest.gitCommit", ""},
		{"slsaprovenance1", "runDetails.byproducts[0].digest", map[string]any{"md5": sha}},
		{"slsaprovenance1", "runDetails.byproducts[0].digest", map[string]any{"dirHash": "h1:" + sha}},
		{"slsaprovenance1", "runDetails.byproducts[0].digest", map[string]any{"ripemd160": sha}},
		{"slsaprovenance1", "runDetails.metadata.finishedOn", "2026-03-01T09:59:59Z"},
		{"slsaprovenance1", "runDetails.metadata.startedOn", "yesterday"},
		{"slsaprovenance1", "runDetails.metadata.startedOn", 1772359200},
		{"slsaprovenance1", "runDetails.byproducts[0].content", "not base64!"},
		{"slsaprovenance02", "builder.id", ""},
		{"slsaprovenance02", "invocation.configSource.digest.sha1", sha},
		{"slsaprovenance02", "metadata.buildFinishedOn", "2026-03-01 10:04:31"},
		{"slsaprovenance02", "materials[1].digest.sha256", "sha256:" + sha},
		{"vsa", "verificationResult", "passed"},
		{"vsa", "verificationResult", "SKIPPED"},
		{"vsa", "verifiedLevels", []any{"FAILED"}},
		{"vsa", "verifiedLevels", []any{"SLSA_BUILD_LEVEL_3", "SLSA_BUILD_LEVEL_2"}},
		{"vsa", "verifiedLevels", []any{"SLSA_LEVEL_99"}},
		{"vsa", "verifiedLevels", []any{""}},
		{"vsa", "verifiedLevels", "SLSA_BUILD_LEVEL_3"},
		{"vsa", "dependencyLevels.SLSA_BUILD_LEVEL_3", -1},
		{"vsa", "dependencyLevels", map[string]any{"SLSA_BEST": 1}},
		{"vsa", "slsaVersion", "v1"},
		{"vsa", "resourceUri", "/team/app"},
		{"vsa", "policy.digest.sha256", "00"},
		{"spdx", "spdxVersion", "SPDX-2.1"},
		{"spdx", "spdxVersion", "SPDX-2.30"},
		{"spdx", "SPDXID", "SPDXRef-Document"},
		{"spdx", "dataLicense", "MIT"},
		{"spdx", "documentNamespace", "urn:a#b"},
		{"spdx", "documentNamespace", "app"},
		{"spdx", "creationInfo.created", "2026-03-01"},
		{"spdx", "creationInfo.creators", []any{}},
		{"spdx", "creationInfo.creators", []any{1}},
		{"spdx", "packages", map[string]any{}},
		{"spdx", "relationships", "none"},
		{"spdx3", "@context", "https://spdx.org/rdf/2.3/spdx-context.jsonld"},
		{"spdx3", "@graph", []any{}},
		{"spdx3", "@graph", map[string]any{}},
		{"spdx3", "@graph[1]", "text"},
		{"cyclonedx", "bomFormat", "cyclonedx"},
		{"cyclonedx", "specVersion", "1.1"},
		{"cyclonedx", "specVersion", "1.8"},
		{"cyclonedx", "specVersion", 1.6},
		{"cyclonedx", "serialNumber", "2f1cf1a0-5c1f-4d7e-9d0b-3c2a6f5d9a10"},
		{"cyclonedx", "version", 0},
		{"cyclonedx", "version", "1"},
		{"cyclonedx", "components", map[string]any{}},
		{"cyclonedx", "metadata", "none"},
		{"cyclonedx", "metadata.timestamp", "now"},
		{"openvex", "@context", "https://openvex.dev/nsx"},
		{"openvex", "@context", "https://openvex.dev/ns/v"},
		{"openvex", "@id", "vex-1"},
		{"openvex", "timestamp", "2026"},
		{"openvex", "version", 0},
		{"openvex", "version", "1"},
		{"openvex", "statements", []any{}},
		{"openvex", "statements", map[string]any{}},
		{"openvex", "statements[0]", "fixed"},
		{"openvex", "statements[0].status", "Not_Affected"},
		{"openvex", "statements[0].justification", "trust me"},
		{"openvex", "statements[1].timestamp", "today"},
		{"vuln", "scanner.result", []any{}},
		{"vuln", "scanner.result", "none"},
		{"vuln", "scanner", []any{}},
		{"vuln", "invocation", []any{}},
		{"vulns", "metadata", "today"},
		{"vuln", "metadata.scanFinishedOn", "2026-03-02T06:59:59Z"},
		{"vulns", "scanner.uri", "grype"},
		{"vulns", "scanner.result", map[string]any{}},
		{"vulns", "scanner.result[0].severity", "high"},
		{"vulns", "scanner.result[0].severity[1].score", 8.1},
		{"vulns", "scanner.db.uri", "grype db"},
		{"vulns", "metadata.scanStartedOn", "2026-03-02T07:00:13Z"},
		{"testresult", "result", "passed"},
		{"testresult", "result", "SKIPPED"},
		{"testresult", "url", "runs/8125"},
		{"testresult", "configuration[0].digest.gitBlob", strings.Repeat("G", 40)},
		{"testresult", "passedTests", "all"},
		{"link", "_type", "layout"},
		{"link", "materials", map[string]any{"main.go": map[string]any{"sha256": "00"}}},
		{"link", "materials", map[string]any{"main.go": map[string]any{}}},
		{"link", "products", map[string]any{"": map[string]any{"sha256": sha}}},
		{"link", "command", "go build"},
		{"link03", "materials[1].name", "main.go"},
		{"link03", "materials[1].digest", map[string]any{}},
		{"release", "purl", "https://packages.example/app@1.4.2"},
		{"release", "purl", "pkg:npm/@example/app"},
		{"release", "purl", "pkg:npm/app@"},
		{"release", "purl", "pkg:app@1.4.2"},
		{"release", "purl", "pkg:npm/@1.4.2"},
		{"custom", "Timestamp", "1772359200"},
		{"custom", "Timestamp", "0000-01-01T00:00:00+01:00"}, // year -1 in UTC
		{"slsaprovenance1", "runDetails.metadata.startedOn", "0000-01-01T00:00:00+01:00"},
		{"vulns", "scanner.db.lastUpdate", "9999-12-31T23:59:59-01:00"},
	} {
		t.Run(c.file+"/"+c.path, func(t *testing.T) {
			tree := parseTree(t, read(t, c.file))
			edit(t, tree, c.path, c.value, false)
			_, err := predicate.Parse(typeOf(c.file), marshalTree(t, tree))
			field := c.path[:strings.IndexAny(c.path+".", ".[")]
			if !errors.Is(err, predicate.ErrInvalid) || !strings.Contains(err.Error(), field) {
				t.Errorf("%v: %v, want ErrPredicate that names %s", c.value, err, field)
			}
		})
	}
}

func TestRightValues(t *testing.T) {
	for _, c := range []struct {
		file, path string
		value      any
	}{
		{"slsaprovenance1", "buildDefinition.externalParameters", map[string]any{}},
		{"slsaprovenance1", "runDetails.metadata.startedOn", "2026-03-01T12:00:00+02:00"},
		{"slsaprovenance1", "buildDefinition.resolvedDependencies[1].digest.gitCommit", strings.Repeat("a", 64)},
		{"slsaprovenance1", "buildDefinition.resolvedDependencies[0].digest", map[string]any{"arn": "arn:aws:ec2:region:123:image/ami-1"}},
		{"slsaprovenance02", "invocation.parameters", []any{"-v"}},
		{"slsaprovenance02", "invocation", nil},
		{"vsa", "verificationResult", "FAILED"},
		{"vsa", "verifiedLevels", []any{}},
		{"vsa", "verifiedLevels", []any{"SLSA_BUILD_LEVEL_0", "SLSA_SOURCE_LEVEL_4"}},
		{"spdx", "spdxVersion", "SPDX-2.2"},
		{"spdx", "packages", []any{}},
		{"spdx", "documentNamespace", "https://sbom.example/größe"},
		{"slsaprovenance1", "runDetails.byproducts[0].digest", map[string]any{"md5": strings.Repeat("0", 32), "dirHash1": strings.Repeat("0", 64)}},
		{"spdx3", "@context", []any{map[string]any{}, "https://spdx.org/rdf/3.0/spdx-context.jsonld"}},
		{"cyclonedx", "components", []any{}},
		{"cyclonedx", "specVersion", "1.7"},
		{"openvex", "@context", "https://openvex.dev/ns"},
		{"vuln", "scanner.result", nil},
		{"vuln", "scanner.uri", ""},
		{"vuln", "invocation.parameters", nil},
		{"vulns", "scanner.result", []any{}},
		{"vulns", "scanner.db", nil},
		{"testresult", "configuration", []any{}},
		{"link", "command", nil},
		{"release", "purl", "pkg:golang/golang.org/x/mod@v0.39.0"},
		{"custom", "Data", map[string]any{"any": "thing"}},
		{"custom", "Data", ""},
	} {
		t.Run(c.file+"/"+c.path, func(t *testing.T) {
			tree := parseTree(t, read(t, c.file))
			edit(t, tree, c.path, c.value, false)
			if _, err := predicate.Parse(typeOf(c.file), marshalTree(t, tree)); err != nil {
				t.Errorf("%v: %v", c.value, err)
			}
		})
	}
}

func TestCycloneDXVersionIsRequiredUpTo14(t *testing.T) {
	tree := parseTree(t, read(t, "cyclonedx"))
	edit(t, tree, "version", nil, true)
	if _, err := predicate.Parse("cyclonedx", marshalTree(t, tree)); err != nil {
		t.Errorf("1.6: %v", err)
	}
	edit(t, tree, "specVersion", "1.4", false)
	_, err := predicate.Parse("cyclonedx", marshalTree(t, tree))
	refusedFor(t, err, "1.4", "version")
}

// edit sets or deletes what is at a path such as a.b[0].c. A member that is
// gone can be set again.
func edit(t testing.TB, tree any, path string, value any, remove bool) {
	t.Helper()
	steps := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
	for i, step := range steps {
		last := i == len(steps)-1
		switch at := tree.(type) {
		case map[string]any:
			if last && remove {
				delete(at, step)
			} else if last {
				at[step] = value
			}
			tree = at[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(at) {
				t.Fatalf("no %s in %s", step, path)
			}
			if last {
				at[n] = value
			}
			tree = at[n]
		default:
			t.Fatalf("no %s in %s", step, path)
		}
	}
}

func parseTree(t testing.TB, data []byte) any {
	t.Helper()
	var tree any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func marshalTree(t testing.TB, tree any) []byte {
	t.Helper()
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAttack_E5_AmbiguousJSONIsRefused(t *testing.T) {
	for _, s := range append(samples(), sample{"custom", "https://example.com/own/v1"}) {
		data := bytes.TrimSpace(read(t, s.file))
		first := data[bytes.IndexByte(data, '"')+1:]
		key := string(first[:bytes.IndexByte(first, '"')])
		other := strings.ToUpper(key)
		if other == key {
			other = strings.ToLower(key)
		}
		inject := func(member string) []byte { return slices.Concat([]byte("{"+member+","), data[1:]) }
		for name, bad := range map[string][]byte{
			"duplicate key":         inject(`"` + key + `":1`),
			"key of another case":   inject(`"` + other + `":1`),
			"escaped duplicate":     inject(fmt.Sprintf(`"\u%04x%s":1`, key[0], key[1:])),
			"NaN":                   inject(`"x":NaN`),
			"integer beyond int64":  inject(`"x":9223372036854775808`),
			"invalid UTF-8":         inject("\"x\":\"\xff\""),
			"unpaired surrogate":    inject(`"x":"\ud800"`),
			"control character":     inject("\"x\":\"\x01\""),
			"trailing data":         slices.Concat(data, []byte("{}")),
			"byte order mark":       slices.Concat([]byte("\xef\xbb\xbf"), data),
			"truncated":             data[:len(data)-1],
			"list":                  slices.Concat([]byte("["), data, []byte("]")),
			"duplicate deep inside": inject(`"x":[[{"a":1,"a":2}]]`),
			"null":                  []byte("null"),
			"empty":                 {},
			"string":                []byte(`"{}"`),
			"comment":               inject(`"x":1 /* */`),
		} {
			if _, err := predicate.Parse(s.typ, bad); !errors.Is(err, predicate.ErrInvalid) {
				t.Errorf("%s, %s: %v, want ErrPredicate", s.file, name, err)
			}
		}
		if _, err := predicate.Parse(s.typ, []byte("{}")); !strings.Contains(s.typ, ":") && !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%s, empty object: %v, want ErrPredicate", s.file, err)
		}
	}
}

func TestAttack_E6_DepthBombsAreRefused(t *testing.T) {
	for _, s := range append(samples(), sample{"custom", "https://example.com/own/v1"}) {
		data := bytes.TrimSpace(read(t, s.file))
		for _, depth := range []int{63, 100_000} {
			bomb := strings.Repeat("[", depth) + strings.Repeat("]", depth)
			bad := slices.Concat([]byte(`{"x":`+bomb+`,`), data[1:])
			if _, err := predicate.Parse(s.typ, bad); !errors.Is(err, predicate.ErrInvalid) {
				t.Errorf("%s, depth %d: %v, want ErrPredicate", s.file, depth, err)
			}
		}
		deep := strings.Repeat("[", 62) + strings.Repeat("]", 62)
		if _, err := predicate.Parse(s.typ, slices.Concat([]byte(`{"x":`+deep+`,`), data[1:])); err != nil {
			t.Errorf("%s, depth that a statement can hold: %v", s.file, err)
		}
	}
}

func TestFieldsThatAreNotKnownAreSigned(t *testing.T) {
	for _, s := range samples() {
		data := slices.Concat([]byte(`{"https://example.com/extension": [1,  2], `), bytes.TrimSpace(read(t, s.file))[1:])
		doc, err := predicate.Parse(s.typ, data)
		if err != nil {
			t.Errorf("%s: %v", s.file, err)
		} else if !bytes.Equal(doc.RawPredicate(), data) {
			t.Errorf("%s: the extension is lost", s.file)
		}
	}
}

func TestDocumentsSayWhatOtherFilesLookLike(t *testing.T) {
	for _, c := range []struct{ typ, text, want string }{
		{"spdx", "SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\n", "tag-value"},
		{"spdx", "spdxVersion: SPDX-2.3\n", "YAML"},
		{"spdx", `<?xml version="1.0"?><rdf:RDF>`, "XML"},
		{"cyclonedx", `<bom xmlns="http://cyclonedx.org/schema/bom/1.6">`, "CycloneDX in XML"},
		{"cyclonedx", "\x1f\x8b\x08", "compressed"},
		{"cyclonedx", " \n", "empty"},
		{"cyclonedx", "\xff\xfe{\x00", "byte order mark"},
		{"cyclonedx", string(read(t, "spdx")), "an SPDX document"},
		{"spdx", string(read(t, "cyclonedx")), "a CycloneDX document"},
		{"spdx", string(read(t, "openvex")), "an OpenVEX document"},
		{"slsaprovenance1", string(read(t, "slsaprovenance02")), "provenance v0.2"},
		{"slsaprovenance", string(read(t, "slsaprovenance1")), "provenance v1"},
		{"vuln", `{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[]}`, "DSSE envelope"},
		{"vsa", `{"_type":"https://in-toto.io/Statement/v1","predicateType":"x:y","subject":[]}`, "in-toto statement"},
	} {
		_, err := predicate.Parse(c.typ, []byte(c.text))
		if !errors.Is(err, predicate.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q as %s: %v, want it to say %q", c.text, c.typ, err, c.want)
		}
	}
	tree := parseTree(t, read(t, "spdx"))
	edit(t, tree, "name", nil, true)
	if _, err := predicate.Parse("spdx", marshalTree(t, tree)); err == nil || strings.Contains(err.Error(), "looks like") {
		t.Errorf("a broken SPDX document looks like itself: %v", err)
	}
}
