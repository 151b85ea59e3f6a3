package steps_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/sign"
)

func TestVerifyAcceptsABuildThatFollowsItsLayout(t *testing.T) {
	b := newBuild(t)
	res := b.accepts(b.signedLayout(), b.links(), b.options())
	if res.Image != b.image || res.Product != "manifest.json" || res.ImageStep != "assemble" || !slices.Equal(res.Owners, []string{b.owner.id}) {
		t.Errorf("%+v", res)
	}
	compile := res.Steps[1]
	want := []string{b.bob.id, b.carol.id}
	slices.Sort(want)
	if !slices.Equal(compile.Keys, want) || !slices.Equal(compile.Links, []int{1, 2}) || compile.Threshold != 2 || compile.CommandDiffers {
		t.Errorf("%+v", compile)
	}
	if len(res.Ignored) != 0 || res.Steps[0].Products["src/lib.go"]["sha256"] != sum("lib") {
		t.Errorf("%+v", res)
	}
}

func TestVerifyReportsAnUnexpectedCommand(t *testing.T) {
	b := newBuild(t)
	b.compile.Command = []string{"go", "build", "-ldflags=-s"}
	if res := b.accepts(b.signedLayout(), b.links(), b.options()); !res.Steps[1].CommandDiffers || res.Steps[0].CommandDiffers {
		t.Errorf("%+v", res.Steps)
	}
}

func TestVerifyRefusesOptionsThatTrustNobody(t *testing.T) {
	b := newBuild(t)
	weak := v1.Hash{Algorithm: "sha512", Hex: strings.Repeat("0", 128)}
	for name, c := range map[string]struct {
		o     steps.VerifyOptions
		image v1.Hash
		want  error
	}{
		"zero":                {steps.VerifyOptions{}, b.image, steps.ErrOptions},
		"threshold too large": {steps.VerifyOptions{OwnerKeys: keysOf(b.owner), OwnerThreshold: 2}, b.image, steps.ErrOptions},
		"one key twice":       {steps.VerifyOptions{OwnerKeys: keysOf(b.owner, b.owner), OwnerThreshold: 2}, b.image, steps.ErrOptions},
		"negative threshold":  {steps.VerifyOptions{OwnerKeys: keysOf(b.owner), OwnerThreshold: -1}, b.image, steps.ErrOptions},
		"negative limit":      {steps.VerifyOptions{OwnerKeys: keysOf(b.owner), MaxLinks: -1}, b.image, steps.ErrOptions},
		"large limit":         {steps.VerifyOptions{OwnerKeys: keysOf(b.owner), MaxLinkBytes: 1 << 40}, b.image, steps.ErrOptions},
		"no digest":           {b.options(), v1.Hash{}, steps.ErrOptions},
		"sha512":              {b.options(), weak, steps.ErrOptions},
		"upper case":          {b.options(), v1.Hash{Algorithm: "sha256", Hex: strings.ToUpper(b.image.Hex)}, steps.ErrOptions},
		"no key in the list":  {steps.VerifyOptions{OwnerKeys: []crypto.PublicKey{nil}}, b.image, sign.ErrKey},
	} {
		res, err := steps.Verify(context.Background(), b.signedLayout(), b.links(), c.image, c.o)
		if res != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, res, err, c.want)
		}
	}
}

func TestVerifyEndsWithItsContext(t *testing.T) {
	b := newBuild(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if res, err := steps.Verify(ctx, b.signedLayout(), b.links(), b.image, b.options()); res != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", res, err)
	}
}

func TestAttack_T10_ExpiredLayout(t *testing.T) {
	b := newBuild(t)
	layout, links := b.signedLayout(), b.links()
	o := b.options()
	o.Now = func() time.Time { return b.layout.Expires }
	b.accepts(layout, links, o)
	o.Now = func() time.Time { return b.layout.Expires.Add(time.Nanosecond) }
	b.refuses(steps.ReasonLayoutExpired, layout, links, o)
	o.Now = nil // the machine's clock
	b.layout.Expires = time.Now().Add(-time.Hour)
	b.refuses(steps.ReasonLayoutExpired, b.signedLayout(), links, o)
}

