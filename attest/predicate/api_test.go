package predicate_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
)

func TestTypesAreFoundByEveryNameTheyHave(t *testing.T) {
	seen := make(map[string]bool)
	for _, typ := range predicate.Types() {
		for _, name := range slices.Concat([]string{typ.Name, typ.URI}, typ.Aliases) {
			got, ok := predicate.Lookup(name)
			if !ok || got.URI != typ.URI || got.Title == "" || seen[name] {
				t.Errorf("%s is %+v (twice: %v), want %s", name, got, seen[name], typ.URI)
			}
			seen[name] = true
		}
	}
	// The names that cosign has (its options.PredicateTypeMap).
	for name, uri := range map[string]string{
		"custom": "https://cosign.sigstore.dev/attestation/v1", "slsaprovenance": "https://slsa.dev/provenance/v0.2",
		"slsaprovenance02": "https://slsa.dev/provenance/v0.2", "slsaprovenance1": "https://slsa.dev/provenance/v1",
		"spdx": "https://spdx.dev/Document", "spdxjson": "https://spdx.dev/Document", "cyclonedx": "https://cyclonedx.org/bom",
		"link": "https://in-toto.io/Link/v1", "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1", "openvex": "https://openvex.dev/ns",
	} {
		if got, ok := predicate.Lookup(name); !ok || got.URI != uri {
			t.Errorf("%s is %s, cosign means %s", name, got.URI, uri)
		}
	}
}

func TestTypesOfOthers(t *testing.T) {
	for _, uri := range []string{
		"https://example.com/own/v1", "urn:example:own", "https://slsa.dev/provenance/v1/", "HTTPS://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v1.0",
		"https://spdx.dev/Documents", "https://slsa.dev/provenance/v0.2/v1",
	} {
		typ, ok := predicate.Lookup(uri)
		if !ok || typ.Name != "" || typ.URI != uri {
			t.Errorf("%s is %+v, want a type of its own", uri, typ)
		}
	}
	for _, bad := range []string{
		"", "SPDX", "spdx ", "provenance", "/own/v1", "//example.com/own", "https:", ":x", "1x:y", "https://example.com/a b", "https://exämple.com/own",
		"https://example.com/\x00", "https://example.com/\u202e", "https://spdx.dev/Document/v 2", strings.Repeat("a", 300),
	} {
		if typ, ok := predicate.Lookup(bad); ok {
			t.Errorf("%q is a type: %+v", bad, typ)
		}
		if _, err := predicate.Parse(bad, []byte("{}")); !errors.Is(err, predicate.ErrType) {
			t.Errorf("%q: %v, want ErrType", bad, err)
		}
	}
}

func TestTypesWithADocumentsVersion(t *testing.T) {
	for _, c := range []struct {
		uri, file string
		fits      bool
	}{
		{"https://spdx.dev/Document/v2.3", "spdx", true}, {"https://spdx.dev/Document/v2", "spdx", true}, {"https://spdx.dev/Document/v2.2", "spdx", false},
		{"https://spdx.dev/Document/v3", "spdx3", true}, {"https://spdx.dev/Document/v3.0.1", "spdx3", true}, {"https://spdx.dev/Document/v3", "spdx", false},
		{"https://cyclonedx.org/bom/v1.6", "cyclonedx", true}, {"https://cyclonedx.org/bom/v1.4", "cyclonedx", false}, {"https://cyclonedx.org/bom/v1.6/x", "cyclonedx", false},
		{"https://openvex.dev/ns/v0.2.0", "openvex", true}, {"https://openvex.dev/ns/v0.0.1", "openvex", false}, {"https://spdx.dev/Document/v", "spdx", false},
	} {
		doc, err := predicate.Parse(c.uri, read(t, c.file))
		switch {
		case c.fits && (err != nil || doc.PredicateType() != c.uri):
			t.Errorf("%s: %v", c.uri, err)
		case !c.fits && !errors.Is(err, predicate.ErrInvalid):
			t.Errorf("%s: %v, want ErrPredicate", c.uri, err)
		}
	}
}

func TestAttack_E16_BuilderIDsAreTakenAsTheyStand(t *testing.T) {
	with := func(id string) []byte {
		tree := parseTree(t, read(t, "slsaprovenance1"))
		edit(t, tree, "runDetails.builder.id", id, false)
		return marshalTree(t, tree)
	}
	for _, id := range []string{"https://ci.exаmple/builder", "https://ci.example/builder\u200b", " https://ci.example/builder", "https://ci.example/builder\n", "ci.example/builder", "https:"} {
		if _, err := predicate.Parse("slsaprovenance1", with(id)); !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%q: %v, want ErrPredicate", id, err)
		}
	}
	for _, id := range []string{"https://ci.example/builder/", "https://CI.example/builder", "https://ci.example/%62uilder"} {
		doc, err := predicate.Parse("slsaprovenance1", with(id))
		if err != nil || doc.Value().(*predicate.Provenance).RunDetails.Builder.ID != id {
			t.Errorf("%q: %v, want it unchanged", id, err)
		}
	}
}

