package steps_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/steps"
)

// in-toto-golang compares and consumes artifacts by their cleaned paths, and
// overwrites one by the other.
func TestAttack_T10_PathTricks(t *testing.T) {
	b := newBuild(t)
	sums := `{"sha256":"` + sum("binary") + `"}`
	for _, name := range []string{
		"./app", "x/../app", "app/", "/app", "//app", "x//app", "../app", "..", ".", "", `.\app`, `x\app`, `C:\app`,
		"app\x00", "app\n", "\x1b[2Japp", "app\x7f", strings.Repeat("x/", 4096) + "app",
	} {
		quoted, err := json.Marshal(name)
		must(t, err)
		for _, side := range []string{"materials", "products"} {
			payload := openRaw(t, signLink(t, b.compile, b.bob)).payload(t)
			payload = strings.Replace(payload, `"`+side+`":{`, `"`+side+`":{`+string(quoted)+":"+sums+",", 1)
			both := signRaw(t, payload, b.bob, b.carol)
			links := b.links()
			refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{links[0], both, links[3]}, b.options())
			wantIgnored(t, refusal.Ignored, 1, steps.LinkMalformed)

			l := steps.Link{Name: "x", Materials: steps.Artifacts{name: {"sha256": sum("")}}}
			if _, err := steps.SignLink(context.Background(), l, b.bob.signer); !errors.Is(err, steps.ErrLink) {
				t.Errorf("%q was signed: %v", name, err)
			}
		}
	}
}

func TestAttack_T10_ArtifactsWithoutAUsableDigest(t *testing.T) {
	b := newBuild(t)
	good := sum("binary")
	for _, digests := range []string{
		`{}`, `null`, `{"md5":"00"}`, `{"sha512":"` + strings.Repeat("0", 128) + `"}`, `{"sha256":""}`, `{"sha256":"` + good[1:] + `"}`,
		`{"sha256":"` + strings.ToUpper(good) + `"}`, `{"SHA256":"` + good + `"}`, `{"sha256":"` + good + `","sha512":"G"}`, `{"sha256":"` + good + `","sha512":""}`,
		`{"sha256":1}`, `["` + good + `"]`,
	} {
		payload := openRaw(t, signLink(t, b.compile, b.bob)).payload(t)
		payload = strings.Replace(payload, `"app":{"sha256":"`+good+`"}`, `"app":`+digests, 1)
		if !strings.Contains(payload, digests) {
			t.Fatalf("not replaced: %s", payload)
		}
		links := b.links()
		refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{links[0], signRaw(t, payload, b.bob, b.carol), links[3]}, b.options())
		wantIgnored(t, refusal.Ignored, 1, steps.LinkMalformed)
	}
}

// "MATCH * IN root": in-toto-golang takes what is not in root as if it were.
func TestAttack_T10_MatchBesideItsPrefix(t *testing.T) {
	b := newBuild(t)
	b.lastsForReal()
	b.layout.Steps[2].Materials = []steps.Rule{steps.Match("*", steps.Origin{Step: "compile", To: "root"})}
	b.layout.Steps[2].Products = []steps.Rule{steps.Create("manifest.json"), steps.Allow("root/*"), steps.Allow("app")}
	b.accepts(b.signedLayout(), b.links(), b.options())

	b.assemble.Materials = files("app=binary")
	b.assemble.Products = files("app=binary", "manifest.json=image")
	b.assemble.ByProducts = nil
	links := b.links()
	err := inTotoVerify(t, b.signedLayout(), []person{b.owner}, map[string][]byte{
		linkFile("write", b.alice): links[0], linkFile("compile", b.bob): links[1],
		linkFile("compile", b.carol): links[2], linkFile("assemble", b.dave): links[3],
	})
	if err != nil {
		t.Errorf("in-toto-golang refuses it now: %v", err)
	}
	if refusal := b.refuses(steps.ReasonRule, b.signedLayout(), links, b.options()); refusal.Step != "assemble" || !strings.Contains(refusal.Detail, "[app]") {
		t.Errorf("%v", refusal)
	}
}

