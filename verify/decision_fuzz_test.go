package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// sound fails the test where a decision is anything but a denial, no decision, or
// what the good evidence alone gives: an attacker who changes evidence, in whatever way,
// cannot make it mean something else.
func sound(t *testing.T, want, got *verify.Result, err error) {
	t.Helper()
	var denied *verify.Error
	var undecided *verify.UndecidedError
	switch {
	case got == nil && (errors.As(err, &denied) || errors.As(err, &undecided)):
		return
	case got == nil || err != nil:
		t.Fatalf("%v, %v", got, err)
	case got.Digest != want.Digest || len(got.Keys) != len(want.Keys) || got.Keys[0].ID != want.Keys[0].ID:
		t.Fatalf("allowed as %+v, want %+v", got, want)
	}
	same := slices.EqualFunc(got.Statements, want.Statements, func(a, b verify.Statement) bool {
		return a.PredicateType == b.PredicateType && string(a.Predicate) == string(b.Predicate) && a.KeyID == b.KeyID
	})
	if !same {
		t.Fatalf("allowed by %+v, want %+v", got.Statements, want.Statements)
	}
}

// seeds are pieces of evidence that are each enough for one of the policies, and
// what the decision is then.
func (c *cast) seeds(f *testing.F) (policies []*verify.Verifier, pieces []piece, results []*verify.Result) {
	f.Helper()
	for _, s := range []struct{ policy, what string }{
		{"a signature", "alice signs image"}, {"a signature", "alice signs image in an envelope"}, {"a signature", "alice signs image under .sig"},
		{"provenance", "bob attests image by " + someBuilder}, {"provenance", "bob attests image by " + someBuilder + " under .att"},
	} {
		p := c.pieces[slices.IndexFunc(c.pieces, func(p piece) bool { return p.what == s.what })]
		res, err := c.policies[s.policy].Image(context.Background(), newPile(f, c.image, p), c.image)
		if err != nil {
			f.Fatalf("%s: %v", s.what, err)
		}
		policies, pieces, results = append(policies, c.policies[s.policy]), append(pieces, p), append(results, res)
	}
	return policies, pieces, results
}

// Any change to the payload of good evidence is denied or means the same.
func FuzzDecisionByPayloads(f *testing.F) {
	c := newCast(f)
	policies, pieces, results := c.seeds(f)
	f.Add(0, pieces[0].item.Payload)
	for i, p := range pieces[1:] {
		f.Add(i+1, p.item.Payload)
	}
	f.Fuzz(func(t *testing.T, form int, payload []byte) {
		form = int(uint(form) % uint(len(pieces)))
		p := pieces[form]
		p.item.Payload = payload
		res, err := policies[form].Image(context.Background(), newPile(t, c.image, p), c.image)
		sound(t, results[form], res, err)
	})
}

// The same for the manifest that carries it.
func FuzzDecisionByManifests(f *testing.F) {
	c := newCast(f)
	policies, pieces, results := c.seeds(f)
	f.Add(0, []byte(`{}`))
	for i, p := range pieces {
		for _, m := range newPile(f, c.image, p).manifests {
			f.Add(i, m.Bytes)
		}
	}
	f.Fuzz(func(t *testing.T, form int, text []byte) {
		form = int(uint(form) % uint(len(pieces)))
		lying := newPile(t, c.image)
		tag := ""
		if suffix := pieces[form].tag; suffix != "" {
			tag = "sha256-" + c.image.DigestStr()[len("sha256:"):] + suffix
		}
		m := lying.add(t, tag, text)
		lying.referrers = []v1.Descriptor{m.Descriptor}
		res, err := policies[form].Image(context.Background(), lying, c.image)
		sound(t, results[form], res, err)
	})
}

// The same for bundles that a caller holds, and for the signatures in them.
func FuzzDecisionByBundles(f *testing.F) {
	c := newCast(f)
	policies, pieces, results := c.seeds(f)
	f.Add([]byte(`{}`), []byte(`{}`))
	for _, i := range []int{0, 3} {
		var bundle map[string]json.RawMessage
		if err := json.Unmarshal(pieces[i].item.Payload, &bundle); err != nil {
			f.Fatal(err)
		}
		f.Add(pieces[i].item.Payload, []byte(bundle["dsseEnvelope"]))
	}
	f.Fuzz(func(t *testing.T, bundle, envelope []byte) {
		for _, i := range []int{0, 3} {
			wrapped := slices.Concat([]byte(`{"mediaType":"`+bundleType+`","verificationMaterial":{"publicKey":{"hint":""}},"dsseEnvelope":`), envelope, []byte("}"))
			res, err := policies[i].Bundles(context.Background(), c.image, bundle, wrapped)
			sound(t, results[i], res, err)
		}
	})
}

var _ registry.Reader = (*pile)(nil)
