package interop

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sigstore/cosign/v2/pkg/cosign/attestation"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// predicateText reads a file among the test data of package predicate.
func predicateText(t testing.TB, dir, name string) []byte {
	t.Helper()
	return []byte(readFile(t, filepath.Join("..", "..", "..", "attest", "predicate", "testdata", dir, name+".json")))
}

// tree is JSON as Go values, for comparisons.
func tree(t testing.TB, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCosignsTypesAcceptWhatWeWrite(t *testing.T) {
	for name, value := range map[string]any{"vuln": &attestation.CosignVulnPredicate{}, "custom": &attestation.CosignPredicate{}} {
		ours := predicateText(t, "written", name)
		d := json.NewDecoder(bytes.NewReader(ours))
		d.DisallowUnknownFields()
		if err := d.Decode(value); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		theirs, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := predicate.Parse(name, theirs)
		if err != nil {
			t.Errorf("%s as cosign writes it: %v", name, err)
			continue
		}
		statement, err := attest.NewStatement(doc.Value().(attest.Predicate),
			attest.Subject{Name: "registry.example/team/app", Digest: map[string]string{"sha256": strings.Repeat("ab", 32)}})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(tree(t, statement.Predicate), tree(t, ours)) {
			t.Errorf("%s as cosign writes it:\n%s\nwant\n%s", name, statement.Predicate, ours)
		}
	}
}

// cosign rewrites what it attests into its own structs; what comes out must
// still be read.
func TestCosignGeneratesWhatWeRead(t *testing.T) {
	for typ, text := range map[string][]byte{
		"slsaprovenance": predicateText(t, "written", "provenance02"), "slsaprovenance02": predicateText(t, "predicates", "slsaprovenance02"),
		"slsaprovenance1": predicateText(t, "written", "provenance"), "link": predicateText(t, "written", "link"), "vuln": predicateText(t, "written", "vuln"),
		"spdxjson": predicateText(t, "predicates", "spdx"), "cyclonedx": predicateText(t, "predicates", "cyclonedx"),
		"openvex": predicateText(t, "predicates", "openvex"), "custom": []byte("any file\n"), "https://example.com/own/v1": []byte(`{"a":1}`),
	} {
		generated, err := attestation.GenerateStatement(attestation.GenerateOpts{
			Predicate: bytes.NewReader(text), Type: typ, Digest: strings.Repeat("ab", 32), Repo: "registry.example/team/app",
		})
		if err != nil {
			t.Errorf("cosign refuses our %s: %v", typ, err)
			continue
		}
		written, err := json.Marshal(generated)
		if err != nil {
			t.Fatal(err)
		}
		var statement struct {
			PredicateType string          `json:"predicateType"`
			Predicate     json.RawMessage `json:"predicate"`
		}
		if err := json.Unmarshal(written, &statement); err != nil {
			t.Fatal(err)
		}
		if known, ok := predicate.Lookup(typ); !ok || known.URI != statement.PredicateType {
			t.Errorf("cosign means %s by %q, we %s", statement.PredicateType, typ, known.URI)
		}
		if _, err := predicate.Parse(typ, statement.Predicate); err != nil {
			t.Errorf("we refuse cosign's %s: %v", typ, err)
		}
	}
}
