package verify_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// teamWorld is a world whose policy has the team "apps", which may write rules for
// registry.example/team/**. The files are those of the policy's directory.
type teamWorld struct {
	*world
	root, team person
	files      map[string]string
}

const (
	rootRelease = "version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\nteams: {apps: {file: apps/policy.yaml, images: [registry.example/team/**]}}\n"
	rootRule    = "rules: [{images: [registry.example/**], require: [{signature: {by: release}}]}]\n"
	baseRule    = "rules: [{images: [registry.example/base/*], require: [{signature: {by: release}}]}]\n" // about other images
	teamRelease = "version: 1\nkeys: {release: {file: ci.pub}}\nroles: {release: {keys: [release]}}\n"
	teamRule    = "rules: [{images: [registry.example/team/app], require: [{signature: {by: release}}]}]\n"
)

func newTeamWorld(t *testing.T) *teamWorld {
	w := &teamWorld{world: newWorld(t), root: newPerson(t), team: newPerson(t)}
	w.files = map[string]string{
		"policy.yaml": rootRelease + rootRule, "apps/policy.yaml": teamRelease + teamRule,
		"release.pub": pemOf(t, w.root), "apps/ci.pub": pemOf(t, w.team),
	}
	return w
}

// load writes the files and loads the policy.
func (w *teamWorld) load() (*policy.Policy, error) {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, text := range w.files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	return policy.Load(filepath.Join(dir, "policy.yaml"), policy.ParseOptions{})
}