func TestChangingAValueDoesNotChangeItsDocument(t *testing.T) {
	data := read(t, "slsaprovenance1")
	doc, err := predicate.Parse("slsaprovenance1", data)
	if err != nil {
		t.Fatal(err)
	}
	p := doc.Value().(*predicate.Provenance)
	p.RunDetails.Builder.ID = "https://ci.example/other"
	for _, c := range []struct {
		p    attest.Predicate
		want string
	}{{doc, `"https://ci.example/builder@v2"`}, {p, `"https://ci.example/other"`}} {
		statement, err := attest.NewStatement(c.p, anImage())
		if err != nil || !bytes.Contains(statement.Predicate, []byte(c.want)) {
			t.Errorf("%T: %v, want it to say %s: %s", c.p, err, c.want, statement.Predicate)
		}
	}
}

// in-toto-golang v0.9, and with it cosign v2, spells it so; BuildKit does in v0.2.
func TestTheInvocationIsReadUnderItsOtherName(t *testing.T) {
	text := bytes.Replace(read(t, "slsaprovenance1"), []byte("invocationId"), []byte("invocationID"), 1)
	doc, err := predicate.Parse("slsaprovenance1", text)
	if err != nil || doc.Value().(*predicate.Provenance).RunDetails.Metadata.InvocationID != "https://ci.example/team/app/runs/8123?attempt=1&log=no" {
		t.Errorf("v1: %v", err)
	}
	text = bytes.Replace(read(t, "slsaprovenance02"), []byte("buildInvocationId"), []byte("buildInvocationID"), 1)
	doc, err = predicate.Parse("slsaprovenance02", text)
	if err != nil || doc.Value().(*predicate.Provenance02).Metadata.BuildInvocationID != "8123-1" {
		t.Errorf("v0.2: %v", err)
	}
}

func TestTimesAreWrittenInUTC(t *testing.T) {
	for _, name := range []string{"provenance", "provenance02", "vsa", "vulns", "vuln", "custom"} {
		text := string(writtenText(t, name))
		if strings.Contains(text, "+02:00") || !strings.Contains(text, `"2026-03-01T10:0`) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestTextIsNotEscapedForHTML(t *testing.T) {
	for _, name := range []string{"provenance", "provenance02", "vuln", "vsa"} {
		if text := writtenText(t, name); bytes.Contains(text, []byte(`\u00`)) || !bytes.Contains(text, []byte("&")) && !bytes.Contains(text, []byte("<")) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestZeroValuesAreNoPredicates(t *testing.T) {
	for _, p := range []attest.Predicate{
		predicate.Provenance{}, predicate.Provenance02{}, predicate.VSA{}, predicate.Vulns{}, predicate.CosignVuln{}, predicate.TestResult{},
		predicate.Link{}, predicate.Link03{}, predicate.Release{}, predicate.Custom{}, predicate.Raw{}, &predicate.Document{}, &predicate.Provenance{}, &predicate.Raw{},
	} {
		if _, err := attest.NewStatement(p, anImage()); !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%T: %v, want ErrPredicate", p, err)
		}
	}
}

func TestRaw(t *testing.T) {
	const uri = "https://example.com/own/v1"
	good := predicate.Raw{Type: uri, JSON: []byte(`{"a": 1}`)}
	statement, err := attest.NewStatement(good, anImage())
	if err != nil || string(statement.Predicate) != `{"a": 1}` {
		t.Errorf("%v: %s", err, statement.Predicate)
	}
	deep := strings.Repeat("[", 63) + strings.Repeat("]", 63)
	for _, bad := range []predicate.Raw{
		{Type: "own", JSON: good.JSON}, {Type: "", JSON: good.JSON}, {Type: uri}, {Type: uri, JSON: []byte("[]")}, {Type: uri, JSON: []byte("null")},
		{Type: uri, JSON: []byte(`{"a":1,"a":2}`)}, {Type: uri, JSON: []byte(`{"a":` + deep + `}`)},
	} {
		if err := bad.Validate(); !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%.60s: %v, want ErrPredicate", bad.JSON, err)
		}
	}
}

func TestAScannersReportIsStrictJSON(t *testing.T) {
	now := time.Now()
	v := predicate.CosignVuln{Metadata: predicate.ScanTimes{ScanStartedOn: now, ScanFinishedOn: now}}
	if err := v.Validate(); err != nil {
		t.Errorf("without a report: %v", err)
	}
	deep := `{"a":` + strings.Repeat("[", 61) + strings.Repeat("]", 61) + `}`
	for _, bad := range []string{`{"a":1,"a":2}`, `[]`, `"text"`, `{`, ``, deep} {
		v.Scanner.Result = []byte(bad)
		if err := v.Validate(); !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%.20q: %v, want ErrPredicate", bad, err)
		}
	}
}

// A JSON object that is no link, but has what a link needs.
func TestAttack_E3_DocumentsThatSayWhatTheyAreAreNothingElse(t *testing.T) {
	for _, text := range []string{
		`{"name":"x","spdxVersion":"SPDX-2.3"}`, `{"name":"x","bomFormat":"CycloneDX"}`, `{"name":"x","@context":"https://openvex.dev/ns"}`,
		`{"name":"x","payload":"","payloadType":"y"}`, `{"name":"x","dsseEnvelope":{}}`, `{"name":"x","verificationResult":"FAILED"}`,
	} {
		if _, err := predicate.Parse("link03", []byte(text)); !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%s: %v, want ErrPredicate", text, err)
		}
	}
}
