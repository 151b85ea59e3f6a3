package attest

import (
	"context"
	"fmt"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
)

// Claim is an attestation as it is attached. Nobody has verified it: whoever can
// write to the repository may have made it up.
type Claim struct {
	// Item is where it was found, and its bytes.
	Item registry.Item
	// Statement is what it says. Its Predicate is a part of the envelope.
	Statement *Statement
	// Names is true where the statement names the image among its subjects.
	Names bool
	// Envelope is the text of the DSSE envelope that was found.
	Envelope []byte
	// Signatures is how many signatures the envelope carries.
	Signatures int
}

// Claims lists the attestations that are attached to subject: statements of any
// predicate type but that of image signatures, in bundles and in cosign's .att
// tag, whoever has signed them and with whatever. Nothing is verified; use
// package verify to learn what counts.
//
// An error beside a Claim says that this one piece, or place, could not be read
// or is malformed; the sequence goes on, as that of registry.Evidence does.
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

// open reads the claim's item. It leaves Statement nil where the item is a
// signature.
func (c *Claim) open(digest intoto.Digester) error {
	root, err := strictjson.Parse(c.Item.Payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if bundle.IsMediaType(string(c.Item.Layer.MediaType)) {
		if root = root.Get("dsseEnvelope"); !root.Exists() {
			return nil // a signature over bytes
		}
	}
	e, err := dsse.Parse(root)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if e.PayloadType != dsse.PayloadTypeInToto {
		return fmt.Errorf("%w: payloadType %.80q", ErrStatement, e.PayloadType)
	}
	s, err := intoto.Parse(e.Payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if s.PredicateType == intoto.PredicateSignature {
		return nil
	}
	about, err := s.Match(digest)
	c.Statement, c.Names, c.Envelope, c.Signatures = fromInternal(s), about != nil, root.Raw(), len(e.Signatures)
	return err
}
