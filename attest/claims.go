package attest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
)

// Claim is an attestation as it is attached. It is not verified: an attacker who can
// write to the repository may have made it up.
type Claim struct {
	// Item is where it was found, and its bytes.
	Item registry.Item
	// Statement is its content. Statement.Predicate shares memory with Envelope; it is nil
	// where Item has no Payload, and WritePredicate writes it.
	Statement *Statement
	// Names is true where the statement names the image among its subjects.
	Names bool
	// Envelope is the text of the DSSE envelope that was found; nil where Item has no
	// Payload: WriteEnvelope has it.
	Envelope []byte
	// Signatures is how many signatures the envelope carries.
	Signatures int

	large *evidence.Large
}

// WritePredicate writes the exact text of the predicate.
func (c *Claim) WritePredicate(w io.Writer) error {
	if c.large != nil {
		return c.large.WritePredicate(w)
	}
	_, err := w.Write(c.Statement.Predicate)
	return err
}

// WriteEnvelope writes the text of the DSSE envelope.
func (c *Claim) WriteEnvelope(w io.Writer) error {
	if c.large != nil {
		return c.large.WriteEnvelope(w)
	}
	_, err := w.Write(c.Envelope)
	return err
}

// Claims lists the attestations that are attached to subject, in bundles and in cosign's
// .att tag, by any signer. Image signatures are not among them. Nothing is verified;
// package verify says which of them count.
//
// An error beside a Claim says that this one piece of evidence, or this one place, could
// not be read or is malformed. The sequence goes on, as that of registry.Evidence does.
// Attestations above Limits.OpenAbove are read in memory that does not grow with them.
func Claims(ctx context.Context, r registry.Reader, subject name.Digest, limits registry.Limits) iter.Seq2[Claim, error] {
	return func(yield func(Claim, error) bool) {
		hash, err := registry.HashOf(subject)
		if err != nil {
			yield(Claim{}, err)
			return
		}
		for item, err := range registry.Evidence(ctx, r, subject, limits) {
			claim, is := Claim{Item: item}, true
			if err == nil {
				claim, is, err = ReadClaim(item, hash)
			}
			if is && !yield(claim, err) {
				return
			}
		}
	}
}

// ReadClaim reads one item of registry.Evidence, as Claims does, about the manifest of a
// digest. is: the item is an attestation, or malformed, which the error says. Open of an
// item without a Payload is called several times.
func ReadClaim(item registry.Item, subject v1.Hash) (claim Claim, is bool, err error) {
	claim.Item = item
	if item.Format != registry.FormatBundle && item.Format != registry.FormatEnvelope {
		return claim, false, nil
	}
	digest := func(algorithm string) (string, bool, error) { return subject.Hex, algorithm == subject.Algorithm, nil }
	if item.Payload == nil && item.Open != nil {
		err = claim.openLarge(digest)
	} else {
		err = claim.open(digest)
	}
	return claim, err != nil || claim.Statement != nil, err
}

// openLarge is open for an item whose payload is not held.
func (c *Claim) openLarge(digest intoto.Digester) error {
	large, err := evidence.OpenLarge(string(c.Item.Layer.MediaType), c.Item.Open)
	switch {
	case errors.Is(err, evidence.ErrOverBytes):
		return nil
	case errors.Is(err, evidence.ErrMalformed), errors.Is(err, evidence.ErrWrongType):
		return fmt.Errorf("%w: %w", ErrStatement, err)
	case err != nil:
		return err
	case large.Statement.PredicateType == intoto.PredicateSignature:
		return nil
	}
	about, err := large.Statement.Match(digest)
	c.large, c.Statement, c.Names, c.Signatures = large, fromInternal(large.Statement), about != nil, len(large.Signatures)
	return err
}

// open reads the claim's item. Statement stays nil where the item is a signature.
func (c *Claim) open(digest intoto.Digester) error {
	opened, err := evidence.Open(string(c.Item.Layer.MediaType), c.Item.Layer.Annotations, c.Item.Payload)
	switch {
	case errors.Is(err, evidence.ErrOverBytes):
		return nil
	case err != nil && !errors.Is(err, evidence.ErrNotByKey):
		return fmt.Errorf("%w: %w", ErrStatement, err)
	}
	content, err := opened.Content()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStatement, err)
	}
	s := content.Statement
	if s.PredicateType == intoto.PredicateSignature {
		return nil
	}
	about, err := s.Match(digest)
	c.Statement, c.Names, c.Envelope, c.Signatures = fromInternal(s), about != nil, opened.Envelope, len(opened.Signatures)
	return err
}