func TestAttack_T10_LayoutByTooFewOwners(t *testing.T) {
	b := newBuild(t)
	second, third, stranger := newPerson(t, "p256"), newPerson(t, "ed25519"), newPerson(t, "ed25519")
	links := b.links()
	o := b.options()
	o.OwnerKeys = keysOf(b.owner, second, third)

	b.refuses(steps.ReasonLayoutUnsigned, b.signedLayout(b.owner, second), links, o) // zero: all of them
	o.OwnerThreshold = 2
	b.accepts(b.signedLayout(b.owner, second), links, o)
	b.refuses(steps.ReasonLayoutUnsigned, b.signedLayout(b.owner), links, o)
	b.refuses(steps.ReasonLayoutUnsigned, b.signedLayout(b.owner, stranger), links, o)

	// One owner's signatures, twice and by other key IDs.
	e := openRaw(t, b.signedLayout(b.owner))
	again, err := second.signer.Sign(context.Background(), []byte("something else"))
	must(t, err)
	for _, id := range []string{"", second.intoto.KeyID, third.intoto.KeyID, "x"} {
		e.Signatures = append(e.Signatures, rawSignature{KeyID: id, Sig: e.Signatures[0].Sig})
	}
	e.Signatures = append(e.Signatures, rawSignature{KeyID: second.intoto.KeyID, Sig: base64.StdEncoding.EncodeToString(again)})
	b.refuses(steps.ReasonLayoutUnsigned, e.text(t), links, o)
	b.refuses(steps.ReasonLayoutUnsigned, b.signedLayout(stranger), links, b.options())
}

func TestAttack_T10_AnotherPayloadUnderTheOwnersSignature(t *testing.T) {
	b := newBuild(t)
	e := openRaw(t, b.signedLayout())
	e.Payload = base64.StdEncoding.EncodeToString([]byte(strings.Replace(e.payload(t), `"threshold":2`, `"threshold":1`, 1)))
	b.refuses(steps.ReasonLayoutUnsigned, e.text(t), b.links(), b.options())
	e = openRaw(t, b.signedLayout())
	e.PayloadType = "application/json"
	b.refuses(steps.ReasonLayoutMalformed, e.text(t), b.links(), b.options())
}

func TestAttack_T10_UnauthorizedFunctionary(t *testing.T) {
	b := newBuild(t)
	stranger := newPerson(t, "ed25519")
	for name, c := range map[string]struct {
		by   person
		want steps.LinkReason
	}{
		"a stranger":          {stranger, steps.LinkUnsigned},
		"the owner":           {b.owner, steps.LinkUnsigned},
		"of another step":     {b.alice, steps.LinkUnauthorized},
		"of the last step":    {b.dave, steps.LinkUnauthorized},
		"claims another's ID": {person{signer: stranger.signer, intoto: b.carol.intoto}, steps.LinkUnsigned},
	} {
		links := b.links()
		links[2] = signRaw(t, openRaw(t, links[2]).payload(t), c.by)
		refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), links, b.options())
		if refusal.Step != "compile" {
			t.Errorf("%s: %v", name, refusal)
		}
		wantIgnored(t, refusal.Ignored, 2, c.want)
		wantIgnored(t, refusal.Ignored, 1, steps.LinkNotUsed)
	}
}

// in-toto-golang takes the step of a link from the name of its file. It accepts
// the link of another step by the same functionary.
func TestAttack_T10_LinkOfAnotherStep(t *testing.T) {
	b := newBuild(t)
	b.lastsForReal()
	b.layout.Steps = []steps.Step{
		{Name: "review", Functionaries: keysOf(b.dave), Products: []steps.Rule{steps.Allow("*")}, Materials: []steps.Rule{steps.Allow("*")}},
		{Name: "assemble", Functionaries: keysOf(b.dave), Products: []steps.Rule{steps.Allow("*")}, Materials: []steps.Rule{steps.Allow("*")}},
	}
	link := signLink(t, b.assemble, b.dave)
	err := inTotoVerify(t, b.signedLayout(), []person{b.owner}, map[string][]byte{linkFile("review", b.dave): link, linkFile("assemble", b.dave): link})
	if err != nil {
		t.Errorf("in-toto-golang refuses it now: %v", err)
	}
	if refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{link, link}, b.options()); refusal.Step != "review" {
		t.Errorf("%v", refusal)
	}
	other := b.assemble
	other.Name = "nonesuch"
	refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{link, signLink(t, other, b.dave)}, b.options())
	wantIgnored(t, refusal.Ignored, 1, steps.LinkUnknownStep)
}

