package policy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const (
	teamsHead = "version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\n"
	teamsRule = "rules: [{images: [registry.example/**], require: [{signature: {by: release}}]}]\n"
	teamsText = teamsHead + "teams:\n  apps: {file: apps/policy.yaml, images: [registry.example/apps/**]}\n" + teamsRule
	appsText  = "version: 1\nkeys: {ci: {file: ci.pub}}\nroles: {ci: {keys: [ci]}}\nrules:\n  - images: [registry.example/apps/**]\n    require: [{signature: {by: ci}}]\n"
)

// teamFiles are the files of a policy with the team "apps".
func teamFiles(t testing.TB) map[string]string {
	return map[string]string{"policy.yaml": teamsText, "release.pub": newPEM(t), "apps/policy.yaml": appsText, "apps/ci.pub": newPEM(t)}
}

// placed writes files into a directory, and returns the path of the policy.
func placed(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "policy.yaml")
}

func checkedTeams(t testing.TB, files map[string]string) (*policy.Checked, error) {
	t.Helper()
	p, err := policy.Load(placed(t, t.TempDir(), files), policy.ParseOptions{})
	if err != nil {
		return nil, err
	}
	return p.Check(nil)
}

func ruleFor(t testing.TB, c *policy.Checked, repository string) (policy.Rule, policy.Origin, bool) {
	t.Helper()
	repo, err := name.NewRepository(repository)
	if err != nil {
		t.Fatal(err)
	}
	i, _, ok := c.RuleFor(repo)
	if !ok {
		return policy.Rule{}, policy.Origin{}, false
	}
	return c.Policy.Rules[i], c.Origin(i), true
}