// in-toto-golang panics on an empty rule, prints a warning about a malformed
// pattern and passes over it, and over a MATCH with a step that is not there.
func TestAttack_T10_RulesThatSayNothing(t *testing.T) {
	b := newBuild(t)
	for _, rule := range []string{
		`[]`, `["DISALLOW"]`, `["DISALLOW","*","x"]`, `["FORBID","*"]`, `["DISALLOW",""]`, `["DISALLOW","["]`, `["DISALLOW","[]"]`, `["DISALLOW","[]*"]`,
		`["DISALLOW","[a-]"]`, `["DISALLOW","[-a]"]`, `["DISALLOW","[!]"]`, `["DISALLOW","a\\"]`, `["DISALLOW","a\\*"]`, `["DISALLOW","./*"]`,
		`["DISALLOW","a/../*"]`, `["DISALLOW","../*"]`, `["DISALLOW","/*"]`, `["DISALLOW","a//b"]`, `["DISALLOW","a/"]`, `["DISALLOW","{EVIL}*"]`,
		`["DISALLOW","a\n"]`, `["DISALLOW","` + strings.Repeat("a", 5000) + `"]`,
		`["MATCH","*","WITH","PRODUCTS","FROM","nonesuch"]`, `["MATCH","*","WITH","PRODUCTS","FROM",""]`, `["MATCH","*","WITH","THINGS","FROM","write"]`,
		`["MATCH","*","IN","..","WITH","PRODUCTS","FROM","write"]`, `["MATCH","*","WITH","PRODUCTS","IN","/etc","FROM","write"]`,
		`["MATCH","*","IN","a//b","WITH","PRODUCTS","FROM","write"]`, `["MATCH","*","FROM","write"]`, `"DISALLOW *"`, `["DISALLOW",1]`,
	} {
		for _, list := range []string{"expected_materials", "expected_products"} {
			payload := openRaw(t, b.signedLayout()).payload(t)
			payload = strings.Replace(payload, `"`+list+`":[`, `"`+list+`":[`+rule+",", 1)
			_, err := b.verify(signRaw(t, payload, b.owner), b.links(), b.options())
			refusal, ok := errors.AsType[*steps.Error](err)
			if !ok || refusal.Reason != steps.ReasonLayoutUnsupported && refusal.Reason != steps.ReasonLayoutMalformed {
				t.Errorf("%s in %s: %v", rule, list, err)
			}
		}
		var words steps.Rule
		if json.Unmarshal([]byte(rule), &words) == nil {
			b := newBuild(t)
			b.layout.Steps[1].Products = append(b.layout.Steps[1].Products, words)
			if _, err := steps.SignLayout(context.Background(), b.layout, b.owner.signer); !errors.Is(err, steps.ErrLayout) {
				t.Errorf("%s was signed: %v", rule, err)
			}
		}
	}
}

// In in-toto what no rule matches is allowed; a list without rules allows all.
func TestAttack_T10_ArtifactsThatNoRuleMatches(t *testing.T) {
	b := newBuild(t)
	l := b.theirLayout()
	for i := range l.Steps { // as others write them
		l.Steps[i].ExpectedMaterials = slices.DeleteFunc(l.Steps[i].ExpectedMaterials, func(r []string) bool { return r[0] == "DISALLOW" })
		l.Steps[i].ExpectedProducts = slices.DeleteFunc(l.Steps[i].ExpectedProducts, func(r []string) bool { return r[0] == "DISALLOW" })
	}
	text, err := json.Marshal(l)
	must(t, err)
	open := signRaw(t, string(text), b.owner)
	links := b.links()
	b.accepts(open, links, b.options())

	sneaked := b.write
	sneaked.Materials = files("backdoor=x")
	refusal := b.refuses(steps.ReasonRule, open, [][]byte{signLink(t, sneaked, b.alice), links[1], links[2], links[3]}, b.options())
	if refusal.Step != "write" || !strings.Contains(refusal.Detail, "backdoor") {
		t.Errorf("%v", refusal)
	}
	o := b.options()
	o.InsecureAllowUnmatched = true
	b.accepts(open, [][]byte{signLink(t, sneaked, b.alice), links[1], links[2], links[3]}, o)

	// SignLayout writes the last rule, and others refuse it as well.
	b.refuses(steps.ReasonRule, b.signedLayout(), [][]byte{signLink(t, sneaked, b.alice), links[1], links[2], links[3]}, o)
}