func TestAttack_T10_OneKeyMeetsAThresholdOfTwo(t *testing.T) {
	b := newBuild(t)
	links := b.links()
	own := links[1]
	e := openRaw(t, own)
	e.Signatures = append(e.Signatures, rawSignature{KeyID: b.carol.intoto.KeyID, Sig: e.Signatures[0].Sig}, rawSignature{Sig: e.Signatures[0].Sig})
	for name, second := range map[string][]byte{
		"the same link": own, "signed again": signLink(t, b.compile, b.bob), "by other key IDs": e.text(t),
	} {
		t.Run(name, func(t *testing.T) {
			refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{links[0], own, second, links[3]}, b.options())
			if refusal.Step != "compile" || !strings.Contains(refusal.Detail, "1 functionaries") {
				t.Errorf("%v", refusal)
			}
		})
	}
}

// One key under two key IDs in the layout: in-toto-golang counts it twice.
func TestAttack_T10_OneKeyUnderTwoKeyIDsInTheLayout(t *testing.T) {
	b := newBuild(t)
	b.lastsForReal()
	l := b.theirLayout()
	alias := b.bob.public()
	alias.KeyID = strings.Repeat("a", 64)
	l.Keys[alias.KeyID] = alias
	l.Steps[1].PubKeys = []string{b.bob.intoto.KeyID, alias.KeyID}
	text, err := json.Marshal(l)
	must(t, err)
	layout := signRaw(t, string(text), b.owner)

	links := b.links()
	twice := openRaw(t, links[1])
	twice.Signatures[0].KeyID = alias.KeyID
	err = inTotoVerify(t, layout, []person{b.owner}, map[string][]byte{
		linkFile("write", b.alice): links[0], linkFile("compile", b.bob): links[1],
		"compile.aaaaaaaa.link": twice.text(t), linkFile("assemble", b.dave): links[3],
	})
	if err != nil {
		t.Errorf("in-toto-golang refuses it now: %v", err)
	}
	b.refuses(steps.ReasonLayoutUnsupported, layout, links, b.options())

	// With Carol beside, the threshold can be reached, but not by Bob alone.
	l.Steps[1].PubKeys = append(l.Steps[1].PubKeys, b.carol.intoto.KeyID)
	text, err = json.Marshal(l)
	must(t, err)
	layout = signRaw(t, string(text), b.owner)
	b.accepts(layout, links, b.options())
	b.refuses(steps.ReasonThreshold, layout, [][]byte{links[0], links[1], twice.text(t), links[3]}, b.options())
}

func TestAttack_T10_LinksThatCountMustAgree(t *testing.T) {
	b := newBuild(t)
	links := b.links()
	for name, change := range map[string]func(*steps.Link){
		"a product more":     func(l *steps.Link) { l.Products["evil"] = steps.Digests{"sha256": sum("evil")} },
		"a product less":     func(l *steps.Link) { delete(l.Products, "src/lib.go") },
		"another digest":     func(l *steps.Link) { l.Products["app"] = steps.Digests{"sha256": sum("evil")} },
		"another algorithm":  func(l *steps.Link) { l.Products["app"]["sha512"] = strings.Repeat("0", 128) },
		"other materials":    func(l *steps.Link) { delete(l.Materials, "src/lib.go") },
		"materials products": func(l *steps.Link) { l.Materials, l.Products = l.Products, l.Materials },
	} {
		other := b.compile
		other.Materials, other.Products = files("src/main.go=main", "src/lib.go=lib"), files("src/main.go=main", "src/lib.go=lib", "app=binary")
		change(&other)
		refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{links[0], links[1], signLink(t, other, b.carol), links[3]}, b.options())
		if refusal.Step != "compile" {
			t.Errorf("%s: %v", name, refusal)
		}
	}
	// What is not judged may differ.
	other := b.compile
	other.ByProducts, other.Environment, other.Command = map[string]any{"stdout": "x"}, map[string]any{"workdir": "/x"}, nil
	b.accepts(b.signedLayout(), [][]byte{links[0], links[1], signLink(t, other, b.carol), links[3]}, b.options())
}

// An insider who disagrees cannot stop those who agree.
func TestAttack_T10_ADissentingFunctionaryDeniesNoService(t *testing.T) {
	b := newBuild(t)
	b.layout.Steps[1].Functionaries = append(b.layout.Steps[1].Functionaries, b.alice.private.Public())
	dissent := b.compile
	dissent.Products = files("app=other")
	links := append([][]byte{signLink(t, dissent, b.alice)}, b.links()...)
	res := b.accepts(b.signedLayout(), links, b.options())
	wantIgnored(t, res.Ignored, 0, steps.LinkNotUsed)
}

