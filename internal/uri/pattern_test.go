package uri_test

import (
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/uri"
)

func TestPatternsStandForWholeSegments(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"refs/tags/*", "refs/tags/v1", true},
		{"refs/tags/*", "refs/tags/", false},
		{"refs/tags/*", "refs/tags/v1/x", false},
		{"refs/tags/**", "refs/tags/v1/x", true},
		{"refs/tags/**", "refs/tags", false},
		{"refs/**/x", "refs/x", true},
		{"refs/**/x", "refs/a/b/x", true},
		{"refs/**/x", "refs/a/b", false},
		{"**", "", false},
		{"**", "anything", true},
		{"**", "a/../b", false},
		{"**", "a@b", false},
		{"**@**", "a@b", true},
		{"**@**", "a@b@c", false},
		{"*", "..", false},
		{"*", "%2f", false},
		{"*", "%252e%252e", false},
		{"*", `a\b`, false},
		{"*", "%5c", false},
		{"refs/tags/**", "refs/tags//", false},
		{"refs/tags/**", "refs/tags/a/", false},
		{"refs/tags/**", "refs/tags/fix/#1", true},
		{"https://a.example/t/**@r/*", "https://a.example/t/@r/x", false},
		{"https://a.example/t/**@r/*", "https://a.example/t/app//.gitlab-ci.yml@r/x", true},
		{"https://a.example/t/**/ci.yml", "https://a.example/t/app//ci.yml", true},
		{"https://a.example/t/**", "https://a.example/t/", false},
		{"https://a.example/t/*/ci.yml", "https://a.example/t/x?y=/ci.yml", false},
		{"https://a.example/t/**/ci.yml", "https://a.example/t/x#/ci.yml", false},
		{"**", "https://a.example/t", true},
		{"a", "a@b@c", false},
		{"a", "a", true},
	} {
		p, err := uri.ParsePattern(c.pattern)
		if err != nil || p.Match(c.text) != c.want || p.String() != c.pattern {
			t.Errorf("%q, %q: %v, %v", c.pattern, c.text, !c.want, err)
		}
	}
}

func TestParse_RefusesPatternsOfOtherForms(t *testing.T) {
	for _, text := range []string{"*@b@c", "a*", "**/**"} {
		if _, err := uri.ParsePattern(text); err == nil {
			t.Errorf("%q is a pattern", text)
		}
	}
	for _, text := range []string{
		"https://*/a/b", "https://a.example/*/b", "https://a.example/*", "a.example/b/*", "https://u@a.example/b/*", "https://a.example/b@c@d", "*://a.example/b", "https://a.example//*",
	} {
		if _, err := uri.ParseOwned(text); err == nil {
			t.Errorf("%q has an owner", text)
		}
	}
	if p, err := uri.ParseExact("jane@acme.example"); err != nil || !p.Match("jane@acme.example") {
		t.Error(p, err)
	}
	if _, err := uri.ParseExact("*@acme.example"); err == nil {
		t.Error("an exact text has a wildcard")
	}
}

