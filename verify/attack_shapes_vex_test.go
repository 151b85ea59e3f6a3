package verify_test

import (
	"context"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/verify"
)

// A doubt of the role that is believed takes an excuse back, also where its form is
// not that of OpenVEX.
func TestAttack_E23_VEXOfOtherShapesExcusesNothing(t *testing.T) {
	x := newVEXWorld(t, "")
	found := x.bundled(scanWith("high", recently), x.c)
	excuse := x.bundled(dated(vex("not_affected"), earlierOn), x.a)
	doubt := vex("affected").text
	const about, statement = `{"name":"GHSA-x","aliases":["CVE-2026-0001"]}`, `"statements":[{`
	if !strings.Contains(doubt, about) || !strings.Contains(doubt, statement) {
		t.Fatal(doubt)
	}
	if _, err := x.v.Bundles(context.Background(), x.image, found, excuse); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, vulnerability := range []string{
		`null`, `7`, `""`, `["CVE-2026-0001"]`, `[` + about + `]`, `{}`, `{"aliases":["CVE-2026-0001"]}`, `{"name":["CVE-2026-0001"]}`, `{"name":{"id":"CVE-2026-0001"}}`, `{"name":null}`,
		`{"name":"x","aliases":"CVE-2026-0001"}`, `{"name":"x","aliases":{"0":"CVE-2026-0001"}}`, `{"name":"x","aliases":[["CVE-2026-0001"]]}`, `{"name":"x","aliases":[7]}`, `{"name":"x","aliases":[null]}`,
		`{"Name":"CVE-2026-0001"}`, `{"name":"x","Aliases":["CVE-2026-0001"]}`, `"cve-2026-0001"`, `{"name":" CVE-2026-0001 "}`, `{"@id":"https://vex.example/CVE-2026-0001"}`,
	} {
		all = append(all, strings.Replace(doubt, about, vulnerability, 1))
	}
	for _, status := range []string{`null`, `7`, `["affected"]`, `{"status":"affected"}`, `"Fixed"`, `["not_affected"]`, `""`, `true`} {
		all = append(all, strings.Replace(doubt, `"status":"affected"`, `"status":`+status, 1))
	}
	all = append(all, strings.Replace(doubt, `"status":`, `"Status":`, 1), strings.Replace(doubt, statement, `"Statements":[{`, 1),
		strings.Replace(doubt, statement, `"statements":[[{`, 1), strings.Replace(doubt, `"vulnerability"`, `"Vulnerability"`, 1), strings.Replace(doubt, statement, `"x":[{`, 1))
	for _, statements := range []string{`null`, `{}`, `7`, `"x"`, `[7]`, `[null]`, `["affected"]`} {
		all = append(all, doubt[:strings.Index(doubt, statement)]+`"statements":`+statements+`}`)
	}
	for _, stated := range []string{`null`, `7`, `["2026-01-01T00:00:00Z"]`, `{"time":"2026-01-01T00:00:00Z"}`, `"long ago"`, `""`} {
		all = append(all, strings.Replace(doubt, statement, `"statements":[{"timestamp":`+stated+`,`, 1), strings.Replace(doubt, statement, `"last_updated":`+stated+`,`+statement, 1))
	}
	for _, text := range all {
		if strings.Count(text, "[[{") > 0 {
			text = strings.TrimSuffix(strings.TrimSpace(text), "]}") + "]]}"
		}
		res, err := x.v.Bundles(context.Background(), x.image, found, excuse, x.bundled(says{predicate.TypeOpenVEX, text}, x.a))
		if e, ok := err.(*verify.Error); !ok || res != nil || e.Reason != verify.ReasonVulnerable {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

// An excuse whose time cannot be read may be older than a doubt.
func TestAttack_E23_AnExcuseWhoseTimeCannotBeReadDoesNotCount(t *testing.T) {
	x := newVEXWorld(t, "")
	found := x.bundled(scanWith("high", recently), x.c)
	excuse := vex("not_affected").text
	for _, stated := range []string{`null`, `7`, `["2026-11-22T12:00:00Z"]`, `"today"`, `""`} {
		for _, text := range []string{
			strings.Replace(excuse, `"statements":[{`, `"statements":[{"timestamp":`+stated+`,`, 1),
			strings.Replace(excuse, `"statements":[{`, `"statements":[{"last_updated":`+stated+`,`, 1),
		} {
			res, err := x.v.Bundles(context.Background(), x.image, found, x.bundled(says{predicate.TypeOpenVEX, text}, x.a))
			if e, ok := err.(*verify.Error); !ok || res != nil || e.Reason != verify.ReasonVulnerable {
				t.Errorf("%s\n%v", text, err)
			}
		}
	}
	// What is not read of a document is of no matter.
	other := strings.Replace(excuse, `"products":[{"@id":"pkg:oci/app"}]`, `"products":7,"status_notes":[]`, 1)
	if _, err := x.v.Bundles(context.Background(), x.image, found, x.bundled(says{predicate.TypeOpenVEX, other}, x.a)); err != nil {
		t.Error(err)
	}
}
