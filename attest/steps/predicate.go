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

// LinkPredicate attaches links to an image. The signer of the attestation says that
// the links belong to the image's build, and nothing more. Verify trusts the
// signatures of the links and of the layout alone.
//
// Source: linkset.md beside this file.
type LinkPredicate struct {
	// Links are envelopes from SignLink or from other in-toto tools. They are
	// carried byte for byte. One to 1000.
	Links [][]byte
	// Layout is the envelope of a layout, for verifiers that have none. Empty:
	// none is carried.
	Layout []byte
}

// PredicateType returns TypeLinkSet.
func (LinkPredicate) PredicateType() string { return TypeLinkSet }

// Validate checks the form of the links and the layout, and verifies no signature.
// Errors are predicate.ErrInvalid.
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

// RawPredicate returns the JSON text. The envelopes stand in it byte for byte,
// without the white space around them.
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

// ReadLinkPredicate reads the JSON text of a predicate. It does not read or verify
// the envelopes: Verify does, and ignores what is not a link. It ignores unknown
// fields. The result refers to the text, which must not change.
//
// Errors are predicate.ErrInvalid.
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
			return nil, errors.New("an element of links is not an object")
		}
		p.Links = append(p.Links, l.Raw())
	}
	switch layout := root.Get("layout"); layout.Kind() {
	case strictjson.Missing, strictjson.Null:
	case strictjson.Object:
		p.Layout = layout.Raw()
	default:
		return nil, errors.New("layout is not an object")
	}
	return &p, nil
}

var (
	_ attest.Predicate    = LinkPredicate{}
	_ attest.Validator    = LinkPredicate{}
	_ attest.RawPredicate = LinkPredicate{}
)
