package steps

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

func TestRulesAreWrittenAsTheSpecificationHasThem(t *testing.T) {
	for want, r := range map[string]Rule{
		"ALLOW *": Allow("*"), "DISALLOW a": Disallow("a"), "REQUIRE a": Require("a"), "CREATE a": Create("a"), "DELETE a": Delete("a"), "MODIFY a": Modify("a"),
		"MATCH * WITH PRODUCTS FROM s":            Match("*", Origin{Step: "s"}),
		"MATCH * WITH MATERIALS FROM s":           Match("*", Origin{Step: "s", Materials: true}),
		"MATCH * IN to WITH PRODUCTS FROM s":      Match("*", Origin{Step: "s", To: "to"}),
		"MATCH * WITH PRODUCTS IN at FROM s":      Match("*", Origin{Step: "s", From: "at"}),
		"MATCH a IN to WITH PRODUCTS IN b FROM s": Match("a", Origin{Step: "s", To: "to", From: "b"}),
	} {
		if got := strings.Join(r, " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if _, err := steplayout.ParseRule(r); err != nil {
			t.Errorf("%s: %v", want, err)
		}
	}
	words := []string{"match", "a", "in", "to/", "with", "Products", "in", "b/", "from", "s"}
	p, err := steplayout.ParseRule(words)
	if want := (steplayout.Rule{Words: words, Kind: "match", Pattern: "a", To: "to", From: "b", Artifact: "products", Step: "s"}); err != nil || !reflect.DeepEqual(p, want) {
		t.Errorf("%+v, %v; want %+v", p, err, want)
	}
}

// What each pattern matches, as the documentation of Rule says.
func TestPatterns(t *testing.T) {
	for pattern, names := range map[string]struct{ yes, no []string }{
		"*":        {[]string{"a", "a/b", ".git/x"}, nil},
		"src/*":    {[]string{"src/a", "src/a/b"}, []string{"src", "a/src/b", "Src/a"}},
		"*.go":     {[]string{"a.go", "a/b.go"}, []string{"a.go/b", "a_go"}},
		"a?c":      {[]string{"abc", "a/c", "aéc"}, []string{"ac", "abbc"}},
		"[a-c]x":   {[]string{"ax", "cx"}, []string{"dx", "x", "Ax"}},
		"[!a-c]x":  {[]string{"dx", "Ax"}, []string{"ax", "x"}},
		"[!é]":     {[]string{"e"}, []string{"é"}},
		"a*b*c":    {[]string{"abc", "a1b2c", "abbcc"}, []string{"acb"}},
		"{a,b}":    {[]string{"{a,b}"}, []string{"a"}},
		"^a$":      {[]string{"^a$"}, []string{"a"}},
		"x[[]y]*z": {[]string{"x[y]z", "x[y]1z"}, []string{"xyz"}},
	} {
		for _, name := range append(slices.Clone(names.yes), names.no...) {
			l := &Link{Name: "s", Products: Artifacts{name: {"sha256": strings.Repeat("0", 64)}}}
			step, err := newRuledStep(&Step{Name: "s", Products: []Rule{Allow(pattern)}}, false)
			if err != nil {
				t.Fatal(pattern, err)
			}
			matched := step.apply(map[string]in_toto.Metadata{"s": rooted(l)}) == nil
			if want := slices.Contains(names.yes, name); matched != want {
				t.Errorf("%s matches %s: %t, want %t", pattern, name, matched, want)
			}
		}
	}
}

// Without the traps, putting everything under a root changes nothing.
func TestRootedRulesDecideAsInTotoGolangDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	outcomes := map[bool]int{}
	for range 30_000 {
		links := map[string]*Link{"a": randomLink(random, "a"), "b": randomLink(random, "b")}
		step := &Step{Name: "a", Materials: randomRules(random), Products: randomRules(random)}
		ours, theirs := bothDecide(t, step, links)
		if (ours == nil) != (theirs == nil) {
			t.Fatalf("ours %v, theirs %v\nrules %q %q\nlinks %+v %+v", ours, theirs, step.Materials, step.Products, links["a"], links["b"])
		}
		outcomes[ours == nil]++
	}
	if outcomes[true] < 1000 || outcomes[false] < 1000 {
		t.Errorf("the cases are too much alike: %v", outcomes)
	}
}