func TestAttack_T25_WhatATeamMustNotSayIsRefused(t *testing.T) {
	with := func(more string) string { return appsText + more }
	files := teamFiles(t)
	secret := newPEM(t)
	for label, c := range map[string]struct {
		name, text, want string
	}{
		"a rule for others' images":      {"apps/policy.yaml", strings.Replace(appsText, "registry.example/apps/**", "registry.example/web/**", 1), `line 5, column 14: rules[0].images[0] is "registry.example/web/**", and the policy gives the team ["registry.example/apps/**"]`},
		"a rule for all images":          {"apps/policy.yaml", strings.Replace(appsText, "registry.example/apps/**", `"**"`, 1), "the policy gives the team"},
		"a rule for a whole registry":    {"apps/policy.yaml", strings.Replace(appsText, "registry.example/apps/**", "registry.example/**", 1), "the policy gives the team"},
		"a rule across teams":            {"apps/policy.yaml", strings.Replace(appsText, "registry.example/apps/**", "registry.example/*/app", 1), "the policy gives the team"},
		"a rule that begins alike":       {"apps/policy.yaml", strings.Replace(appsText, "registry.example/apps/**", "registry.example/apps-x/a", 1), "the policy gives the team"},
		"a rule for another registry":    {"apps/policy.yaml", strings.Replace(appsText, "registry.example/apps/**", "registry.example:444/apps/a", 1), "the policy gives the team"},
		"one of two patterns":            {"apps/policy.yaml", strings.Replace(appsText, "[registry.example/apps/**]", "[registry.example/apps/a, registry.example/b]", 1), "rules[0].images[1]"},
		"a warning":                      {"apps/policy.yaml", strings.Replace(appsText, "    require", "    mode: warn\n    require", 1), "mode is not for a team's file"},
		"evidence elsewhere":             {"apps/policy.yaml", strings.Replace(appsText, "    require", "    evidenceRepository: registry.example/apps/evidence\n    require", 1), "evidenceRepository is not for a team's file"},
		"clocks":                         {"apps/policy.yaml", with("timestamps: {t: {authority: x}}\n"), "timestamps is not for a team's file"},
		"levels":                         {"apps/policy.yaml", with("builders: {https://ci.example/b: 3}\n"), "builders is not for a team's file"},
		"denied digests":                 {"apps/policy.yaml", with("denyDigests: [{digest: \"sha256:" + strings.Repeat("0", 64) + "\", reason: x}]\n"), "denyDigests is not for a team's file"},
		"files":                          {"apps/policy.yaml", with("files: [{signature: {by: ci}}]\n"), "files is not for a team's file"},
		"limits":                         {"apps/policy.yaml", with("limits: {maxItems: 1}\n"), "limits is not for a team's file"},
		"skew":                           {"apps/policy.yaml", with("clockSkew: 24h\n"), "clockSkew is not for a team's file"},
		"an end":                         {"apps/policy.yaml", with("expires: 2030-01-01T00:00:00Z\n"), "expires is not for a team's file"},
		"teams of its own":               {"apps/policy.yaml", with("teams: {x: {file: x.yaml, images: [registry.example/x/*]}}\n"), "teams is not for a team's file"},
		"no teams of its own":            {"apps/policy.yaml", with("teams: {}\n"), "teams is not for a team's file"},
		"a key of the policy":            {"apps/policy.yaml", strings.Replace(appsText, "keys: [ci]", "keys: [release]", 1), `roles.ci.keys[0] names the key "apps/release", which is not among keys`},
		"a role of the policy":           {"apps/policy.yaml", strings.Replace(appsText, "by: ci", "by: release", 1), `names the role "apps/release", which is not among roles`},
		"a role of the policy, by path":  {"apps/policy.yaml", strings.Replace(appsText, "by: ci", "by: ../release", 1), "which is not among roles"},
		"the policy's key":               {"apps/ci.pub", files["release.pub"], "line 2, column 8: keys.ci is the same key as release"},
		"another version":                {"apps/policy.yaml", strings.Replace(appsText, "version: 1", "version: 2", 1), "version is 2"},
		"no version":                     {"apps/policy.yaml", strings.Replace(appsText, "version: 1\n", "", 1), "version is 0"},
		"a serial below one":             {"apps/policy.yaml", with("serial: -1\n"), "serial is -1, want 1 or more"},
		"no rules":                       {"apps/policy.yaml", "version: 1\nrules: []\n", "rules is empty"},
		"half a file":                    {"apps/policy.yaml", appsText[:60], "apps/policy.yaml: line "},
		"an empty file":                  {"apps/policy.yaml", "", "apps/policy.yaml: it is empty"},
		"an unknown field":               {"apps/policy.yaml", with("rool: x\n"), "apps/policy.yaml: line 7, column 1"},
		"two documents":                  {"apps/policy.yaml", with("---\nversion: 1\n"), "a second document"},
		"a field twice":                  {"apps/policy.yaml", with("version: 1\n"), "apps/policy.yaml: line "},
		"a key above the team's file":    {"apps/policy.yaml", strings.Replace(appsText, "ci.pub", "../release.pub", 1), "in the directory of the team's file, or below"},
		"a key by an absolute path":      {"apps/policy.yaml", strings.Replace(appsText, "ci.pub", "/etc/passwd", 1), "in the directory of the team's file, or below"},
		"a threshold without its keys":   {"apps/policy.yaml", strings.Replace(appsText, "keys: [ci]}", "keys: [ci], threshold: 2}", 1), "has threshold 2 with 1 distinct keys"},
		"two rules that are as specific": {"apps/policy.yaml", with("  - images: [registry.example/apps/**]\n    require: [{signature: {by: ci}}]\n"), "rules[1].images is ambiguous with teams.apps.rules[0]"},
		"a lower threshold than none":    {"apps/policy.yaml", strings.Replace(appsText, "keys: [ci]}", "keys: [ci], threshold: -1}", 1), "threshold -1"},
		"no role":                        {"apps/policy.yaml", strings.Replace(appsText, "{by: ci}", "{by: ''}", 1), "needs by"},
		"an unused team":                 {"policy.yaml", strings.Replace(teamsText, "apps/policy.yaml", "apps/none.yaml", 1), `line 5, column 10: teams.apps.file names the file "apps/none.yaml"`},
		"a team's file above":            {"policy.yaml", strings.Replace(teamsText, "apps/policy.yaml", "../policy.yaml", 1), "want a file in the policy's directory, or below"},
		"an absolute team's file":        {"policy.yaml", strings.Replace(teamsText, "apps/policy.yaml", "/apps/policy.yaml", 1), "want a file in the policy's directory, or below"},
		"the policy itself":              {"policy.yaml", strings.Replace(teamsText, "apps/policy.yaml", "policy.yaml", 1), "teams is not for a team's file"},
		"no images":                      {"policy.yaml", strings.Replace(teamsText, "[registry.example/apps/**]", "[]", 1), "needs images"},
		"a pattern of no registry":       {"policy.yaml", strings.Replace(teamsText, "[registry.example/apps/**]", "[apps/**]", 1), "teams.apps.images[0]"},
		"a team's name with a path":      {"policy.yaml", strings.Replace(teamsText, "apps: {", "a/b: {", 1), "has the name"},
		"a team's name with a dot":       {"policy.yaml", strings.Replace(teamsText, "apps: {", "a.b: {", 1), "has the name"},
		"a team's name in upper case":    {"policy.yaml", strings.Replace(teamsText, "apps: {", "Apps: {", 1), "has the name"},
		"a team twice":                   {"policy.yaml", strings.Replace(teamsText, "rules:", "  apps: {file: x.yaml, images: [registry.example/x/*]}\nrules:", 1), "line 6"},
		"two teams with one file":        {"policy.yaml", strings.Replace(teamsText, "rules:", "  web: {file: ./apps/policy.yaml, images: [registry.example/web/*]}\nrules:", 1), "is the file of the team apps as well"},
		"a team within another":          {"policy.yaml", strings.Replace(teamsText, "rules:", "  web: {file: web.yaml, images: [registry.example/apps/web/*]}\nrules:", 1), "both match one repository"},
		"a team around another":          {"policy.yaml", strings.Replace(teamsText, "rules:", "  web: {file: web.yaml, images: [\"**\"]}\nrules:", 1), "both match one repository"},
		"teams that cross":               {"policy.yaml", strings.Replace(teamsText, "rules:", "  web: {file: web.yaml, images: [registry.example/*/web]}\nrules:", 1), "both match one repository"},
		"teams with one pattern":         {"policy.yaml", strings.Replace(teamsText, "rules:", "  web: {file: web.yaml, images: [registry.example/apps/**]}\nrules:", 1), "both match one repository"},
		"a role that is none":            {"policy.yaml", strings.Replace(teamsText, "]}\nrules", "], mayUse: [none]}\nrules", 1), `mayUse[0] names the role "none"`},
		"a role twice":                   {"policy.yaml", strings.Replace(teamsText, "]}\nrules", "], mayUse: [release, release]}\nrules", 1), "a second time"},
		"a name of the team":             {"policy.yaml", strings.Replace(teamsText, "roles: {release", "roles: {apps/ci: {keys: [release]}, release", 1), "would be one of the team apps"},
		"a key's name of the team":       {"policy.yaml", strings.Replace(teamsText, "keys: {release:", "keys: {apps/ci:", 1), "would be one of the team apps"},
		"separate duties with one key":   {"apps/policy.yaml", strings.Replace(appsText, "    require: [", "    separateDuties: true\n    require: [{signature: {by: same}}, ", 1) + "# ", ""},
	} {
		changed := teamFiles(t)
		changed["release.pub"], changed["web.yaml"], changed["web.pub"] = files["release.pub"], strings.NewReplacer("apps/**", "apps/web/a", "ci.pub", "web.pub").Replace(appsText), secret
		changed[c.name] = c.text
		if label == "separate duties with one key" {
			changed["apps/policy.yaml"] = strings.Replace(c.text, "roles: {ci: {keys: [ci]}}", "roles: {ci: {keys: [ci]}, same: {keys: [ci]}}", 1)
			c.want = "separateDuties is violated"
		}
		_, err := checkedTeams(t, changed)
		if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", label, err, c.want)
		}
	}
}

