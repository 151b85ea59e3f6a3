package verify_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

// namesTeam checks that a decision names the team, and each requirement the one that it is of.
func namesTeam(t *testing.T, label string, r verify.Report, team string) {
	t.Helper()
	if r.Team != team {
		t.Errorf("%s: %+v", label, r)
	}
	of := make(map[string]string)
	for _, m := range r.Requirements {
		of[m.Requirement] = m.Team
	}
	for _, u := range r.Unmet {
		of[u.Requirement] = u.Team
	}
	for path, named := range of {
		want := ""
		if strings.HasPrefix(path, "teams.apps.") {
			want = "apps"
		}
		if named != want {
			t.Errorf("%s: %s is of the team %q, want %q", label, path, named, want)
		}
	}
}

func TestTeams_ResultsNameThem(t *testing.T) {
	w := newTeamWorld(t)
	res, err := w.judge(w.root, w.team)
	if err != nil {
		t.Fatal(err)
	}
	namesTeam(t, "allowed", verify.ReportOf("", res, nil), "apps")
	if len(res.Requirements) != 2 {
		t.Errorf("%+v", res.Requirements)
	}
	text, err := json.Marshal(res)
	if err != nil || strings.Count(string(text), `"team":"apps"`) != 2 {
		t.Errorf("%s, %v", text, err)
	}
	if logged := slog.AnyValue(res).Resolve().String(); !strings.Contains(logged, "team=apps") {
		t.Error(logged)
	}
	_, err = w.judge()
	denied := isDenied(t, nil, err, verify.ReasonNoSignature)
	namesTeam(t, "denied", verify.ReportOf("", nil, err), "apps")
	if logged := denied.LogValue().String(); len(denied.Unmet) != 2 || !strings.Contains(logged, "team=apps") {
		t.Errorf("%+v, %s", denied.Unmet, logged)
	}

	w.files["apps/policy.yaml"] = teamRelease + "rules: [{images: [registry.example/team/app], deny: true, reason: gone}]\n"
	_, err = w.judge(w.root, w.team)
	isDenied(t, nil, err, verify.ReasonDeniedByRule)
	namesTeam(t, "denied by the rule", verify.ReportOf("", nil, err), "apps")
	if forbidden := w.verifier().Forbids(w.push().Context()); forbidden == nil || forbidden.Team != "apps" {
		t.Errorf("%+v", forbidden)
	}

	w.files["apps/policy.yaml"] = strings.Replace(teamRelease+teamRule, "team/app", "team/other", 1)
	res, err = w.judge(w.root)
	if err != nil {
		t.Fatal(err)
	}
	namesTeam(t, "the policy's own rule", verify.ReportOf("", res, nil), "")
}

// What vouches for children of an index names the team, too.
func TestTeams_ResultsOfIndexesNameThem(t *testing.T) {
	w := newTeamWorld(t)
	children := w.pushIndex(amd64, arm64)
	index := w.image
	for _, p := range []person{w.root, w.team} {
		w.sign(index, sign.ImageOptions{}, p)
	}
	v := w.verifier()
	res, err := v.Image(t.Context(), w.store, index)
	if err != nil {
		t.Fatal(err)
	}
	child, err := v.Child(t.Context(), w.store, res, children[0])
	if err != nil || child.Team != "apps" || child.Index.Team != "apps" {
		t.Errorf("%+v, %v", child, err)
	}
	_, err = v.Child(t.Context(), w.store, res, w.push())
	if denied := isDenied(t, nil, err, verify.ReasonNotListed); denied.Team != "apps" {
		t.Errorf("%+v", denied)
	}
}

// A signature by the policy's key alone does not make the children of an index pass that
// the team's rule is about.
func TestAttack_T25_TeamsRulesHoldForChildrenOfIndexes(t *testing.T) {
	w := newTeamWorld(t)
	children := w.pushIndex(amd64, arm64)
	index := w.image
	w.sign(index, sign.ImageOptions{}, w.root)
	v := w.verifier()
	_, err := v.Image(t.Context(), w.store, index)
	if denied := isDenied(t, nil, err, verify.ReasonNoTrustedSignature); denied.Unmet[0].Team != "apps" {
		t.Errorf("%+v", denied.Unmet)
	}
	for _, child := range children {
		_, err := v.Image(t.Context(), w.store, child)
		isDenied(t, nil, err, verify.ReasonNoSignature)
	}
	w.sign(index, sign.ImageOptions{}, w.team)
	w.files["policy.yaml"] = strings.Replace(rootRelease+rootRule, "version: 1\n", "version: 1\ndenyDigests: [{digest: '"+children[0].DigestStr()+"', reason: bad}]\n", 1)
	v = w.verifier()
	res, err := v.Image(t.Context(), w.store, index)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Child(t.Context(), w.store, res, children[0])
	if denied := isDenied(t, nil, err, verify.ReasonDeniedDigest); denied.Team != "apps" {
		t.Errorf("%+v", denied)
	}
	if _, err := v.Child(t.Context(), w.store, res, children[1]); err != nil {
		t.Error(err)
	}
}

// A result of one policy is not one of another, whose team has become stricter meanwhile.
func TestAttack_T25_ResultsOfOlderTeamsVouchForNothing(t *testing.T) {
	w := newTeamWorld(t)
	children := w.pushIndex(amd64, arm64)
	index := w.image
	w.sign(index, sign.ImageOptions{}, w.root)
	w.sign(index, sign.ImageOptions{}, w.team)
	older := w.verifier()
	res, err := older.Image(t.Context(), w.store, index)
	if err != nil {
		t.Fatal(err)
	}
	w.files["apps/policy.yaml"] = teamRelease + "rules: [{images: [registry.example/team/app], deny: true, reason: gone}]\n"
	if child, err := w.verifier().Child(t.Context(), w.store, res, children[0]); err == nil {
		t.Errorf("%+v", child)
	}
}

func TestTeams_ExemptionsNameThem(t *testing.T) {
	w := newTeamWorld(t)
	image := w.push()
	w.sign(image, sign.ImageOptions{}, w.root)
	w.sign(image, sign.ImageOptions{}, w.team)
	w.files["policy.yaml"] = strings.Replace(rootRelease, "images: [registry.example/team/**]", "images: [registry.example/team/**], mayExempt: true", 1) + rootRule
	w.files["apps/policy.yaml"] = teamRelease + "requirements: {bill: {attestation: {type: spdx, by: release}}}\n" +
		"rules: [{images: [registry.example/team/app], require: [{signature: {by: release}}, {use: bill}]}]\n" +
		"exemptions: [{images: [registry.example/team/app], digests: ['" + image.DigestStr() + "'], requirement: bill, reason: x, by: y, until: " + now.Add(time.Hour).Format(time.RFC3339) + "}]\n"
	res, err := w.verifier().Image(t.Context(), w.store, image)
	if err != nil || len(res.Exemptions) != 1 || res.Exemptions[0].Team != "apps" || res.Exemptions[0].Unmet[0].Team != "apps" {
		t.Errorf("%+v, %v", res, err)
	}
}