func TestAttack_T10_Sublayout(t *testing.T) {
	b := newBuild(t)
	sub := b.layout
	sub.Steps = sub.Steps[:1]
	text, err := steps.SignLayout(context.Background(), sub, b.dave.signer)
	must(t, err)
	links := b.links()
	refusal := b.refuses(steps.ReasonThreshold, b.signedLayout(), [][]byte{links[0], links[1], links[2], text}, b.options())
	wantIgnored(t, refusal.Ignored, 3, steps.LinkSublayout)
	b.accepts(b.signedLayout(), append(links, text), b.options())
}

func TestAttack_T10_InspectionRunsNoCommand(t *testing.T) {
	b := newBuild(t)
	b.lastsForReal()
	l := b.theirLayout()
	l.Inspect = []in_toto.Inspection{{Type: "inspection", Run: []string{"touch", "canary"}, SupplyChainItem: in_toto.SupplyChainItem{
		Name: "look", ExpectedMaterials: [][]string{}, ExpectedProducts: [][]string{},
	}}}
	text, err := json.Marshal(l)
	must(t, err)
	layout := signRaw(t, string(text), b.owner)
	t.Chdir(t.TempDir())
	b.refuses(steps.ReasonInspection, layout, b.links(), b.options())
	if _, err := os.Stat("canary"); err == nil {
		t.Fatal("a command ran")
	}

	// in-toto-golang runs it, so the test could have failed.
	links := b.links()
	must(t, inTotoVerify(t, layout, []person{b.owner}, map[string][]byte{
		linkFile("write", b.alice): links[0], linkFile("compile", b.bob): links[1],
		linkFile("compile", b.carol): links[2], linkFile("assemble", b.dave): links[3],
	}))
	if _, err := os.Stat("canary"); err != nil {
		t.Fatal("the command does not work: ", err)
	}
}

