package steps_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/steps"
)

func TestLinksTravelAsAnAttestationByteForByte(t *testing.T) {
	b := newBuild(t)
	links, layout := b.links(), b.signedLayout()
	links[1] = []byte(strings.Replace(string(links[1]), `"payloadType":`, `"payloadType" :`+"\n ", 1)) // as another program writes it
	statement, err := attest.NewStatement(steps.LinkPredicate{Links: links, Layout: layout}, attest.Subject{Digest: map[string]string{"sha256": b.image.Hex}})
	must(t, err)
	envelope, err := attest.Envelope(context.Background(), statement, newPerson(t, "p256").signer)
	must(t, err)

	text, err := attest.ParseStatement([]byte(openRaw(t, envelope).payload(t)))
	must(t, err)
	if text.PredicateType != steps.TypeLinkSet {
		t.Errorf("type %s", text.PredicateType)
	}
	p, err := steps.ReadLinkPredicate(text.Predicate)
	must(t, err)
	for i := range links {
		if !bytes.Equal(p.Links[i], links[i]) {
			t.Errorf("link %d is %s, was %s", i, p.Links[i], links[i])
		}
	}
	if !bytes.Equal(p.Layout, layout) {
		t.Errorf("the layout is %s, was %s", p.Layout, layout)
	}
	b.accepts(p.Layout, p.Links, b.options())
}

// The one who attaches links is not one of those whose word counts.
func TestAttack_T10_AForeignLayoutIsAttachedWithTheLinks(t *testing.T) {
	b := newBuild(t)
	stranger := newPerson(t, "ed25519")
	b.layout.Steps = []steps.Step{{Name: "assemble", Functionaries: keysOf(stranger), Products: []steps.Rule{steps.Allow("*")}}}
	p := steps.LinkPredicate{Layout: b.signedLayout(stranger), Links: [][]byte{signLink(t, steps.Link{Name: "assemble", Products: files("x=image")}, stranger)}}
	must(t, p.Validate())
	b.refuses(steps.ReasonLayoutUnsigned, p.Layout, p.Links, b.options())
}

func TestLinkPredicateRefusesWhatItIsNot(t *testing.T) {
	b := newBuild(t)
	link, layout := b.links()[0], b.signedLayout()
	for name, p := range map[string]steps.LinkPredicate{
		"no links":         {Layout: layout},
		"not an envelope":  {Links: [][]byte{[]byte("{}")}},
		"a layout":         {Links: [][]byte{layout}},
		"trailing data":    {Links: [][]byte{append(bytes.Clone(link), '}')}},
		"injection":        {Links: [][]byte{[]byte(`{}],"layout":{},"x":[{}`)}},
		"a link as layout": {Links: [][]byte{link}, Layout: link},
		"too many":         {Links: make([][]byte, 1001)},
	} {
		if err := p.Validate(); !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := attest.NewStatement(p, attest.Subject{Digest: map[string]string{"sha256": b.image.Hex}}); !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%s: made a statement: %v", name, err)
		}
	}
	for _, text := range []string{
		``, `[]`, `{}`, `{"links":{}}`, `{"links":[]}`, `{"links":[1]}`, `{"links":[null]}`, `{"links":[{}],"links":[{}]}`, `{"links":[{}],"Links":[{}]}`,
		`{"links":[{}],"layout":[]}`, `{"links":[{}],"layout":"x"}`, `{"links":[{"a":1,"a":2}]}`, `{"links":[{}]} x`, `{"links":[` + strings.Repeat(`{},`, 1000) + `{}]}`,
	} {
		if p, err := steps.ReadLinkPredicate([]byte(text)); p != nil || !errors.Is(err, predicate.ErrInvalid) {
			t.Errorf("%.50s: %v, %v", text, p, err)
		}
	}
}