func bothDecide(t testing.TB, step *Step, links map[string]*Link) (ours *Error, theirs error) {
	t.Helper()
	ruled, err := newRuledStep(step, true)
	if err != nil {
		t.Fatal(err)
	}
	under, plain := make(map[string]in_toto.Metadata), make(map[string]in_toto.Metadata)
	for name, l := range links {
		under[name] = rooted(l)
		plain[name] = &in_toto.Metablock{Signed: in_toto.Link{Name: name, Materials: toHashes(l.Materials), Products: toHashes(l.Products)}}
	}
	item := in_toto.Step{SupplyChainItem: in_toto.SupplyChainItem{Name: step.Name}}
	for _, r := range step.Materials {
		item.ExpectedMaterials = append(item.ExpectedMaterials, r)
	}
	for _, r := range step.Products {
		item.ExpectedProducts = append(item.ExpectedProducts, r)
	}
	return ruled.apply(under), in_toto.VerifyArtifacts([]any{item}, plain)
}

func randomLink(random *rand.Rand, name string) *Link {
	return &Link{Name: name, Materials: randomArtifacts(random), Products: randomArtifacts(random)}
}

func randomArtifacts(random *rand.Rand) Artifacts {
	all := make(Artifacts)
	for range random.IntN(5) {
		all[pick(random, "a", "b", "d/a", "d/b", "d/e/a", "f")] = Digests{"sha256": strings.Repeat(pick(random, "0", "1"), 64)}
	}
	return all
}

func pick(random *rand.Rand, from ...string) string { return from[random.IntN(len(from))] }

// randomRules have no MATCH with a prefix here, where in-toto-golang is wrong.
func randomRules(random *rand.Rand) []Rule {
	var rules []Rule
	for range random.IntN(5) {
		pattern := pick(random, "*", "a", "d/*", "?", "d/?", "*a", "[ab]", "d/[!a]", "f")
		switch random.IntN(8) {
		case 0:
			rules = append(rules, Require(pick(random, "a", "d/a")))
		case 1:
			rules = append(rules, Create(pattern))
		case 2:
			rules = append(rules, Delete(pattern))
		case 3:
			rules = append(rules, Modify(pattern))
		case 4:
			rules = append(rules, Disallow(pattern))
		case 5:
			rules = append(rules, Allow(pattern))
		default:
			rules = append(rules, Match(pattern, Origin{Step: pick(random, "a", "b"), Materials: random.IntN(2) == 0, From: pick(random, "", "d")}))
		}
	}
	return rules
}

// With prefixes, the decision is that of the specification's pseudocode (4.3.3.2).
func TestMatchWithPrefixesDecidesAsTheSpecificationSays(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	outcomes := map[bool]int{}
	for range 30_000 {
		links := map[string]*Link{"a": randomLink(random, "a"), "b": randomLink(random, "b")}
		to, from := pick(random, "", "d", "d/e"), pick(random, "", "d", "d/e")
		step := &Step{Name: "a", Products: []Rule{Match("*", Origin{Step: "b", To: to, From: from})}}
		ruled, err := newRuledStep(step, false)
		if err != nil {
			t.Fatal(err)
		}
		want := true
		for name, digests := range links["a"].Products {
			base, inside := strings.CutPrefix("/"+name, strings.TrimSuffix("/"+to, "/")+"/")
			there := links["b"].Products[strings.TrimPrefix(from+"/"+base, "/")]
			want = want && inside && maps.Equal(digests, there)
		}
		// No material may be left either, for there is no rule about them.
		want = want && len(links["a"].Materials) == 0
		if got := ruled.apply(map[string]in_toto.Metadata{"a": rooted(links["a"]), "b": rooted(links["b"])}) == nil; got != want {
			t.Fatalf("%t, want %t: %q\n%+v\n%+v", got, want, step.Products, links["a"], links["b"])
		}
		outcomes[want]++
	}
	if outcomes[true] < 300 || outcomes[false] < 300 {
		t.Errorf("the cases are too much alike: %v", outcomes)
	}
}

