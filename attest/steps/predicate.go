package steps

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

// TypeLinkSet is the predicate type of LinkPredicate.
const TypeLinkSet = steplayout.TypeLinkSet

// maxPredicateLinks bounds the links of one predicate.
const maxPredicateLinks = 1000

// LinkPredicate carries links to where they are judged: attested about an image,
// it says that these belong to its build, and no more. The signatures within are
// what counts; whoever signs the attestation only attaches them.
//
// Source: linkset.md beside this file.
type LinkPredicate struct {
	// Links are envelopes of SignLink, or of other in-toto tools. They are
	// carried byte for byte. At least one.
	Links [][]byte
	// Layout is the envelope of a layout, for those who have not got it. Empty:
	// none is carried.
	Layout []byte
}

// PredicateType is TypeLinkSet.
func (LinkPredicate) PredicateType() string { return TypeLinkSet }

// Validate checks that everything carried is what it should be: the form, not
// the signatures. Errors are predicate.ErrInvalid.
func (p LinkPredicate) Validate() error {
	if n := len(p.Links); n == 0 || n > maxPredicateLinks {
		return fmt.Errorf("%w: %d links, want 1 to %d", predicate.ErrInvalid, n, maxPredicateLinks)
	}
	for i, l := range p.Links {
		if _, err := ReadLink(l); err != nil {
			return fmt.Errorf("%w: link %d: %w", predicate.ErrInvalid, i+1, err)
		}
	}
	if len(p.Layout) == 0 {
		return nil
	}
	if _, err := ReadLayout(p.Layout); err != nil {
		return fmt.Errorf("%w: %w", predicate.ErrInvalid, err)
	}
	return nil
}

// RawPredicate is the JSON text, in which the envelopes stand byte for byte, but
// for white space around them.
func (p LinkPredicate) RawPredicate() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(p.Layout) > 0 {
		b.WriteString(`"layout":`)
		b.Write(bytes.TrimSpace(p.Layout))
		b.WriteByte(',')
	}
	b.WriteString(`"links":[`)
	for i, l := range p.Links {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(bytes.TrimSpace(l))
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// ReadLinkPredicate reads the text of a predicate. What it carries is neither
// verified nor looked into: that is the job of Verify, which passes over what is
// no link. Fields that are not known are passed over. The result refers to the
// text, which must not change. Errors are predicate.ErrInvalid.
func ReadLinkPredicate(text []byte) (*LinkPredicate, error) {
	p, err := readLinkPredicate(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", predicate.ErrInvalid, err)
	}
	return p, nil
}

func readLinkPredicate(text []byte) (*LinkPredicate, error) {
	root, err := strictjson.ParseShallow(text, 2)
	if err != nil {
		return nil, err
	}
	list := root.Get("links")
	if n := list.Len(); list.Kind() != strictjson.Array || n == 0 || n > maxPredicateLinks {
		return nil, fmt.Errorf("%d links, want 1 to %d", n, maxPredicateLinks)
	}
	var p LinkPredicate
	for l := range list.Elems() {
		if l.Kind() != strictjson.Object {
			return nil, errors.New("a link is no object")
		}
		p.Links = append(p.Links, l.Raw())
	}
	switch layout := root.Get("layout"); layout.Kind() {
	case strictjson.Missing, strictjson.Null:
	case strictjson.Object:
		p.Layout = layout.Raw()
	default:
		return nil, errors.New("its layout is no object")
	}
	return &p, nil
}

var (
	_ attest.Predicate    = LinkPredicate{}
	_ attest.Validator    = LinkPredicate{}
	_ attest.RawPredicate = LinkPredicate{}
)
