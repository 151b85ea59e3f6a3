package steps_test

import (
	"context"
	"crypto"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest/steps"
	"github.com/hallmark-oci/hallmark/sign"
)

func TestSignLinkRefusesSignersThatInTotoCannotVerify(t *testing.T) {
	for algorithm, o := range map[string]sign.SignerOptions{"rsa": {}, "ed25519": {Prehash: true}, "p384": {Hash: crypto.SHA256}} {
		signer, err := sign.New(newPerson(t, algorithm).private, o)
		must(t, err)
		if _, err := steps.SignLink(context.Background(), steps.Link{Name: "a"}, signer); !errors.Is(err, steps.ErrOptions) {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

type brokenSigner struct {
	sign.Signer
	err error
}

func (s brokenSigner) Sign(context.Context, []byte) ([]byte, error) {
	return make([]byte, 64), s.err
}

func TestSigningNeedsSignersThatSign(t *testing.T) {
	ctx, p := context.Background(), newPerson(t, "ed25519")
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		signers []sign.Signer
		want    error
	}{
		"none":            {nil, steps.ErrOptions},
		"nil":             {[]sign.Signer{nil}, steps.ErrOptions},
		"fails":           {[]sign.Signer{brokenSigner{p.signer, gone}}, gone},
		"other signature": {[]sign.Signer{brokenSigner{p.signer, nil}}, sign.ErrSigner},
	} {
		if text, err := steps.SignLink(ctx, steps.Link{Name: "a"}, c.signers...); text != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := steps.SignLink(canceled, steps.Link{Name: "a"}, blockedSigner{p.signer}); !errors.Is(err, context.Canceled) {
		t.Errorf("a signer that blocks: %v", err)
	}
}

type blockedSigner struct{ sign.Signer }

func (blockedSigner) Sign(ctx context.Context, _ []byte) ([]byte, error) { select {} }

func TestSignLinkSaysWhatItWasGiven(t *testing.T) {
	p := newPerson(t, "p256")
	want := steps.Link{
		Name: "build-1.x", Command: []string{"sh", "-c", "a && b > 'ü'"}, Materials: files("a b=1", "ü/<&>.txt=2", "-=3"), Products: files("a b=2"),
		ByProducts: map[string]any{"stdout": "line\n\x1b", "return-value": int64(1)}, Environment: map[string]any{"workdir": ""},
	}
	got, err := steps.ReadLink(signLink(t, want, p))
	must(t, err)
	if got.Name != want.Name || !slices.Equal(got.Command, want.Command) || len(got.Materials) != 3 || got.Materials["ü/<&>.txt"]["sha256"] != sum("2") ||
		got.Products["a b"]["sha256"] != sum("2") || got.ByProducts["stdout"] != "line\n\x1b" || got.ByProducts["return-value"] != int64(1) {
		t.Errorf("%+v", got)
	}
	text := openRaw(t, signLink(t, steps.Link{Name: "a"}, p)).payload(t)
	if text != `{"_type":"link","name":"a","materials":{},"products":{},"byproducts":{},"command":[],"environment":{}}` {
		t.Errorf("an empty link is %s", text)
	}
}

func TestSigningRefusesNamesThatOthersWouldTakeForPaths(t *testing.T) {
	p := newPerson(t, "ed25519")
	for _, name := range []string{"", ".", "..", ".a", "a/b", "../a", `a\b`, "a*", "a?", "[a]", "a b", "ü", "a\x00", "a\n", strings.Repeat("a", 257)} {
		if _, err := steps.SignLink(context.Background(), steps.Link{Name: name}, p.signer); !errors.Is(err, steps.ErrLink) {
			t.Errorf("link %q: %v", name, err)
		}
		l := steps.Layout{Expires: now, Steps: []steps.Step{{Name: name, Functionaries: keysOf(p)}}}
		if _, err := steps.SignLayout(context.Background(), l, p.signer); !errors.Is(err, steps.ErrLayout) {
			t.Errorf("layout %q: %v", name, err)
		}
	}
}

func TestSignLinkRefusesWhatCannotBeRead(t *testing.T) {
	p := newPerson(t, "ed25519")
	for name, l := range map[string]steps.Link{
		"no digest":             {Name: "a", Products: steps.Artifacts{"x": nil}},
		"invalid UTF-8":         {Name: "a", Products: files("\xff=1")},
		"a command of bytes":    {Name: "a", Command: []string{"a", "\xff"}},
		"environment in case":   {Name: "a", Environment: map[string]any{"a": 1, "A": 2}},
		"a by-product no JSON":  {Name: "a", ByProducts: map[string]any{"f": func() {}}},
		"a by-product too deep": {Name: "a", ByProducts: map[string]any{"f": deep(100)}},
	} {
		if text, err := steps.SignLink(context.Background(), l, p.signer); text != nil || !errors.Is(err, steps.ErrLink) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
}

func TestNamesOfFilesMayDifferInCaseAlone(t *testing.T) {
	p := newPerson(t, "ed25519")
	text, err := steps.SignLink(context.Background(), steps.Link{Name: "a", Products: files("readme=1", "README=2")}, p.signer)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := steps.ReadLink(text); err != nil || len(l.Products) != 2 {
		t.Errorf("%+v, %v", l, err)
	}
}

func deep(n int) any {
	if n == 0 {
		return 1
	}
	return []any{deep(n - 1)}
}

func TestSignLayoutRefusesWhatVerifyWould(t *testing.T) {
	p, q := newPerson(t, "ed25519"), newPerson(t, "ed25519")
	good := func() steps.Layout {
		return steps.Layout{Expires: now, Steps: []steps.Step{{Name: "a", Functionaries: keysOf(p, q)}}}
	}
	for name, change := range map[string]func(*steps.Layout){
		"no expiry":           func(l *steps.Layout) { l.Expires = time.Time{} },
		"an expiry too far":   func(l *steps.Layout) { l.Expires = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"no steps":            func(l *steps.Layout) { l.Steps = nil },
		"two of one name":     func(l *steps.Layout) { l.Steps = append(l.Steps, l.Steps[0]) },
		"no functionaries":    func(l *steps.Layout) { l.Steps[0].Functionaries = nil },
		"threshold too large": func(l *steps.Layout) { l.Steps[0].Threshold = 3 },
		"one key twice":       func(l *steps.Layout) { l.Steps[0].Functionaries = keysOf(p, p); l.Steps[0].Threshold = 2 },
		"threshold below":     func(l *steps.Layout) { l.Steps[0].Threshold = -1 },
		"no key":              func(l *steps.Layout) { l.Steps[0].Functionaries = []crypto.PublicKey{nil} },
		"no such step":        func(l *steps.Layout) { l.Steps[0].Materials = []steps.Rule{steps.Match("*", steps.Origin{Step: "b"})} },
		"no rule":             func(l *steps.Layout) { l.Steps[0].Materials = []steps.Rule{nil} },
	} {
		l := good()
		change(&l)
		if text, err := steps.SignLayout(context.Background(), l, p.signer); text != nil || !errors.Is(err, steps.ErrLayout) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
	if _, err := steps.SignLayout(context.Background(), good(), p.signer); err != nil {
		t.Error(err)
	}
}

func TestSignLayoutSaysWhatItWasGiven(t *testing.T) {
	b := newBuild(t)
	l, err := steps.ReadLayout(b.signedLayout())
	must(t, err)
	if !l.Expires.Equal(b.layout.Expires) || l.Readme != "test" || len(l.Steps) != 3 {
		t.Fatalf("%+v", l)
	}
	compile := l.Steps[1]
	if compile.Threshold != 2 || len(compile.Functionaries) != 2 || !slices.Equal(compile.Command, []string{"go", "build"}) || l.Steps[0].Threshold != 1 {
		t.Errorf("%+v", compile)
	}
	if last := compile.Products[2]; len(compile.Products) != 3 || !slices.Equal(last, steps.Disallow("*")) || len(b.layout.Steps[1].Products) != 2 {
		t.Errorf("%v; the caller's are %v", compile.Products, b.layout.Steps[1].Products)
	}
	if len(l.Steps[0].Materials) != 1 {
		t.Errorf("%v", l.Steps[0].Materials)
	}
}

func TestAddSignaturesKeepsWhatIsThere(t *testing.T) {
	b := newBuild(t)
	ctx := context.Background()
	before := openRaw(t, b.signedLayout())
	text, err := steps.AddSignatures(ctx, before.text(t), b.alice.signer, b.owner.signer)
	must(t, err)
	after := openRaw(t, text)
	if after.Payload != before.Payload || len(after.Signatures) != 2 || after.Signatures[0] != before.Signatures[0] || after.Signatures[1].KeyID != b.alice.intoto.KeyID {
		t.Errorf("%+v", after)
	}
	for _, garbage := range []string{``, `{}`, `null`, string(signRaw(t, `{}`, b.owner)), string(signRaw(t, `{"_type":"layout"}`, b.owner))} {
		if _, err := steps.AddSignatures(ctx, []byte(garbage), b.owner.signer); !errors.Is(err, steps.ErrLink) && !errors.Is(err, steps.ErrLayout) {
			t.Errorf("%.40s: %v", garbage, err)
		}
	}
}
