package segments_test

import (
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/segments"
)

func TestWildcardsStandForWholeSegments(t *testing.T) {
	for pattern, texts := range map[string]map[string]bool{
		"a/*":      {"a/b": true, "a/": false, "a": false, "a/b/c": false, "a/..": false, "a/%2e%2e": false, "a/b%2Fc": false, `a/b\c`: false, "a/%zz": false},
		"a/**":     {"a/b": true, "a/b/c": true, "a/": false, "a": false, "a/b/": false, "a/../b": false, "ab/c": false},
		"**/z":     {"z": true, "a/z": true, "a/b/z": true, "a/bz": false, "a/./z": false},
		"a/**/z":   {"a/z": true, "a/b/c/z": true, "a//z": true, "z": false},
		"a/b":      {"a/b": true, "a/B": false, "a/b/": false},
		"":         {"": true, "a": false},
		"/a/*":     {"/a/b": true, "a/b": false},
		"http://*": {"http://x": true, "https://x": false},
	} {
		p, err := segments.Parse(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range texts {
			if got := p.Match(text, segments.Separators); got != want {
				t.Errorf("%q matches %q: %t, want %t", pattern, text, got, want)
			}
		}
	}
	for _, pattern := range []string{"a*", "**/**", "a/b*/c", "***"} {
		if _, err := segments.Parse(pattern); err == nil {
			t.Errorf("%q is a pattern", pattern)
		}
	}
}

// A pattern without wildcards matches itself alone, and a wildcard never matches a way up.
func FuzzMatch(f *testing.F) {
	f.Add("a/*/c", "a/b/c")
	f.Add("a/**", "a/../b")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := segments.Parse(pattern)
		if err != nil {
			return
		}
		matched := p.Match(text, segments.Separators)
		if !p.HasWildcard() && matched != (pattern == text) {
			t.Errorf("%q matches %q: %t", pattern, text, matched)
		}
		if matched && strings.Count(text, "..") > strings.Count(pattern, "..") && strings.Contains("/"+text+"/", "/../") && !strings.Contains(pattern, "..") {
			t.Errorf("%q matches %q, a way up", pattern, text)
		}
	})
}