// exemptApps is the file of a team with an exemption.
const exemptApps = "version: 1\nkeys: {ci: {file: ci.pub}}\nroles: {ci: {keys: [ci]}}\nrequirements: {signed: {signature: {by: ci}}}\nrules:\n  - images: [registry.example/apps/**]\n    require: [{use: signed}, {attestation: {type: spdx, by: ci}}]\n" +
	"exemptions:\n  - {images: [registry.example/apps/a], digests: [\"" + exemptDigest + "\"], requirement: signed, reason: r, by: b, until: 2026-12-05T00:00:00Z}\n"

func TestAttack_T25_ExemptionsOfTeamsNeedThePolicysWord(t *testing.T) {
	may := strings.Replace(teamsText, "]}\nrules", "], mayExempt: true}\nrules", 1)
	for label, c := range map[string]struct{ root, team, want string }{
		"no word":                   {teamsText, exemptApps, "line 8, column 1: exemptions needs mayExempt: true"},
		"the word":                  {may, exemptApps, ""},
		"others' images":            {may, strings.Replace(exemptApps, "images: [registry.example/apps/a]", "images: [\"**\"]", 1), "exemptions[0].images[0] is \"**\", and the policy gives the team"},
		"a requirement of policy":   {strings.Replace(may, "rules:", "requirements: {base: {signature: {by: release}}}\nrules:", 1), strings.Replace(exemptApps, "requirement: signed", "requirement: base", 1), "names the requirement \"apps/base\", which is not among requirements"},
		"the policy's, by its path": {may, strings.Replace(exemptApps, "requirement: signed", "requirement: \"rules[0].require[0]\"", 1), "which is not among requirements"},
		"no digests":                {may, strings.Replace(exemptApps, "digests: [\""+exemptDigest+"\"], ", "", 1), "apps/policy.yaml: line 9"},
	} {
		files := teamFiles(t)
		files["policy.yaml"], files["apps/policy.yaml"] = c.root, c.team
		checked, err := checkedTeams(t, files)
		if c.want != "" {
			if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", label, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := checked.ExemptionsOf("teams.apps.rules[0].require[0]"); len(got) != 1 || len(checked.ExemptionsOf("rules[0].require[0]")) != 0 {
			t.Errorf("%s: %v", label, got)
		}
		found, err := policy.Lint(placed(t, t.TempDir(), files), policy.ParseOptions{}, time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
		if err != nil || len(found) != 1 || found[0].Kind != policy.FindingEndsSoon || found[0].Path != "teams.apps.exemptions[0]" || found[0].File != "apps/policy.yaml" || found[0].Line != 9 {
			t.Errorf("%+v, %v", found, err)
		}
		p, err := policy.Load(placed(t, t.TempDir(), files), policy.ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckExemptions(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "teams.apps.exemptions[0].until") {
			t.Errorf("%v", err)
		}
	}
}

func TestTeams_ShadowNoSharedRole(t *testing.T) {
	files := teamFiles(t)
	files["policy.yaml"] = strings.Replace(teamsText, "]}\nrules", "], mayUse: [release]}\nrules", 1)
	files["apps/policy.yaml"] = strings.Replace(appsText, "roles: {ci:", "roles: {release:", 1)
	if _, err := checkedTeams(t, files); err == nil || !strings.Contains(err.Error(), "apps/policy.yaml: line 3, column 9: roles.release has the name of a role that the policy lets the team use") {
		t.Errorf("%v", err)
	}
}

func TestTeams_RulesOfBothDecide(t *testing.T) {
	files := teamFiles(t)
	files["policy.yaml"] = strings.Replace(teamsText, teamsRule, `requirements: {signed: {signature: {by: release}}}
rules:
  - {images: ["**"], require: [{config: {nonRoot: true}}]}
  - {images: [registry.example/**], require: [{use: signed}], evidenceRepository: registry.example/evidence}
  - {images: [registry.example/apps/a/**], separateDuties: true, require: [{use: signed}, {config: {nonRoot: true}}]}
  - {images: [registry.example/apps/b/*], mode: warn, require: [{use: signed}]}
  - {images: [registry.example/apps/frozen], deny: true, reason: frozen}
  - {images: [registry.example/apps/a/deep], require: [{use: signed}]}
`, 1)
	files["apps/policy.yaml"] = strings.Replace(appsText, "require: [{signature: {by: ci}}]", "require: [{use: signed}]", 1) +
		"  - {images: [registry.example/apps/retired], deny: true, reason: retired}\nrequirements: {signed: {anyOf: [{signature: {by: ci}}, {allOf: [{signature: {by: ci}}]}]}}\n"
	c, err := checkedTeams(t, files)
	if err != nil {
		t.Fatal(err)
	}
	own := func(rule int, n int) string { return fmt.Sprintf("rules[%d].require[%d]", rule, n) }
	const team = "teams.apps.rules[0].require[0]"
	for repository, want := range map[string]string{
		"registry.example/web/x":         own(1, 0),
		"other.example/x/y":              own(0, 0),
		"registry.example/apps/x":        own(1, 0) + " " + team,
		"registry.example/apps/a/x":      own(2, 0) + " " + own(2, 1) + " " + team,
		"registry.example/apps/b/deep":   team + " " + own(3, 0),
		"registry.example/apps/a/deep":   own(5, 0) + " " + team,
		"registry.example/apps/frozen":   "",
		"registry.example/apps/retired":  "",
		"registry.example/apps/frozen/x": own(1, 0) + " " + team,
	} {
		r, o, ok := ruleFor(t, c, repository)
		if !ok || strings.Join(o.Requirements, " ") != want || len(r.Require) != len(o.Requirements) {
			t.Errorf("%s: %v, want %s", repository, o, want)
		}
	}
	if r, o, _ := ruleFor(t, c, "registry.example/apps/x"); r.EvidenceRepository != "registry.example/evidence" || o.Team != "apps" || o.Rule != "teams.apps.rules[0]" {
		t.Errorf("%+v %+v", r, o)
	}
	if r, _, _ := ruleFor(t, c, "registry.example/apps/a/x"); !r.SeparateDuties {
		t.Errorf("%+v", r)
	}
	if r, o, _ := ruleFor(t, c, "registry.example/apps/b/deep"); r.Mode != policy.ModeWarn || o.Enforced != 1 {
		t.Errorf("%+v %+v", r, o)
	}
	if r, o, _ := ruleFor(t, c, "registry.example/apps/retired"); !r.Deny || o.Team != "apps" {
		t.Errorf("%+v %+v", r, o)
	}
	if r, o, _ := ruleFor(t, c, "registry.example/apps/frozen"); !r.Deny || o.Team != "" || r.Reason != "frozen" {
		t.Errorf("%+v %+v", r, o)
	}
}

// Too many requirements in one rule are refused, whichever files they are in.
func TestTeams_AreBounded(t *testing.T) {
	files := teamFiles(t)
	many := strings.TrimSuffix(strings.Repeat("{signature: {by: release}}, ", 600), ", ")
	files["policy.yaml"] = strings.Replace(teamsText, "{signature: {by: release}}", many, 1)
	files["apps/policy.yaml"] = strings.Replace(appsText, "{signature: {by: ci}}", strings.ReplaceAll(many, "release", "ci"), 1)
	if _, err := checkedTeams(t, files); err == nil || !strings.Contains(err.Error(), "has more than 1000 requirements, with those of rules[0]") {
		t.Errorf("%v", err)
	}
	var all strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&all, "  t%d: {file: apps/policy.yaml, images: [registry.example/t%d/*]}\n", i, i)
	}
	files = teamFiles(t)
	files["policy.yaml"] = strings.Replace(teamsText, "rules:", all.String()+"rules:", 1)
	if _, err := checkedTeams(t, files); err == nil {
		t.Error("a thousand teams are accepted")
	}
}

