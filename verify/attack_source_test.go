package verify_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/verify"
)

const goodSource = "git+https://git.example/team/app@refs/heads/main"

// What a build may name resembles the team's repositories.
func TestAttack_E16_SourcesBesideAPatternAreDenied(t *testing.T) {
	require := fromSource(`source: ["git+https://git.example/team/*"], ref: ["refs/heads/*"]`)
	for source, denied := range map[string]bool{
		goodSource: false,
		"git+https://git.example/team/app.git@refs/heads/x":              false,
		"git+https://git.example/team/app/sub@refs/heads/main":           true,
		"git+https://git.example/team/@refs/heads/main":                  true,
		"git+https://git.example/team@refs/heads/main":                   true,
		"git+https://git.example/team/../evil@refs/heads/main":           true,
		"git+https://git.example/team/..@refs/heads/main":                true,
		"git+https://git.example/team/%2e%2e@refs/heads/main":            true,
		"git+https://git.example/team/..%2fevil@refs/heads/main":         true,
		"git+https://git.example/team/app/@refs/heads/main":              true,
		"git+https://git.example/team//app@refs/heads/main":              true,
		"git+https://git.example/Team/app@refs/heads/main":               true,
		"git+https://git.example:443/team/app@refs/heads/main":           true,
		"git+https://jane@git.example/team/app@refs/heads/main":          true,
		"git+https://git.example@evil.example/team/app@refs/heads/main":  true,
		"git+http://git.example/team/app@refs/heads/main":                true,
		"git+https://git.example.evil/team/app@refs/heads/main":          true,
		"git+https://git.example/team/app?x@refs/heads/main":             true,
		"git+https://git.example/team/app#x@refs/heads/main":             true,
		"git+https://git.example/team/app@refs/heads/a/b":                true,
		"git+https://git.example/team/app@refs/pull/1/merge":             true,
		"git+https://git.example/team/app@refs/heads/x@refs/heads/main":  true,
		"git+https://git.example/team/app@refs/heads/..":                 true,
		"git+https://git.example/team/app@refs/heads/main:sub":           true,
		"git+https://git.example/team/app@main":                          true,
		"git+https://git.example/team/app":                               true,
		"git+https://git.example/team/app@refs/heads/%2e%2e/tags/v1":     true,
		"git+https://git.example/team/app@refs/heads/main?x=refs/heads/": true,
	} {
		res, err := required(t, require, provenanceBy(someBuilder, goodSource, source))
		if !denied {
			if err != nil {
				t.Errorf("%s: %v", source, err)
			}
			continue
		}
		if d, is := err.(*verify.Error); !is || res != nil || d.Reason != verify.ReasonSource {
			t.Errorf("%s: %v, %v", source, res, err)
		}
	}
}

func TestAttack_E16_BuildersBesideAPatternAreDenied(t *testing.T) {
	const require = `attestation: {type: slsaprovenance, by: builder, builder: ["https://git.example/team/*/.github/workflows/build.yml@refs/tags/*"]}`
	for builder, denied := range map[string]bool{
		"https://git.example/team/app/.github/workflows/build.yml@refs/tags/v1":        false,
		"https://git.example/team/app/.github/workflows/build.yml@refs/heads/main":     true,
		"https://git.example/team/a/b/.github/workflows/build.yml@refs/tags/v1":        true,
		"https://git.example/team/../.github/workflows/build.yml@refs/tags/v1":         true,
		"https://git.example/team/app/.github/workflows/evil.yml@refs/tags/v1":         true,
		"https://git.example/evil/app/.github/workflows/build.yml@refs/tags/v1":        true,
		"https://git.example/team/app/.github/workflows/build.yml@refs/tags/v1/x":      true,
		"https://git.example/team/app/.github/workflows/build.yml@a@refs/tags/v1":      true,
		"https://git.example/team/x?y=/.github/workflows/build.yml@refs/tags/v1":       true,
		"https://git.example/team/app/.github/workflows/build.yml":                     true,
		"http://git.example/team/app/.github/workflows/build.yml@refs/tags/v1":         true,
		"https://git.example/team/app%2f../.github/workflows/build.yml@refs/tags/v1":   true,
		"https://git.example/team/app/.github/workflows/build.yml@refs/tags/v1%2f..":   true,
		"https://git.example/team/app/.github/workflows/build.yml@refs/tags/../heads1": true,
	} {
		res, err := required(t, require, provenanceBy(builder))
		if d, is := err.(*verify.Error); denied != is || denied && (res != nil || d.Reason != verify.ReasonBuilder) {
			t.Errorf("%s: %v, %v", builder, res, err)
		}
	}
}