func TestAttack_T10_RulesAreEnforced(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*build)
		reason steps.Reason
		step   string
	}{
		"compiled from other sources":   {func(b *build) { b.compile.Materials["src/main.go"] = steps.Digests{"sha256": sum("evil")} }, steps.ReasonRule, "compile"},
		"a material of no step":         {func(b *build) { b.compile.Materials["src/evil.go"] = steps.Digests{"sha256": sum("evil")} }, steps.ReasonRule, "compile"},
		"a product that is not allowed": {func(b *build) { b.compile.Products["src/evil.go"] = steps.Digests{"sha256": sum("evil")} }, steps.ReasonRule, "compile"},
		"sources changed on the way":    {func(b *build) { b.compile.Products["src/main.go"] = steps.Digests{"sha256": sum("evil")} }, steps.ReasonRule, "compile"},
		"another binary in the image":   {func(b *build) { b.assemble.Materials["root/app"] = steps.Digests{"sha256": sum("evil")} }, steps.ReasonRule, "assemble"},
		"no binary in the image":        {func(b *build) { delete(b.assemble.Materials, "root/app") }, steps.ReasonRule, "assemble"},
		"a file more in the image":      {func(b *build) { b.assemble.Products["root/evil"] = steps.Digests{"sha256": sum("evil")} }, steps.ReasonRule, "assemble"},
		"created, though it was there": {func(b *build) {
			b.assemble.Materials["manifest.json"] = steps.Digests{"sha256": sum("image")}
		}, steps.ReasonRule, "assemble"},
		"another image":           {func(b *build) { b.assemble.Products["manifest.json"] = steps.Digests{"sha256": sum("evil")} }, steps.ReasonImage, "assemble"},
		"the image is a material": {func(b *build) { b.assemble.Materials, b.assemble.Products = b.assemble.Products, files("x=x") }, steps.ReasonImage, "assemble"},
		"the image by its sha512": {func(b *build) {
			b.assemble.Products = steps.Artifacts{"manifest.json": {"sha256": sum("x"), "sha512": b.image.Hex}}
		}, steps.ReasonImage, "assemble"},
		"of an earlier step": {func(b *build) { b.assemble.Products = files("x=x"); b.compile.Products["app"]["sha256"] = b.image.Hex }, steps.ReasonImage, "assemble"},
		"upper case is another file": {func(b *build) {
			delete(b.assemble.Products, "root/app")
			b.assemble.Products["root/APP"] = steps.Digests{"sha256": sum("binary")}
		}, steps.ReasonRule, "assemble"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuild(t)
			c.change(b)
			if refusal := b.refuses(c.reason, b.signedLayout(), b.links(), b.options()); refusal.Step != c.step {
				t.Errorf("%v", refusal)
			}
		})
	}
}

func TestVerifyFindsTheImageWhereTheCallerSays(t *testing.T) {
	b := newBuild(t)
	o := b.options()
	o.ImageProduct = "manifest.json"
	b.accepts(b.signedLayout(), b.links(), o)
	o.ImageProduct = "root/app"
	b.refuses(steps.ReasonImage, b.signedLayout(), b.links(), o)

	o = b.options()
	o.ImageStep = "compile"
	b.refuses(steps.ReasonImage, b.signedLayout(), b.links(), o)
	b.image.Hex = sum("binary")
	if res := b.accepts(b.signedLayout(), b.links(), o); res.Product != "app" {
		t.Errorf("%+v", res)
	}
	o.ImageStep = "nonesuch"
	b.refuses(steps.ReasonLayoutUnsupported, b.signedLayout(), b.links(), o)
}
