package steps_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/internal/dev/race"
)

func TestAttack_T10_HostileJSONInALink(t *testing.T) {
	b := newBuild(t)
	good := openRaw(t, signLink(t, b.compile, b.bob)).payload(t)
	for name, c := range map[string][2]string{
		"products twice":        {`"products":{`, `"products":{},"products":{`},
		"products in two cases": {`"products":{`, `"Products":{},"products":{`},
		"a file twice":          {`"app":`, `"app":{"sha256":"` + sum("x") + `"},"app":`},
		"a digest twice":        {`{"sha256":`, `{"sha256":"` + sum("x") + `","sha256":`},
		"name twice":            {`"name":"compile"`, `"name":"write","name":"compile"`},
		"no name":               {`"name":"compile"`, `"name":""`},
		"null name":             {`"name":"compile"`, `"name":null`},
		"no products":           {`"products":`, `"byproduct":`},
		"an unknown field":      {`"name":"compile"`, `"name":"compile","x":1`},
		"another type":          {`"_type":"link"`, `"_type":"Link"`},
		"no type":               {`"_type":"link",`, ``},
		"a statement":           {`"_type":"link"`, `"_type":"https://in-toto.io/Statement/v1"`},
		"deep nesting":          {`"environment":{`, `"environment":{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `,`},
		"a lone surrogate":      {`"app":`, `"\ud800":`},
		"NUL":                   {`"app":`, `"app\u0000":`},
		"bytes after it":        {good, good + " x"},
		"empty":                 {good, ""},
		"null":                  {good, "null"},
	} {
		payload := strings.Replace(strings.Replace(good, `"environment":{}`, `"environment":{"a":1}`, 1), c[0], c[1], 1)
		if name == "bytes after it" || name == "empty" || name == "null" {
			payload = c[1]
		}
		links := b.links()
		refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{links[0], signRaw(t, payload, b.bob, b.carol), links[3]}, b.options())
		if refusal.Step != "compile" {
			t.Errorf("%s: %v", name, refusal)
		}
		wantIgnored(t, refusal.Ignored, 1, steps.LinkMalformed)
	}
}

func TestAttack_T10_GarbageAmongTheLinksDoesNoHarm(t *testing.T) {
	b := newBuild(t)
	links := b.links()
	old := openRaw(t, links[1])
	mb, err := json.Marshal(in_toto.Metablock{Signed: theirLink(b.compile)})
	must(t, err)
	garbage := [][]byte{
		nil, {}, []byte("{"), []byte("null"), []byte(`{"payload":"","payloadType":"","signatures":[]}`), []byte("\xff\xfe"),
		[]byte(strings.Repeat("[", 1_000_000)), mb, []byte(strings.Replace(string(old.text(t)), "in-toto+json", "other", 1)),
		[]byte(strings.Replace(string(old.text(t)), `"payload"`, `"Payload"`, 1)),
		[]byte(strings.Replace(string(old.text(t)), `{"payload"`, `{"payload":"e30=","payload"`, 1)),
	}
	var all [][]byte
	for i, l := range links {
		all = append(all, garbage[i*2], garbage[i*2+1], l)
	}
	all = append(all, garbage[8:]...)
	res := b.accepts(b.signedLayout(), all, b.options())
	if len(res.Ignored) != len(garbage) {
		t.Errorf("%d ignored, want %d: %v", len(res.Ignored), len(garbage), res.Ignored)
	}
	for i, l := range res.Ignored {
		if l.Reason != steps.LinkMalformed || i > 0 && res.Ignored[i-1].Index >= l.Index {
			t.Errorf("%+v", l)
		}
	}
}

// dsse.EnvelopeVerifier fails such an envelope.
func TestAttack_T10_GarbageSignaturesBesideAGoodOne(t *testing.T) {
	b := newBuild(t)
	spoil := func(text []byte) []byte {
		e := openRaw(t, text)
		good := e.Signatures
		e.Signatures = append([]rawSignature{{"", "!"}, {"x", ""}, {good[0].KeyID, "AAAA"}, {b.dave.intoto.KeyID, base64.StdEncoding.EncodeToString(make([]byte, 64))}}, good...)
		e.Signatures = append(e.Signatures, rawSignature{good[0].KeyID, good[0].Sig[4:]}, rawSignature{"", "=="})
		return e.text(t)
	}
	var links [][]byte
	for _, l := range b.links() {
		links = append(links, spoil(l))
	}
	res := b.accepts(spoil(b.signedLayout()), links, b.options())
	if len(res.Ignored) != 0 {
		t.Errorf("%v", res.Ignored)
	}
}

func TestAttack_T10_AHundredThousandLinks(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	b := newBuild(t)
	flood := make([][]byte, 100_000)
	stranger := newPerson(t, "ed25519")
	forged := signRaw(t, openRaw(t, signLink(t, b.compile, b.bob)).payload(t), stranger)
	for i := range flood {
		flood[i] = forged
	}
	refusal := b.refuses(steps.ReasonTooMany, b.signedLayout(), append(slices.Clone(flood), b.links()...), b.options())
	wantIgnored(t, refusal.Ignored, 1000, steps.LinkUnread)
	if len(refusal.Ignored) != 1001 {
		t.Errorf("%d entries", len(refusal.Ignored))
	}
	// What is seen in time is enough, and what was not read is reported.
	res := b.accepts(b.signedLayout(), append(b.links(), flood...), b.options())
	wantIgnored(t, res.Ignored, 1000, steps.LinkUnread)
}

func TestAttack_T10_ManySignaturesAreNotAllChecked(t *testing.T) {
	race.Skip(t, "one goroutine checks many signatures")
	b := newBuild(t)
	e := openRaw(t, signRaw(t, openRaw(t, signLink(t, b.compile, b.bob)).payload(t), newPerson(t, "ed25519")))
	for len(e.Signatures) < 64 {
		e.Signatures = append(e.Signatures, e.Signatures[0])
	}
	forged := e.text(t)
	var flood [][]byte
	for range 100 { // of 64 signatures and 4 keys
		flood = append(flood, forged)
	}
	refusal := b.refuses(steps.ReasonTooMany, b.signedLayout(), append(flood, b.links()...), b.options())
	if last := refusal.Ignored[len(refusal.Ignored)-1]; last.Reason != steps.LinkUnread || last.Index < 30 || last.Index > 50 {
		t.Errorf("%+v", last)
	}
	e.Signatures = append(e.Signatures, e.Signatures[0])
	refusal = b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{e.text(t)}, b.options())
	wantIgnored(t, refusal.Ignored, 0, steps.LinkMalformed)
}

func TestAttack_T10_OversizedLink(t *testing.T) {
	b := newBuild(t)
	o := b.options()
	links := b.links()
	o.MaxLinkBytes = int64(len(links[1]) + 50)
	b.compile.ByProducts = map[string]any{"stdout": strings.Repeat("x", 200)}
	links[2] = signLink(t, b.compile, b.carol)
	refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), links, o)
	wantIgnored(t, refusal.Ignored, 2, steps.LinkTooLarge)
}

// Links of other builds, which anybody can copy over from other images.
func TestAttack_T10_LinksOfAnotherBuild(t *testing.T) {
	b := newBuild(t)
	mine := b.links()
	b.write.Products = files("src/main.go=main2")
	b.compile.Materials, b.compile.Products = files("src/main.go=main2"), files("src/main.go=main2", "app=binary2")
	b.assemble.Materials, b.assemble.Products = files("root/app=binary2"), files("root/app=binary2", "manifest.json=image2")
	other := b.links()
	layout := b.signedLayout()

	res := b.accepts(layout, append(slices.Clone(other), mine...), b.options())
	for i := range other {
		wantIgnored(t, res.Ignored, i, steps.LinkNotUsed)
	}
	// They cannot be mixed.
	b.refuses(steps.ReasonImage, layout, other, b.options())
	b.refuses(steps.ReasonRule, layout, [][]byte{other[0], mine[1], mine[2], mine[3]}, b.options())
	b.refuses(steps.ReasonRule, layout, [][]byte{mine[0], other[1], other[2], mine[3]}, b.options())
	b.refuses(steps.ReasonThreshold, layout, [][]byte{mine[0], other[1], mine[2], mine[3]}, b.options())
}

// One image built twice, from sources that differ in what does not reach it.
func TestVerifyAcceptsAnImageThatWasBuiltTwice(t *testing.T) {
	b := newBuild(t)
	all := b.links()
	b.write.Products["src/README"] = steps.Digests{"sha256": sum("new")}
	b.compile.Materials["src/README"] = steps.Digests{"sha256": sum("new")}
	all = append(all, b.links()...)
	res := b.accepts(b.signedLayout(), all, b.options())
	if n := len(res.Steps[0].Products); n != len(res.Steps[1].Materials) {
		t.Errorf("the builds were mixed: %+v", res.Steps)
	}
}

func TestAttack_T10_TooManyChoices(t *testing.T) {
	race.Skip(t, "one goroutine checks many signatures")
	b := newBuild(t)
	links := b.links()
	b.assemble.Materials["root/app"] = steps.Digests{"sha256": sum("none of them")}
	all := [][]byte{links[0], signLink(t, b.assemble, b.dave)}
	for i := range 1100 {
		b.compile.Products = files(fmt.Sprintf("app=%d", i))
		all = append(all, signLink(t, b.compile, b.bob, b.carol))
	}
	o := b.options()
	o.MaxLinks = 2000
	refusal := b.refuses(steps.ReasonTooMany, b.signedLayout(), all, o)
	if strings.Count(refusal.Detail, "choices") != 1 {
		t.Errorf("%v", refusal)
	}
}

// Pure Ed25519 hashes the whole link for each key, and the context is looked at before
// each check.
func TestAttack_E22_BytesOfLinksThatAreHashedCount(t *testing.T) {
	b := newBuild(t)
	large := signRaw(t, strings.Repeat("x", 8<<20), newPerson(t, "ed25519"))
	_, checks, err := steps.SignedLinks(t.Context(), b.signedLayout(), [][]byte{large}, 10_000)
	if want := 4 + 5*8*32; err != nil || checks != want { // 4 keys, and the hash of Ed25519ph
		t.Errorf("%d checks, %v; want %d", checks, err, want)
	}
	_, _, err = steps.SignedLinks(t.Context(), b.signedLayout(), [][]byte{large}, 1000)
	if refusal, ok := errors.AsType[*steps.Error](err); !ok || refusal.Reason != steps.ReasonTooMany {
		t.Errorf("%v, want %s", err, steps.ReasonTooMany)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := steps.Verify(ctx, b.signedLayout(), b.links(), b.image, b.options()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
