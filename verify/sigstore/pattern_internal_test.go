package sigstore

import (
	"strings"
	"testing"
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
		{"refs/tags/**", "refs/tags/", false},
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
	} {
		p, err := parsePattern(c.pattern)
		if err != nil || p.matches(c.text) != c.want {
			t.Errorf("%q, %q: %v, %v", c.pattern, c.text, !c.want, err)
		}
	}
}

func TestParsePattern_RefusesMoreThanOneAt(t *testing.T) {
	if _, err := parsePattern("*@b@c"); err == nil {
		t.Error("a pattern with two @ is read")
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("https://github.com/acme/**@refs/tags/*", "https://github.com/acme/app/x.yml@refs/tags/v1")
	f.Fuzz(func(t *testing.T, text, subject string) {
		p, err := parseURI(text)
		if err != nil || !p.matches(subject) {
			return
		}
		if strings.Count(subject, "@") > 1 {
			t.Errorf("%q matches %q, which has more than one @", text, subject)
		}
		if p.parts != nil {
			owner := strings.Join(p.parts[0][:4], "/")
			if !strings.HasPrefix(subject, owner) {
				t.Errorf("%q matches %q", text, subject)
			}
		} else if text != subject {
			t.Errorf("%q matches %q", text, subject)
		}
	})
}
