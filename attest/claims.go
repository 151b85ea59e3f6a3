package attest

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
)

// Claim is an attestation as it is attached. It is not verified: an attacker who can
// write to the repository may have made it up.
type Claim struct {
	// Item is where it was found, and its bytes.
	Item registry.Item
	// Statement is its content. Statement.Predicate shares memory with Envelope.
	Statement *Statement
	// Names is true where the statement names the image among its subjects.
	Names bool
	// Envelope is the text of the DSSE envelope that was found.
	Envelope []byte
	// Signatures is how many signatures the envelope carries.
	Signatures int
}

// Claims lists the attestations that are attached to subject, in bundles and in cosign's
// .att tag, by any signer. Image signatures are not among them. Nothing is verified;
// package verify says which of them count.
//
// An error beside a Claim says that this one piece of evidence, or this one place, could
// not be read or is malformed. The sequence goes on, as that of registry.Evidence does.
func Claims(ctx context.Context, r registry.Reader, subject name.Digest, limits registry.Limits) iter.Seq2[Claim, error] {
	return func(yield func(Claim, error) bool) {
		hash, err := registry.HashOf(subject)
		if err != nil {
			yield(Claim{}, err)
			return
		}
		for item, err := range registry.Evidence(ctx, r, subject, limits) {
			claim := Claim{Item: item}
			if err == nil {
				if item.Format != registry.FormatBundle && item.Format != registry.FormatEnvelope {
					continue
				}
				err = claim.open(func(algorithm string) (string, bool, error) { return hash.Hex, algorithm == hash.Algorithm, nil })
			}
			if err == nil && claim.Statement == nil {
				continue
			}
			if !yield(claim, err) {
				return
			}
		}
	}
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
