package verify_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

// twoFindings is a scan that has found the vulnerability of vex, and another one.
func twoFindings(second string) says {
	s := scanWith("high", recently)
	s.text = strings.Replace(s.text, `"result":[`, `"result":[{"id":"`+second+`","severity":[{"method":"nvd","score":"high"}]},`, 1)
	return s
}

func TestExcused_ResultsNameWhatDidNotCount(t *testing.T) {
	x := newVEXWorld(t, "")
	res, err := x.v.Bundles(t.Context(), x.image, x.bundled(scanWith("high", recently), x.c), x.bundled(vex("not_affected"), x.a))
	if err != nil {
		t.Fatal(err)
	}
	got := res.Requirements[0].Excused
	if len(got) != 1 || got[0].ID != "CVE-2026-0001" || got[0].Severity != "high" || got[0].By != verify.ExcusedByVEX || got[0].Status != "not_affected" || got[0].Reason != "component_not_present" {
		t.Errorf("%+v", got)
	}
	text, err := json.Marshal(res)
	if want := `"excused":[{"id":"CVE-2026-0001","severity":"high","by":"openvex","status":"not_affected","reason":"component_not_present"}]`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("%s, %v, want %s", text, err, want)
	}
	told := false
	for _, e := range res.Evidence {
		told = told || e.Reason == verify.ReasonCounted && strings.Contains(e.Detail, "excused: CVE-2026-0001 (high, not_affected by OpenVEX)")
	}
	if !told {
		t.Errorf("%+v", res.Evidence)
	}
	clean, err := x.v.Bundles(t.Context(), x.image, x.bundled(scanWith("low", recently), x.c), x.bundled(vex("not_affected"), x.a))
	if err != nil || len(clean.Requirements[0].Excused) > 0 {
		t.Errorf("%+v, %v: what counts nothing needs no excuse", clean, err)
	}
}

func TestExcused_DenialsNameWhatDidNotCount(t *testing.T) {
	x := newVEXWorld(t, "")
	_, err := x.v.Bundles(t.Context(), x.image, x.bundled(twoFindings("CVE-2026-9999"), x.c), x.bundled(vex("fixed"), x.a))
	var denied *verify.Error
	if !errors.As(err, &denied) || denied.Reason != verify.ReasonVulnerable {
		t.Fatal(err)
	}
	u := denied.Unmet[0]
	if len(u.Excused) != 1 || u.Excused[0].ID != "CVE-2026-0001" || u.Excused[0].Status != "fixed" || !strings.Contains(u.Detail, "CVE-2026-9999") || !strings.Contains(u.Detail, "excused: CVE-2026-0001") {
		t.Errorf("%+v", u)
	}
}

func TestExcused_NamesWhatThePolicyAccepts(t *testing.T) {
	x := newVEXWorld(t, ", accept: [{id: CVE-2026-0001, until: 2099-01-01T00:00:00Z, reason: not reachable}]")
	res, err := x.v.Bundles(t.Context(), x.image, x.bundled(scanWith("high", recently), x.c))
	if err != nil {
		t.Fatal(err)
	}
	got := res.Requirements[0].Excused
	if len(got) != 1 || got[0].By != verify.ExcusedByPolicy || got[0].Reason != "not reachable" || got[0].Until.Year() != 2099 || got[0].Status != "" {
		t.Errorf("%+v", got)
	}
}