// crossing are a policy and its team with n rules each. Each may decide about one image
// with each of the other.
func crossing(t *testing.T, n int, require policy.Requirement) error {
	t.Helper()
	one := func(pattern string) *policy.Policy {
		p := &policy.Policy{
			Version: 1, Keys: map[string]policy.Key{"k": {Public: newKey(t)}}, Roles: map[string]policy.Role{"r": {Keys: []string{"k"}}},
			Requirements: map[string]policy.Requirement{"shared": require},
		}
		for i := range n {
			p.Rules = append(p.Rules, policy.Rule{Images: []string{fmt.Sprintf(pattern, i)}, Require: []policy.Requirement{{Use: "shared"}}})
		}
		return p
	}
	p := one("registry.example/apps/*/a%d")
	p.Teams = map[string]policy.Team{"apps": {File: "apps.yaml", Images: []string{"registry.example/apps/**"}, Policy: one("registry.example/apps/b%d/*")}}
	_, err := p.Check(nil)
	return err
}

// Rules that cross multiply: small files must not become gigabytes of them.
func TestAttack_T25_RulesThatCrossAreBounded(t *testing.T) {
	race.Skip(t, "one goroutine checks a policy")
	signed := policy.Requirement{Signature: &policy.SignatureRequirement{By: "r"}}
	many := policy.Requirement{AllOf: slices.Repeat([]policy.Requirement{signed}, 500)}
	if err := crossing(t, 10, many); err != nil {
		t.Error(err)
	}
	if err := crossing(t, 18, many); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "more than 300000 requirements of all rules") {
		t.Error(err)
	}
	if err := crossing(t, 317, signed); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "more than 100000 rules together") {
		t.Error(err)
	}
}

