package pattern_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/pattern"
)

func repo(t testing.TB, s string) name.Repository {
	t.Helper()
	r, err := name.NewRepository(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func set(t testing.TB, patterns ...string) *pattern.Set {
	t.Helper()
	s, err := newSet(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSet(patterns ...string) (*pattern.Set, error) {
	var entries []pattern.Entry
	for i, text := range patterns {
		p, err := pattern.Parse(text)
		if err != nil {
			return nil, err
		}
		entries = append(entries, pattern.Entry{Pattern: p, Rule: i})
	}
	return pattern.NewSet(entries)
}

func TestAttack_T2_PatternsMatchWholeSegments(t *testing.T) {
	for text, names := range map[string]map[string]bool{
		"registry.example/team/**": {
			"registry.example/team/app": true, "registry.example/team/a/b/c": true, "registry.example/team": false,
			"registry.example/team-evil/app": false, "registry.example/teams": false, "registry.example:5000/team/app": false,
			"registry.example.evil/team/app": false, "evil/registry.example/team/app": false,
		},
		"registry.example/*/app": {
			"registry.example/team/app": true, "registry.example/team/app/x": false, "registry.example/app": false,
			"registry.example/a/b/app": false,
		},
		"registry.example/**/app": {
			"registry.example/app": true, "registry.example/a/b/app": true, "registry.example/a/b/app2": false,
		},
		"registry.example/team/app":      {"registry.example/team/app": true, "registry.example/team/app/x": false},
		"localhost:5000/**":              {"localhost:5000/a": true, "localhost:5001/a": false},
		"docker.io/library/nginx":        {"nginx": true, "docker.io/nginx": true, "index.docker.io/library/nginx": true, "other/nginx": false},
		"index.docker.io/library/*":      {"nginx": true, "team/nginx": false},
		"**":                             {"nginx": true, "registry.example/team/app": true},
		"registry.example/a/*/c/**/e/*":  {"registry.example/a/b/c/e/f": true, "registry.example/a/b/c/d/e/f": true, "registry.example/a/b/c/e": false},
		"registry.example/team/**/a/b/c": {"registry.example/team/a/b/c": true, "registry.example/team/b/c": false, "registry.example/team/x/a/b/c": true},
	} {
		s := set(t, text)
		for n, want := range names {
			if _, got := s.Match(repo(t, n)); got != want {
				t.Errorf("%s matches %s: %v, want %v", text, n, got, want)
			}
		}
	}
}

func TestAttack_T2_PatternsThatCouldNeverMatchAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "/", "registry.example", "registry.example/", "registry.example//app", "/team/app", "registry.example/team/",
		"registry.example/team*", "registry.example/te*m/app", "registry.example/***", "registry.example/**/a/**", "**/**",
		"nginx", "team/app", "*/team/app", "**/app", "*", "Registry.example/team", "registry.example/Team/app",
		"registry.example/app:v1", "registry.example/app@sha256:" + strings.Repeat("a", 64), "https://registry.example/app",
		"registry.example/../app", "registry.example/./app", "registry.example/a b", "registry.example/ä", "registry.example/-a",
		"registry.example/[ab]", "registry.example/a?", "registry.example:port/app", "registry.example/%2a",
		"registry.example/" + strings.Repeat("a/", 200) + "a", " registry.example/a", "registry.example/a\n",
	} {
		if p, err := pattern.Parse(text); !errors.Is(err, pattern.ErrPattern) {
			t.Errorf("%q: %v, %v; want ErrPattern", text, p, err)
		}
	}
}

func TestTheMostSpecificPatternDecides(t *testing.T) {
	patterns := []string{
		"**", "registry.example/**", "registry.example/team/**", "registry.example/team/*", "registry.example/team/app",
		"registry.example/team/app/**", "registry.example/team/*/**", "registry.example/other/**/debug", "registry.example/other/**",
	}
	s := set(t, patterns...)
	for n, want := range map[string]string{
		"nginx":                          "**",
		"registry.example/a":             "registry.example/**",
		"registry.example/team":          "registry.example/**",
		"registry.example/team/x":        "registry.example/team/*",
		"registry.example/team/app":      "registry.example/team/app",
		"registry.example/team/app/y":    "registry.example/team/app/**",
		"registry.example/team/x/y":      "registry.example/team/*/**",
		"registry.example/other/a/debug": "registry.example/other/**/debug",
		"registry.example/other/a":       "registry.example/other/**",
	} {
		e, ok := s.Match(repo(t, n))
		if !ok || e.Pattern.String() != want || patterns[e.Rule] != want {
			t.Errorf("%s: %s (%v), want %s", n, e.Pattern, ok, want)
		}
	}
}

func TestAttack_T3_PatternsOfWhichNeitherIsMoreSpecificAreRefused(t *testing.T) {
	for _, c := range [][]string{
		{"registry.example/a/**", "registry.example/a/**"},
		{"registry.example/a/*", "registry.example/*/b"},
		{"registry.example/**/b", "registry.example/a/**"},
		{"registry.example/*/b/**", "registry.example/a/*/*"},
		{"docker.io/library/nginx", "index.docker.io/library/nginx"},
		{"**", "**"},
		{"registry.example/x/**", "registry.example/a/*", "registry.example/*/b"},
	} {
		_, err := newSet(c...)
		var conflict *pattern.ConflictError
		if !errors.As(err, &conflict) {
			t.Errorf("%q: %v, want a *ConflictError", c, err)
		}
	}
	// Within one rule it does not matter.
	a, _ := pattern.Parse("registry.example/a/*")
	b, _ := pattern.Parse("registry.example/*/b")
	if _, err := pattern.NewSet([]pattern.Entry{{Pattern: a, Rule: 1}, {Pattern: b, Rule: 1}}); err != nil {
		t.Error(err)
	}
	set(t, "registry.example/a/*", "registry.example/*/b/c", "other.example/*/b")
}

func FuzzPatterns(f *testing.F) {
	f.Add("registry.example/team/**", "registry.example/*/app", "registry.example/team/app")
	f.Fuzz(func(t *testing.T, a, b, n string) {
		r, err := name.NewRepository(n)
		if err != nil {
			return
		}
		p, errA := pattern.Parse(a)
		q, errB := pattern.Parse(b)
		if errA != nil || errB != nil {
			return
		}
		one, errOne := pattern.NewSet([]pattern.Entry{{Pattern: p}})
		two, errTwo := pattern.NewSet([]pattern.Entry{{Pattern: q, Rule: 1}})
		if errOne != nil || errTwo != nil {
			t.Fatal(errOne, errTwo)
		}
		_, inA := one.Match(r)
		_, inB := two.Match(r)
		both, err := pattern.NewSet([]pattern.Entry{{Pattern: p}, {Pattern: q, Rule: 1}})
		if err != nil {
			return
		}
		if _, either := both.Match(r); either != (inA || inB) {
			t.Fatalf("%q alone %v, %q alone %v, together %v for %s", a, inA, b, inB, either, n)
		}
		// The order of the rules decides nothing.
		reversed, err := pattern.NewSet([]pattern.Entry{{Pattern: q, Rule: 1}, {Pattern: p}})
		if err != nil {
			t.Fatal(err)
		}
		x, _ := both.Match(r)
		if y, _ := reversed.Match(r); x.Rule != y.Rule {
			t.Fatalf("%q and %q: rule %d or %d decides about %s", a, b, x.Rule, y.Rule, n)
		}
	})
}

func BenchmarkMatchAmongTenThousand(b *testing.B) {
	var texts []string
	for i := range 10_000 {
		texts = append(texts, fmt.Sprintf("registry.example/team-%d/**", i))
	}
	s := set(b, texts...)
	r := repo(b, "registry.example/team-7777/app")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Match(r); !ok {
			b.Fatal("no match")
		}
	}
}

// Who writes a reference must not choose the rule by the way he spells it.
func TestAttack_R9_ARegistryHasOneNameHoweverItIsSpelt(t *testing.T) {
	s := set(t, "registry.example/bad/**", "docker.io/library/**", "registry.example:8443/**")
	for _, n := range []string{
		"registry.example/bad/x", "REGISTRY.example/bad/x", "registry.example:443/bad/x", "registry.example./bad/x", "registry.example:0443/bad/x", "Registry.Example.:443/bad/x",
		"nginx", "docker.io/nginx", "DOCKER.io/library/nginx", "registry-1.docker.io/library/nginx", "index.docker.io:443/library/nginx", "index.docker.io:443/nginx", "docker.io./nginx",
		"registry.example:8443/x", "registry.example:08443/x",
	} {
		r, err := name.NewRepository(n)
		if err != nil {
			t.Logf("%s is not a name: %v", n, err)
			continue
		}
		if _, ok := s.Match(r); !ok {
			t.Errorf("%s (%s) escapes", n, r.Name())
		}
	}
	for _, n := range []string{"registry.example:80/bad/x", "registry.example:4433/bad/x", "xregistry.example/bad/x", "registry.example.evil/bad/x"} {
		if e, ok := s.Match(repo(t, n)); ok {
			t.Errorf("%s matches %s", n, e.Pattern)
		}
	}
}

// IDNA makes many spellings of one name, and IPv6 has many of its own.
func TestAttack_R9_MappedNamesHaveNoRuleAddressesOneForm(t *testing.T) {
	s := set(t, "**", "[2001:db8::1]/bad/**", "[2001:db8::1]:5000/**", "192.0.2.1/bad/**")
	for _, n := range []string{"\uff52egistry.example/app", "regi\u00adstry.example/app", "r\u00e9gistry.example/app"} {
		r, err := name.NewRepository(n)
		if err != nil {
			continue // no name at all
		}
		if e, ok := s.Match(r); ok {
			t.Errorf("%s matches %s", n, e.Pattern)
		}
	}
	for n, want := range map[string]string{
		"[2001:db8::1]/bad/x": "[2001:db8::1]/bad/**", "[2001:db8::1]:443/bad/x": "[2001:db8::1]/bad/**", "[2001:db8:0::1]/bad/x": "[2001:db8::1]/bad/**",
		"[2001:DB8::0001]/bad/x": "[2001:db8::1]/bad/**", "[2001:db8::1]:5000/x": "[2001:db8::1]:5000/**", "[2001:db8::2]/bad/x": "**",
		"[::ffff:192.0.2.1]/bad/x": "192.0.2.1/bad/**",
	} {
		r, err := name.NewRepository(n)
		if err != nil {
			t.Logf("%s is not a name: %v", n, err)
			continue
		}
		if e, ok := s.Match(r); !ok || e.Pattern.String() != want {
			t.Errorf("%s matches %v, want %s", n, e.Pattern, want)
		}
	}
	if p, err := pattern.Parse("r\u00e9gistry.example/**"); err == nil {
		t.Errorf("%v is a pattern", p)
	}
}

func TestAttack_T2_PatternsOfDockerHubThatMatchNothingAreRefused(t *testing.T) {
	for _, text := range []string{"docker.io/nginx", "index.docker.io/nginx", "docker.io/*", "registry-1.docker.io/nginx"} {
		if p, err := pattern.Parse(text); !errors.Is(err, pattern.ErrPattern) || !strings.Contains(err.Error(), "library/nginx") {
			t.Errorf("%s is %v, %v", text, p, err)
		}
	}
	if _, ok := set(t, "docker.io/**").Match(repo(t, "nginx")); !ok {
		t.Error("docker.io/** does not match nginx")
	}
}

// What it takes to find conflicts is bounded: a policy may have many rules.
func TestPatternsThatMayOverlapAreBoundedInNumber(t *testing.T) {
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("registry.example/*/app-%d", i))
	}
	if _, err := newSet(many...); !errors.Is(err, pattern.ErrTooMany) {
		t.Errorf("%v, want ErrTooMany", err)
	}
	many = nil
	for i := range 20_000 {
		many = append(many, fmt.Sprintf("registry.example/team-%d/**", i))
	}
	if _, err := newSet(many...); err != nil {
		t.Error(err)
	}
}