// A pattern that is let through must be one that in-toto-golang can read: it
// prints a warning otherwise, and passes over the rule.
func FuzzPattern(f *testing.F) {
	f.Add("*", "a")
	f.Add("[a-c]x[!d]?*", "axey/z")
	f.Add("[[]]*", "[]x")
	f.Add("[a-", "a")
	f.Add("[*]", "*")
	f.Add("[]a]", "a")
	f.Add("{X}", "X")
	f.Add("\xff[\xfe]", "a")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if _, err := steplayout.ParseRule(Allow(pattern)); err != nil || steplayout.CheckPath(name) != nil {
			return
		}
		out := captured(t, func() { in_toto.NewSet(name, root+"/"+name).Filter(root + "/" + pattern) })
		if out != "" {
			t.Errorf("%q: %s", pattern, out)
		}
	})
}

func captured(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = w
	f()
	os.Stdout = old
	w.Close()
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whatever is read can be written, and says the same again.
func FuzzLink(f *testing.F) {
	f.Add([]byte(`{"_type":"link","name":"a","command":["x"],"materials":{"a":{"sha256":"` + strings.Repeat("0", 64) + `"}},"products":{},"byproducts":{"n":1},"environment":{}}`))
	f.Add([]byte(`{"_type":"link","name":"a","command":null,"materials":null,"products":{"./a":{}},"byproducts":{},"environment":{}}`))
	f.Add([]byte(`{"_type":"layout"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		l, err := readLink(payload)
		if err != nil || checkStepName(l.Name) != nil {
			return
		}
		text, err := l.payload()
		if err != nil {
			t.Fatalf("%v: %q", err, payload)
		}
		again, err := readLink(text)
		if err != nil || fingerprint(again) != fingerprint(l) || !slices.Equal(again.Command, l.Command) {
			t.Fatalf("%v: %+v is not %+v", err, again, l)
		}
	})
}

func FuzzLayout(f *testing.F) {
	key := `{"keyid":"k","keyid_hash_algorithms":null,"keytype":"ed25519","keyval":{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"},"scheme":"ed25519"}`
	step := `{"_type":"step","pubkeys":["k"],"expected_command":[],"threshold":1,"name":"a","expected_materials":[],"expected_products":[["MATCH","*","WITH","PRODUCTS","FROM","a"],["DISALLOW","*"]]}`
	f.Add(fmt.Appendf(nil, `{"_type":"layout","steps":[%s],"inspect":[],"keys":{"k":%s},"expires":"2030-01-01T00:00:00Z","readme":""}`, step, key))
	f.Add([]byte(`{"_type":"layout","steps":[],"inspect":[{"_type":"inspection","run":["x"],"name":"x","expected_materials":[],"expected_products":[]}],"keys":{},"expires":"2030-01-01T00:00:00Z","readme":""}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		l, refusal := parseLayout(payload)
		if (l == nil) == (refusal == nil) {
			t.Fatalf("%v, %v", l, refusal)
		}
		if refusal != nil || slices.ContainsFunc(l.Steps, func(s Step) bool { return checkStepName(s.Name) != nil }) || l.Expires.IsZero() {
			return
		}
		text, err := l.payload()
		if err != nil {
			t.Fatalf("%v: %q", err, payload)
		}
		again, err := readLayout(text)
		if err != nil || !again.Expires.Equal(l.Expires) || len(again.Steps) != len(l.Steps) {
			t.Fatalf("%v: %+v is not %+v", err, again, l)
		}
	})
}

func FuzzLinkPredicate(f *testing.F) {
	f.Add([]byte(`{"links":[{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"","sig":"AA=="}]}],"layout":{}}`))
	f.Add([]byte(`{"layout":null,"links":[ {"a":1} , {} ]}`))
	f.Add([]byte(`{"links":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ReadLinkPredicate(text)
		if err != nil {
			return
		}
		again, err := ReadLinkPredicate(p.RawPredicate())
		if err != nil || string(again.Layout) != string(p.Layout) || !slices.EqualFunc(again.Links, p.Links, slices.Equal[[]byte]) {
			t.Fatalf("%v: %q", err, text)
		}
	})
}