func TestAttack_T25_FilesOfTeamsAreBoundedTogether(t *testing.T) {
	read := func(name string, _ int64) ([]byte, error) {
		if name == "release.pub" {
			return []byte(newPEM(t)), nil
		}
		return make([]byte, 64<<20+1), nil
	}
	_, err := policy.Parse([]byte(teamsText), policy.ParseOptions{ReadFile: read})
	if !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "teams have files of more than 67108864 bytes together") {
		t.Error(err)
	}
}

// A team that can write its directory must not have other files read.
func TestAttack_T25_LinksOfTeamsLeadNowhereElse(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege")
	}
	for label, c := range map[string]struct {
		link, to string
		ok       bool
	}{
		"the team's file, elsewhere":   {"apps/policy.yaml", "", false},
		"its key, elsewhere":           {"apps/ci.pub", "", false},
		"the team's file, a directory": {"apps", "", false},
		"within the directory":         {"apps/policy.yaml", "kept/policy.yaml", true},
		"within, by a way up":          {"apps/ci.pub", "../release2.pub", true},
		"out and in again":             {"apps/ci.pub", "../../x/release2.pub", false},
	} {
		files := teamFiles(t)
		outside := t.TempDir()
		files["apps/kept/policy.yaml"], files["release2.pub"] = files["apps/policy.yaml"], files["apps/ci.pub"]
		placed(t, outside, files)
		path := placed(t, t.TempDir(), files)
		link, to := filepath.Join(filepath.Dir(path), c.link), c.to
		if to == "" {
			to = filepath.Join(outside, c.link)
		}
		if err := errors.Join(os.RemoveAll(link), os.Symlink(to, link)); err != nil {
			t.Fatal(err)
		}
		_, err := policy.Load(path, policy.ParseOptions{})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", label, err)
		}
		if s, err := policy.NewFileSource(path, policy.FileSourceOptions{}); (err == nil) != c.ok {
			t.Errorf("%s: %v, %v", label, s, err)
		}
	}
}