func TestDenial_ShowsWhatWasFoundAndWanted(t *testing.T) {
	many := make([]string, 0, 12)
	for c := 'a'; c < 'm'; c++ {
		many = append(many, "git+https://git.example/team/"+string(c))
	}
	for label, c := range map[string]struct {
		require string
		found   string
		wanted  []string
	}{
		"source":  {fromSource(`source: ["git+https://git.example/other/*"]`), "git+https://git.example/team/app", []string{"git+https://git.example/other/*"}},
		"ref":     {fromSource(`ref: ["refs/tags/*"]`), "refs/heads/main", []string{"refs/tags/*"}},
		"commit":  {fromSource(`commit: ["` + evilCommit + `"]`), someCommit, []string{evilCommit}},
		"builder": {"attestation: {type: slsaprovenance, by: builder, builder: [https://ci.example/b, https://ci.example/c]}", someBuilder, []string{"https://ci.example/b", "https://ci.example/c"}},
		"member":  {fromSource("where: [{pointer: /buildDefinition/externalParameters/n, equals: 2}]"), "1", []string{"2"}},
		"many":    {fromSource("source: [" + strings.Join(many, ", ") + "]"), "git+https://git.example/team/app", many[:10]},
	} {
		_, err := required(t, c.require, provenanceBy(someBuilder))
		denied, is := err.(*verify.Error)
		if !is || len(denied.Unmet) != 1 {
			t.Fatalf("%s: %v", label, err)
		}
		u := denied.Unmet[0]
		if u.Found != c.found || !slices.Equal(u.Wanted, c.wanted) || !strings.Contains(u.Detail, u.Found) || !strings.Contains(u.Detail, u.Wanted[0]) {
			t.Errorf("%s: %+v", label, u)
		}
		text, err := json.Marshal(denied)
		found, _ := json.Marshal(u.Found)
		if err != nil || !strings.Contains(string(text), `"found":`+string(found)+`,"wanted":["`) {
			t.Errorf("%s: %v\n%s", label, err, text)
		}
	}
	_, err := required(t, fromSource(`source: ["git+https://git.example/other/*"]`), provenanceBy(someBuilder, "team/app", "team/"+strings.Repeat("x", 9000)))
	if denied, is := err.(*verify.Error); !is || len(denied.Unmet[0].Found) > 250 {
		t.Errorf("a long source: %v", err)
	}
}

// A level is that of one builder, whatever patterns name it.
func TestMinLevel_OfABuilderThatAPatternNames(t *testing.T) {
	const require = `attestation: {type: slsaprovenance, by: builder, minLevel: 3, builder: ["https://ci.example/builders/*"]}` + "\nbuilders: {https://ci.example/builders/a: 3, https://ci.example/builders/b: 2}\n"
	for builder, reason := range map[string]verify.Reason{"a": "", "b": verify.ReasonBuilder, "c": verify.ReasonBuilder} {
		_, err := required(t, require, provenanceBy("https://ci.example/builders/"+builder))
		if d, is := err.(*verify.Error); is != (reason != "") || is && d.Reason != reason {
			t.Errorf("%s: %v", builder, err)
		}
	}
}