func TestAttack_T10_LayoutsThatCannotBeJudged(t *testing.T) {
	b := newBuild(t)
	good := openRaw(t, b.signedLayout()).payload(t)
	quote := func(s string) string { q, err := json.Marshal(s); must(t, err); return string(q) }
	expires := `"expires":` + quote(b.layout.Expires.Format(time.RFC3339))
	bob := `"keyid":` + quote(b.bob.intoto.KeyID)
	weak := quote(weakRSA)
	for name, c := range map[string]struct {
		old, new string
		want     steps.Reason
	}{
		"no JSON":               {`{"_type"`, `{"_type`, steps.ReasonLayoutMalformed},
		"data after it":         {good, good + "{}", steps.ReasonLayoutMalformed},
		"an array":              {good, "[]", steps.ReasonLayoutMalformed},
		"a link":                {`"_type":"layout"`, `"_type":"link"`, steps.ReasonLayoutMalformed},
		"type twice":            {`"_type":"layout"`, `"_type":"layout","_type":"layout"`, steps.ReasonLayoutMalformed},
		"expiry twice":          {expires, expires + `,"expires":"2999-01-01T00:00:00Z"`, steps.ReasonLayoutMalformed},
		"expiry in another way": {expires, expires + `,"Expires":"2999-01-01T00:00:00Z"`, steps.ReasonLayoutMalformed},
		"no expiry":             {expires + ",", "", steps.ReasonLayoutMalformed},
		"null expiry":           {expires, `"expires":null`, steps.ReasonLayoutMalformed},
		"expiry with a zone":    {expires, `"expires":"2999-01-01T00:00:00+01:00"`, steps.ReasonLayoutMalformed},
		"an unknown field":      {expires, expires + `,"trusted":true`, steps.ReasonLayoutMalformed},
		"no inspections":        {`"inspect":[],`, ``, steps.ReasonLayoutMalformed},
		"threshold 0":           {`"threshold":2`, `"threshold":0`, steps.ReasonLayoutUnsupported},
		"threshold -1":          {`"threshold":2`, `"threshold":-1`, steps.ReasonLayoutUnsupported},
		"threshold 3 of 2":      {`"threshold":2`, `"threshold":3`, steps.ReasonLayoutUnsupported},
		"no threshold":          {`"threshold":2,`, ``, steps.ReasonLayoutUnsupported},
		"threshold of words":    {`"threshold":2`, `"threshold":"2"`, steps.ReasonLayoutMalformed},
		"threshold 1.5":         {`"threshold":2`, `"threshold":1.5`, steps.ReasonLayoutMalformed},
		"two steps of one name": {`"name":"compile"`, `"name":"write"`, steps.ReasonLayoutUnsupported},
		"a step without a name": {`"name":"write"`, `"name":""`, steps.ReasonLayoutUnsupported},
		"a name to be printed":  {`"name":"write"`, `"name":"\u001b[2J"`, steps.ReasonLayoutUnsupported},
		"a step that is none":   {`"_type":"step"`, `"_type":"inspection"`, steps.ReasonLayoutUnsupported},
		"a key that is missing": {`"pubkeys":[`, `"pubkeys":["abc",`, steps.ReasonLayoutUnsupported},
		"a key under an alias":  {bob, `"keyid":"abc"`, steps.ReasonLayoutUnsupported},
		"a key of another type": {`"keytype":"ed25519"`, `"keytype":"rsa"`, steps.ReasonLayoutUnsupported},
		"a key of no type":      {`"keytype":"ed25519"`, `"keytype":""`, steps.ReasonLayoutUnsupported},
		"a private key":         {`"keyval":{`, `"keyval":{"private":"00",`, steps.ReasonLayoutUnsupported},
		"a weak key":            {`"keytype":"ed25519","keyval":{"public":` + quote(b.alice.intoto.KeyVal.Public), `"keytype":"rsa","keyval":{"public":` + weak, steps.ReasonLayoutUnsupported},
		"a short key":           {b.alice.intoto.KeyVal.Public, "abcd", steps.ReasonLayoutUnsupported},
		"a key that is no hex":  {b.alice.intoto.KeyVal.Public, "xyz", steps.ReasonLayoutUnsupported},
		"a root certificate":    {expires, expires + `,"rootcas":{"a":{"keyid":"a","keyid_hash_algorithms":null,"keytype":"rsa","keyval":{"public":"","certificate":"x"},"scheme":""}}`, steps.ReasonLayoutUnsupported},
		"certificates allowed":  {`"pubkeys":[`, `"cert_constraints":[{"common_name":"*","dns_names":["*"],"emails":["*"],"organizations":["*"],"roots":["*"],"uris":["*"]}],"pubkeys":[`, steps.ReasonLayoutUnsupported},
	} {
		payload := strings.Replace(good, c.old, c.new, 1)
		if payload == good {
			t.Errorf("%s: nothing was replaced in %s", name, good)
		}
		_, err := b.verify(signRaw(t, payload, b.owner), b.links(), b.options())
		if refusal, ok := errors.AsType[*steps.Error](err); !ok || refusal.Reason != c.want {
			t.Errorf("%s: %v; want %s", name, err, c.want)
		}
	}
	b.layout.Steps = nil
	if _, err := steps.SignLayout(context.Background(), b.layout, b.owner.signer); !errors.Is(err, steps.ErrLayout) {
		t.Errorf("no steps: %v", err)
	}
}

func TestErrorIsOneLineThatIsFitToBePrinted(t *testing.T) {
	b := newBuild(t)
	b.compile.Products["src/\u202eevil"] = steps.Digests{"sha256": sum("evil")}
	for i := range 5000 {
		b.compile.Products[fmt.Sprintf("src/%d", i)] = steps.Digests{"sha256": sum("evil")}
	}
	links := append(b.links(), []byte("\x1b[2J"))
	refusal := b.refuses(steps.ReasonRule, b.signedLayout(), links, b.options())
	text := refusal.Error()
	if len(text) > 1000 || strings.ContainsAny(text, "\x00\n\x1b\u202e") || !strings.Contains(text, "(rule); links that did not count: 4 not-used, 1 malformed") {
		t.Errorf("%d bytes: %q", len(text), text)
	}
	out, err := json.Marshal(refusal)
	must(t, err)
	if !strings.Contains(string(out), `"reason":"rule","step":"compile"`) {
		t.Errorf("%.300s", out)
	}
}

// weakRSA is a key of 1024 bits.
const weakRSA = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDk0+mpgB0CCu/WAdw4tyG5Wkla
fVZASkGK/6Sd5yNOuql+XfBNQ75tXDMn+G5ti2YI5Tjm3paBoYArQtvvTnHiYM7F
6nSfmHUkLIChtxaGTLR6YT6Y7evcJT4FVD8HXPXtPZDeQX5Rnfouscx1+yBhH8Jx
mvmdzQEA7VicKZoJGQIDAQAB
-----END PUBLIC KEY-----`