// What an attacker can name resembles what is trusted.
func TestAttack_E16_ListsMatchWholeSegmentsOfTheOwner(t *testing.T) {
	sources := uri.Sources([]string{"git+https://github.com/acme/*", "https://git.example:8443/team/**"})
	for text, want := range map[string]bool{
		"git+https://github.com/acme/app":            true,
		"git+https://github.com/acme/app.git":        true,
		"https://git.example:8443/team/sub/app":      true,
		"git+https://github.com/acme/*":              true, // a segment like any other
		"git+https://github.com/acme":                false,
		"git+https://github.com/acme/":               false,
		"git+https://github.com/acme//app":           false,
		"git+https://github.com/acme/app/":           false,
		"git+https://github.com/acme/..":             false,
		"git+https://github.com/acme/.":              false,
		"git+https://github.com/acme/%2e%2e":         false,
		"git+https://github.com/acme/..%2fevil":      false,
		"git+https://github.com/acme/x%2Fevil":       false,
		`git+https://github.com/acme/..\evil`:        false,
		"git+https://github.com/acme/app@refs/tags/": false,
		"git+https://github.com/acme/app?x=/":        false,
		"git+https://github.com/acme/app#x":          false,
		"git+https://github.com/acme/a b":            false,
		"git+https://github.com/acme/a:b":            false,
		"git+https://github.com/ACME/app":            false,
		"git+https://GitHub.com/acme/app":            false,
		"git+https://github.com:443/acme/app":        false,
		"git+https://x@github.com/acme/app":          false,
		"git+https://github.com@evil/acme/app":       false,
		"git+https://github.com.evil/acme/app":       false,
		"git+http://github.com/acme/app":             false,
		"https://github.com/acme/app":                false,
		"git+https://github.com/acme-evil/app":       false,
		"git+https://github.com/evil/acme/app":       false,
		"https://git.example:8443/team/a//b":         false,
		"https://git.example:8443/team/a/../../evil": false,
		"https://git.example/team/app":               false,
		"":                                           false,
	} {
		if got := sources.Has(text); got != want {
			t.Errorf("source %q: %t", text, got)
		}
	}
	refs := uri.Refs([]string{"refs/heads/*", "refs/tags/release/**"})
	for text, want := range map[string]bool{
		"refs/heads/main": true, "refs/tags/release/v1/rc": true, "refs/tags/release/v1": true,
		"refs/heads/a/b": false, "refs/heads/": false, "refs/heads": false, "refs/pull/1/merge": false, "main": false, "": false,
		"refs/heads/x@refs/tags/v1": false, "refs/heads/main:sub": false, "refs/tags/release//x": false, "refs/tags/release/..": false,
		"refs/heads/..": false, "refs/heads/%2e%2e": false, "refs/heads/a b": false, "refs/heads/*x": false, "Refs/heads/main": false, "refs/heads/main/": false,
	} {
		if got := refs.Has(text); got != want {
			t.Errorf("ref %q: %t", text, got)
		}
	}
	if uri.Refs(nil).Has("") || uri.Builders([]string{"bad*"}).Has("bad*") {
		t.Error("an empty or malformed list has a text")
	}
}

// URL parsers of browsers leave tabs and line ends out, wherever they stand.
func TestAttack_E16_ControlCharactersHideAWayUp(t *testing.T) {
	sources, refs := uri.Sources([]string{"git+https://gitlab.com/acme/**"}), uri.Refs([]string{"refs/heads/**"})
	builders := uri.Builders([]string{"https://gitlab.com/acme/**@refs/heads/*"})
	for _, up := range []string{".\t.", "\n..", "..\r", ".%09.", "..\x00", "..%7f"} {
		if text := "git+https://gitlab.com/acme/" + up + "/evil/app"; sources.Has(text) {
			t.Errorf("source %q", text)
		}
		if text := "refs/heads/" + up + "/pull/1"; refs.Has(text) {
			t.Errorf("ref %q", text)
		}
		if text := "https://gitlab.com/acme/" + up + "/evil/app//.gitlab-ci.yml@refs/heads/main"; builders.Has(text) {
			t.Errorf("builder %q", text)
		}
	}
}

// A wildcard in the path of a builder must not hide that any ref is accepted.
func TestAttack_E16_BuildersAtAnyRefAreRefused(t *testing.T) {
	for _, text := range []string{
		"https://github.com/acme/**@**", "https://github.com/acme/app/**@**", "https://github.com/acme/*/*/*/*@*/*/*", "https://github.com/acme/app/.github/*/*@**",
		"https://gitlab.com/acme/**@**", "https://gitlab.com/acme/app//*@**", "https://git.example/team/*/ci@refs/**",
	} {
		if err := uri.CheckBuilder(text); err == nil {
			t.Errorf("%q matches what anyone can push", text)
		}
	}
	for _, text := range []string{"https://ci.example/b/*@v1", "https://ci.example/builder@*", "https://github.com/acme/**@refs/tags/*"} {
		if err := uri.CheckBuilder(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("https://github.com/acme/**@refs/tags/*", "https://github.com/acme/app/x.yml@refs/tags/v1")
	f.Add("git+https://github.com/acme/*", "git+https://github.com/acme/../x")
	f.Fuzz(func(t *testing.T, text, subject string) {
		p, err := uri.ParseOwned(text)
		if err != nil || !p.Match(subject) {
			return
		}
		if strings.Count(subject, "@") > 1 {
			t.Errorf("%q matches %q, which has more than one @", text, subject)
		}
		if !uri.HasWildcard(text) && text != subject {
			t.Errorf("%q matches %q", text, subject)
		}
		if owner, _, _ := strings.Cut(text, "*"); !strings.HasPrefix(subject, strings.TrimSuffix(owner, "/")) {
			t.Errorf("%q matches %q", text, subject)
		}
	})
}