// teamSource is a source of files that change.
type teamSource struct {
	*policy.FileSource
	t     *testing.T
	dir   string
	files map[string]string
	now   time.Time
}

func newTeamSource(t *testing.T) *teamSource {
	s := &teamSource{t: t, dir: t.TempDir(), files: teamFiles(t), now: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)}
	var err error
	if s.FileSource, err = policy.NewFileSource(placed(t, s.dir, s.files), policy.FileSourceOptions{Now: func() time.Time { return s.now }}); err != nil {
		t.Fatal(err)
	}
	return s
}

// after changes files, and returns the policy that is then in use.
func (s *teamSource) after(files map[string]string) *policy.Checked {
	s.t.Helper()
	placed(s.t, s.dir, files)
	s.now = s.now.Add(time.Minute)
	c, err := s.Policy(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestTeams_ChangesOfAnyFileAreNoticed(t *testing.T) {
	s := newTeamSource(t)
	before := s.after(nil)
	if again := s.after(nil); again != before {
		t.Error("nothing has changed, and there is another policy")
	}
	for _, change := range []map[string]string{
		{"apps/ci.pub": newPEM(t)},
		{"apps/policy.yaml": strings.Replace(appsText, "apps/**", "apps/a", 1)},
		{"policy.yaml": strings.Replace(teamsText, "images: [registry.example/**]", "images: [registry.example/a]", 1)},
		{"apps/policy.yaml": appsText},
	} {
		after := s.after(change)
		if after == before || after.Digest == before.Digest || s.Err() != nil {
			t.Errorf("%v: not noticed: %v", change, s.Err())
		}
		before = after
	}
}

func TestAttack_T25_ABrokenTeamKeepsTheLastGoodOfAll(t *testing.T) {
	s := newTeamSource(t)
	good := s.after(nil)
	for label, change := range map[string]map[string]string{
		"half a file":  {"apps/policy.yaml": appsText[:70]},
		"a bad key":    {"apps/ci.pub": "x"},
		"others' rule": {"apps/policy.yaml": strings.Replace(appsText, "apps/**", "web/**", 1)},
	} {
		change["policy.yaml"] = strings.Replace(teamsText, "images: [registry.example/**]", "images: [\"**\"]", 1) // good, and new
		if after := s.after(change); after != good || s.Err() == nil || !errors.Is(s.Err(), policy.ErrInvalid) {
			t.Errorf("%s: %v", label, s.Err())
		}
		if after := s.after(s.files); after != good || s.Err() != nil {
			if after.Digest != good.Digest || s.Err() != nil {
				t.Errorf("%s, mended: %v", label, s.Err())
			}
			good = after
		}
	}
	if err := os.Remove(filepath.Join(s.dir, "apps/policy.yaml")); err != nil {
		t.Fatal(err)
	}
	if after := s.after(nil); after != good || s.Err() == nil {
		t.Errorf("a file that is gone: %v", s.Err())
	}
}

func TestAttack_T6_OlderFilesOfTeamsAreRefused(t *testing.T) {
	s := newTeamSource(t)
	s.after(map[string]string{"apps/policy.yaml": "serial: 7\n" + appsText})
	good := s.after(nil)
	for label, change := range map[string]map[string]string{
		"a lower serial": {"apps/policy.yaml": "serial: 6\n" + strings.Replace(appsText, "apps/**", "apps/x", 1)},
		"no serial":      {"apps/policy.yaml": strings.Replace(appsText, "apps/**", "apps/x", 1)},
	} {
		if after := s.after(change); after != good || s.Err() == nil || !strings.Contains(s.Err().Error(), "lower than 7") {
			t.Errorf("%s: %v", label, s.Err())
		}
	}
	s.after(map[string]string{"policy.yaml": teamsHead + teamsRule}) // without the team
	if after := s.after(map[string]string{"policy.yaml": teamsText}); s.Err() == nil || len(after.Policy.Teams) != 0 {
		t.Errorf("a team that came back: %v", s.Err())
	}
	if after := s.after(map[string]string{"apps/policy.yaml": "serial: 8\n" + appsText}); s.Err() != nil || after == good {
		t.Errorf("a higher serial: %v", s.Err())
	}
}

func TestTeams_LintNamesTheFile(t *testing.T) {
	files := teamFiles(t)
	files["apps/old.pub"] = newPEM(t)
	files["apps/policy.yaml"] = strings.Replace(appsText, "keys: {ci", "keys: {old: {file: old.pub, notAfter: 2026-01-01T00:00:00Z}, ci", 1) +
		"  - images: [registry.example/apps/a/*]\n    require: [{signature: {by: ci}}]\n  - images: [registry.example/apps/a/**]\n    require: [{signature: {by: ci}}]\n  - images: [registry.example/apps/a/*/**]\n    require: [{signature: {by: ci}}]\n"
	found, err := policy.Lint(placed(t, t.TempDir(), files), policy.ParseOptions{}, time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%s %s:%d %s", f.Kind, f.File, f.Line, f.Path))
	}
	want := "[ended apps/policy.yaml:2 teams.apps.keys.old unused apps/policy.yaml:2 teams.apps.keys.old unreached apps/policy.yaml:9 teams.apps.rules[2].images[0]]"
	if fmt.Sprint(got) != want {
		t.Errorf("%v\nwant %s", got, want)
	}
	p, err := policy.Load(placed(t, t.TempDir(), files), policy.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ends := p.Ends(); len(ends) != 1 || ends[0].Path != "teams.apps.keys.old" {
		t.Errorf("%v", ends)
	}
}

// A program can fill in a policy with teams, which stays as it is.
func TestTeams_OfPoliciesInGo(t *testing.T) {
	p, err := policy.Load(placed(t, t.TempDir(), teamFiles(t)), policy.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.Check(nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Check(nil)
	if err != nil || first.Digest != second.Digest || p.Teams["apps"].Policy.Rules[0].Require[0].Signature.By != "ci" || len(p.Rules) != 1 || len(p.Keys) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	team := p.Teams["apps"]
	team.Policy = nil
	p.Teams["apps"] = team
	if _, err := p.Check(nil); err == nil || !strings.Contains(err.Error(), "was not read") {
		t.Errorf("%v", err)
	}
	if _, err := policy.Parse([]byte(teamsText), policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("without files: %v", err)
	}
}

// changingAuthority does something while a policy is checked, after its files were read.
type changingAuthority struct {
	anyAuthority
	change func()
}

func (a changingAuthority) Matcher(s map[string]any) (policy.Matcher, error) {
	a.change()
	return a.anyAuthority.Matcher(s)
}

// A team's new file with the policy's old one was never written.
func TestAttack_T25_FilesOfTwoMomentsAreNotUsed(t *testing.T) {
	files := teamFiles(t)
	files["policy.yaml"] = strings.Replace(teamsText, "roles: {release: {keys: [release]}}", "identities: {ci: {authority: any, settings: {a: b}}}\nroles: {release: {keys: [release], identities: [ci], threshold: 1}}", 1)
	path := placed(t, t.TempDir(), files)
	calls, most := 0, 1
	linked := map[string]policy.Authority{"any": changingAuthority{change: func() {
		if calls++; calls <= most {
			placed(t, filepath.Dir(path), map[string]string{"apps/policy.yaml": fmt.Sprintf("serial: %d\n%s", calls, appsText)})
		}
	}}}
	p, err := policy.Load(path, policy.ParseOptions{Authorities: linked})
	if err != nil || p.Teams["apps"].Policy.Serial != 1 || calls != 2 {
		t.Errorf("after %d reads: %v", calls, err)
	}
	calls, most = 10, 100
	if _, err := policy.Load(path, policy.ParseOptions{Authorities: linked}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("files that change all the time: %v", err)
	}
	if _, err := policy.NewFileSource(path, policy.FileSourceOptions{Authorities: linked}); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("files that change all the time: %v", err)
	}
}

func TestAttack_T25_RevokedIdentitiesAreRevokedForTeams(t *testing.T) {
	files := teamFiles(t)
	const identity = "identities: {bot: {authority: any, settings: {a: b}%s}}\n"
	files["apps/policy.yaml"] = fmt.Sprintf(identity, "") + strings.Replace(appsText, "ci: {keys: [ci]}", "ci: {keys: [ci], identities: [bot], threshold: 1}", 1)
	for label, c := range map[string]struct{ more, want string }{
		"of both": {"", "apps/policy.yaml: line 1, column 14: identities.bot is the same identity as bot"},
		"revoked": {", revoked: 2026-11-01T00:00:00Z", ""},
	} {
		files["policy.yaml"] = fmt.Sprintf(identity, c.more) + teamsText
		p, err := policy.Load(placed(t, t.TempDir(), files), policy.ParseOptions{Authorities: map[string]policy.Authority{"any": anyAuthority{}}})
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", label, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		checked, err := p.Check(map[string]policy.Authority{"any": anyAuthority{}})
		if err != nil || fmt.Sprint(checked.Policy.Roles["apps/ci"].Identities) != "[bot]" || len(checked.Policy.Identities) != 1 || len(checked.Matchers) != 1 {
			t.Errorf("%s: %v", label, err)
		}
	}
}

// Everything can be denied at once, whatever teams say.
func TestTeams_AFreezeOfThePolicyHoldsForAll(t *testing.T) {
	files := teamFiles(t)
	files["policy.yaml"] = strings.Replace(teamsText, teamsRule, "rules: [{images: [\"**\"], deny: true, reason: frozen}]\n", 1)
	c, err := checkedTeams(t, files)
	if err != nil {
		t.Fatal(err)
	}
	for _, repository := range []string{"registry.example/apps/a", "registry.example/x", "other.example/y/z"} {
		if r, o, ok := ruleFor(t, c, repository); !ok || !r.Deny || r.Reason != "frozen" || o.Team != "" {
			t.Errorf("%s: %+v", repository, r)
		}
	}
	files["policy.yaml"] = strings.Replace(teamsText, teamsRule, "rules: []\n", 1)
	if _, err := checkedTeams(t, files); err == nil || !strings.Contains(err.Error(), "rules is empty") {
		t.Errorf("no rules of its own: %v", err)
	}
}