func (w *teamWorld) verifier() *verify.Verifier {
	w.t.Helper()
	p, err := w.load()
	if err != nil {
		w.t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// judge judges an image that some have signed.
func (w *teamWorld) judge(by ...person) (*verify.Result, error) {
	w.t.Helper()
	image := w.push()
	for _, p := range by {
		w.sign(image, sign.ImageOptions{}, p)
	}
	return w.verifier().Image(context.Background(), w.store, image)
}

// wants judges images signed by the root, by the team, by both and by no key. Those who
// are listed are enough.
func (w *teamWorld) wants(label string, enough ...string) {
	w.t.Helper()
	for name, by := range map[string][]person{"root": {w.root}, "team": {w.team}, "both": {w.root, w.team}, "none": nil} {
		res, err := w.judge(by...)
		if (err == nil) != slices.Contains(enough, name) {
			w.t.Errorf("%s: signed by %s: %v, %v", label, name, res, err)
		}
	}
}

func TestTeams_TheirRulesAddToThePolicysOwn(t *testing.T) {
	w := newTeamWorld(t)
	w.wants("both have a rule", "both")
	res, err := w.judge(w.root, w.team)
	if err != nil || res.Rule != "registry.example/team/app" || len(res.Requirements) != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
	if a, b := res.Requirements[0], res.Requirements[1]; a.Requirement != "rules[0].require[0]" || a.By != "release" ||
		b.Requirement != "teams.apps.rules[0].require[0]" || b.By != "apps/release" || b.Keys[0].Name != "apps/release" {
		t.Errorf("%+v", res.Requirements)
	}
	_, err = w.judge(w.root)
	if d := isDenied(t, nil, err, verify.ReasonNoTrustedSignature); d.Unmet[0].Requirement != "teams.apps.rules[0].require[0]" {
		t.Errorf("%+v", d.Unmet)
	}

	w.files["apps/policy.yaml"] = strings.Replace(w.files["apps/policy.yaml"], "registry.example/team/app", "registry.example/team/other", 1)
	w.wants("the team has no rule for the image", "root", "both")
	w.files["apps/policy.yaml"] = teamRelease + teamRule
	w.files["policy.yaml"] = rootRelease + baseRule
	w.wants("the policy has no rule for the image", "team", "both")
	w.files["policy.yaml"] = strings.Replace(rootRelease+rootRule, "registry.example/**", "registry.example/team/app", 1)
	w.wants("the same pattern", "both")
	w.files["policy.yaml"] = strings.Replace(rootRelease+rootRule, "registry.example/**", `"**"`, 1)
	w.wants("every image", "both")
}

// The more specific a team's pattern is, the more it would decide by itself.
func TestAttack_T25_ATeamLoosensNothing(t *testing.T) {
	const twoRules = "rules: [{images: [registry.example/**], require: [{signature: {by: release}}]}, {images: [registry.example/team/app], deny: true, reason: frozen}]\n"
	for label, c := range map[string]struct {
		root, team string // in place of the usual rules
		enough     []string
	}{
		"own role of the same name":      {rootRule, teamRule, []string{"both"}},
		"any of its own":                 {rootRule, "rules: [{images: [registry.example/team/app], require: [{anyOf: [{signature: {by: release}}, {config: {nonRoot: true}}]}]}]\n", []string{"both"}},
		"several patterns":               {rootRule, "rules: [{images: [registry.example/team/*, registry.example/team/app], require: [{signature: {by: release}}]}]\n", []string{"both"}},
		"two rules of its own":           {rootRule, "rules: [{images: [registry.example/team/**], require: [{signature: {by: release}}]}, {images: [registry.example/team/app], require: [{anyOf: [{signature: {by: release}}]}]}]\n", []string{"both"}},
		"the policy denies all":          {"rules: [{images: [\"**\"], deny: true, reason: frozen}]\n", teamRule, nil},
		"the policy denies the image":    {twoRules, teamRule, nil},
		"the policy denies more closely": {"rules: [{images: [registry.example/team/app], deny: true, reason: frozen}]\n", strings.Replace(teamRule, "team/app", "team/**", 1), nil},
		"the team denies":                {rootRule, "rules: [{images: [registry.example/team/**], deny: true, reason: retired}]\n", nil},
		"the policy's closer rule":       {"rules: [{images: [registry.example/team/app], require: [{signature: {by: release}}]}]\n", strings.Replace(teamRule, "team/app", "team/**", 1), []string{"both"}},
		"separate duties of the policy":  {strings.Replace(rootRule, "require", "separateDuties: true, require", 1), teamRule, []string{"both"}},
		"the policy expired":             {"expires: 2026-11-01T00:00:00Z\n" + rootRule, teamRule, nil},
	} {
		w := newTeamWorld(t)
		w.files["policy.yaml"], w.files["apps/policy.yaml"] = rootRelease+c.root, teamRelease+c.team
		w.wants(label, c.enough...)
	}
}

func TestAttack_T25_DeniedDigestsAreDeniedToTeams(t *testing.T) {
	w := newTeamWorld(t)
	image := w.push()
	w.sign(image, sign.ImageOptions{}, w.root)
	w.sign(image, sign.ImageOptions{}, w.team)
	w.files["policy.yaml"] += "denyDigests: [{digest: \"" + image.DigestStr() + "\", reason: withdrawn}]\n"
	res, err := w.verifier().Image(context.Background(), w.store, image)
	isDenied(t, res, err, verify.ReasonDeniedDigest)
}

// A team that has the policy's key could keep it from being revoked.
func TestAttack_T25_RevokedKeysAreRevokedForTeams(t *testing.T) {
	w := newTeamWorld(t)
	w.files["policy.yaml"] = rootRelease + baseRule
	w.wants("before", "team", "both")
	w.files["stolen.pub"] = w.files["apps/ci.pub"]
	text := strings.Replace(w.files["policy.yaml"], "keys: {", "keys: {stolen: {file: stolen.pub, revoked: 2026-11-01T00:00:00Z}, ", 1)
	w.files["policy.yaml"] = text
	w.wants("revoked")
	_, err := w.judge(w.team)
	if d := isDenied(t, nil, err, verify.ReasonNoTrustedSignature); len(d.Evidence) != 1 || d.Evidence[0].Detail != "the key stolen is revoked" {
		t.Errorf("%v", d)
	}
	w.files["policy.yaml"] = strings.Replace(text, ", revoked: 2026-11-01T00:00:00Z", "", 1)
	if _, err := w.load(); err == nil || !strings.Contains(err.Error(), "is the same key as stolen") {
		t.Errorf("a key of both: %v", err)
	}
}

func TestAttack_T25_AWarningOfThePolicyIsNoneOfTheTeam(t *testing.T) {
	w := newTeamWorld(t)
	w.files["policy.yaml"] = strings.Replace(rootRelease+rootRule, "require", "mode: warn, require", 1)
	w.wants("the policy warns", "team", "both")
	res, err := w.judge(w.team)
	if err != nil || res.Warning == nil || len(res.Warning.Unmet) != 1 || res.Warning.Unmet[0].Requirement != "rules[0].require[0]" {
		t.Errorf("%+v, %v", res, err)
	}
	res, err = w.judge(w.root, w.team)
	if err != nil || res.Warning != nil {
		t.Errorf("%+v, %v", res, err)
	}
	_, err = w.judge()
	if d := isDenied(t, nil, err, verify.ReasonNoSignature); len(d.Unmet) != 2 || d.Unmet[0].Requirement != "teams.apps.rules[0].require[0]" {
		t.Errorf("%+v", d)
	}
}

// An exemption of the policy holds for an image that a key of the policy has signed. A
// team's key is not enough.
func TestAttack_T25_NoTeamMakesAnExemptionHold(t *testing.T) {
	const exemption = "exemptions: [{images: [\"**\"], digests: [\"%s\"], requirement: released, reason: r, by: b, until: 2026-12-01T00:00:00Z}]\n"
	const shared = "requirements: {released: {signature: {by: release}}}\n"
	w := newTeamWorld(t)
	for label, c := range map[string]struct {
		root, team string
		by         []person
		ok         bool
	}{
		"the policy's own rule excuses":       {"{use: released}, {attestation: {type: spdx, by: release}}", "", []person{w.root}, true},
		"the policy's and the team's are met": {"{use: released}, {attestation: {type: spdx, by: release}}", teamRelease + teamRule, []person{w.root, w.team}, true},
		"the team's is not met":               {"{use: released}, {attestation: {type: spdx, by: release}}", teamRelease + teamRule, []person{w.root}, false},
		"the team's key alone":                {"{use: released}, {attestation: {type: spdx, by: release}}", teamRelease + teamRule, []person{w.team}, false},
		"the team's key, the policy's any":    {"{use: released}, {anyOf: [{config: {noSecrets: true}}, {attestation: {type: spdx, by: release}}]}", teamRelease + teamRule, []person{w.team}, false},
	} {
		image := w.push()
		for _, p := range c.by {
			state(t, w.world, image, says{predicate.TypeSPDX, spdx}, p)
			if p.key.ID() == w.team.key.ID() {
				w.sign(image, sign.ImageOptions{}, p)
			}
		}
		w.files["policy.yaml"] = rootRelease + shared + "rules: [{images: [registry.example/**], require: [" + c.root + "]}]\n" + fmt.Sprintf(exemption, image.DigestStr())
		w.files["apps/policy.yaml"] = c.team
		if c.team == "" {
			w.files["apps/policy.yaml"] = teamRelease + strings.Replace(teamRule, "team/app", "team/other", 1)
		}
		res, err := w.verifier().Image(context.Background(), w.store, image)
		if (err == nil) != c.ok || c.ok && len(res.Exemptions) != 1 {
			t.Errorf("%s: %+v, %v", label, res, err)
		}
	}
}

func TestTeams_UseRolesThatThePolicyShares(t *testing.T) {
	w := newTeamWorld(t)
	w.files["policy.yaml"] = strings.Replace(rootRelease, "images: [registry.example/team/**]", "images: [registry.example/team/**], mayUse: [release]", 1) + baseRule
	w.files["apps/policy.yaml"] = "version: 1\n" + teamRule
	w.wants("a shared role", "root", "both")
	w.files["policy.yaml"] = rootRelease + baseRule
	if _, err := w.load(); err == nil || !strings.Contains(err.Error(), `names the role "apps/release"`) {
		t.Errorf("a role that is not shared: %v", err)
	}
}

func TestTeams_ExplainAndDenyNameTheTeam(t *testing.T) {
	w := newTeamWorld(t)
	e := w.verifier().Explain(w.repo)
	if e.Team != "apps" || e.Rule != "registry.example/team/app" || len(e.Requirements) != 2 || e.Requirements[1].Requirement != "teams.apps.rules[0].require[0]" ||
		!strings.Contains(e.Requirements[1].Text, "apps/release") {
		t.Errorf("%+v", e)
	}
	w.files["policy.yaml"] = strings.Replace(rootRelease+rootRule, "require", "mode: warn, require", 1)
	e = w.verifier().Explain(w.repo)
	if e.Mode != policy.ModeEnforce || len(e.Requirements[0].Conditions) != 0 || fmt.Sprint(e.Requirements[1].Conditions) != "[not enforced: the policy's own rule only warns]" {
		t.Errorf("%+v", e)
	}
	w.files["apps/policy.yaml"] = "version: 1\nrules: [{images: [registry.example/team/app], deny: true, reason: retired}]\n"
	_, err := w.judge(w.root)
	if d := isDenied(t, nil, err, verify.ReasonDeniedByRule); !strings.Contains(d.Detail, "the rule of the team apps for registry.example/team/app denies: retired") {
		t.Errorf("%v", d)
	}
}

// Policies with the same teams have one digest, and others another.
func TestTeams_AreInTheDigest(t *testing.T) {
	digests := make(map[string]string)
	w := newTeamWorld(t)
	good := maps.Clone(w.files)
	for label, change := range map[string]func(){
		"same":       func() {},
		"other rule": func() { w.files["apps/policy.yaml"] = teamRelease + strings.Replace(teamRule, "team/app", "team/x", 1) },
		"other key":  func() { w.files["apps/ci.pub"] = pemOf(t, newPerson(t)) },
		"other name": func() { w.files["policy.yaml"] = strings.Replace(good["policy.yaml"], "{apps:", "{apples:", 1) },
		"no team": func() {
			w.files["policy.yaml"] = "version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\n" + rootRule
		},
	} {
		w.files = maps.Clone(good)
		change()
		digest := w.verifier().PolicyDigest()
		if other, twice := digests[digest]; twice {
			t.Errorf("%s and %s have one digest", label, other)
		}
		digests[digest] = label
		if again := w.verifier().PolicyDigest(); again != digest {
			t.Errorf("%s: two digests", label)
		}
	}
}
