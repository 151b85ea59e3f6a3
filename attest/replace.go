package attest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/signer"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/registry"
)

// previous is an attestation that one of the signers has made before.
type previous struct {
	item registry.Item
	by   signer.Checked
	// shared: another signature is in the same envelope.
	shared bool
}

// previous finds what the signers have said about the image with the same
// predicate type, by their verified signatures. What cannot be read is an error.
// Where there is more than is read, what an attacker has attached keeps no signer
// from attesting: the places that were not read to their end are unread.
func (j *job) previous(ctx context.Context) (found []previous, unread []error, err error) {
	limits := j.o.Limits
	if largest := 2 * max(j.o.MaxBytes, defaultMaxBytes); limits.MaxPayloadBytes == 0 {
		// What Image has written before, Replace must be able to read.
		limits.MaxPayloadBytes, limits.MaxTotalBytes = largest, max(limits.MaxTotalBytes, 4*largest)
	}
	for item, err := range registry.Evidence(ctx, j.store, j.evidenceAt(), limits, registry.PlaceAttestationTag, registry.PlaceReferrers) {
		switch {
		case err == nil:
		case registry.Unreadable(err):
			return nil, nil, fmt.Errorf("evidence already there: %w", err)
		case errors.Is(err, registry.ErrTooMany):
			unread = append(unread, err)
			continue
		default:
			continue // garbage
		}
		e, ok, err := j.isPrevious(ctx, item)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			e.item.Payload = nil // large, and no longer needed
			found = append(found, e)
		}
	}
	return found, unread, nil
}

// evidenceAt is the image in the repository that holds the evidence about it.
func (j *job) evidenceAt() name.Digest { return registry.EvidenceIn(j.o.EvidenceRepository, j.subject) }

// isPrevious reports whether an item is what one of the signers has said before. An
// error says that the context has ended.
func (j *job) isPrevious(ctx context.Context, item registry.Item) (_ previous, is bool, err error) {
	if item.Format != registry.FormatBundle && item.Format != registry.FormatEnvelope {
		return previous{}, false, nil
	}
	opened, err := evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
	if err != nil {
		return previous{}, false, nil
	}
	for _, by := range j.signers {
		if made, err := opened.VerifiedWithin(ctx, by.Key); err != nil {
			return previous{}, false, err
		} else if !made {
			continue
		}
		content, err := opened.Content()
		if err != nil || content.Statement == nil || content.Statement.PredicateType != j.statement.PredicateType {
			return previous{}, false, nil
		}
		about, err := content.Statement.Match(func(algorithm string) (string, bool, error) {
			return j.hash.Hex, algorithm == j.hash.Algorithm, nil
		})
		return previous{item: item, by: by, shared: len(opened.Signatures) > 1}, err == nil && about != nil, nil
	}
	return previous{}, false, nil
}

// written is a piece of evidence that was attached just now.
type written struct{ manifest, layer v1.Hash }

// isWritten reports whether evidence that was there before is the new one itself:
// by some keys a statement that has not changed is signed with the same bytes.
// Manifests at a tag change with every layer, and there the layer tells.
func (j *job) isWritten(item registry.Item) bool {
	return slices.ContainsFunc(j.written, func(w written) bool {
		return w.manifest == item.Manifest.Digest || item.Place != registry.PlaceReferrers && w.layer == item.Layer.Digest
	})
}

// remove detaches what the new attestation supersedes. What cannot be removed
// is reported and no error: the new attestation is there.
func (j *job) remove(ctx context.Context, all []previous) (done []Superseded, err error) {
	for _, e := range all {
		if j.isWritten(e.item) {
			continue
		}
		s := Superseded{
			KeyID: e.by.Key.ID(), Format: e.item.Format,
			Evidence: j.evidenceAt().Context().Digest(e.item.Manifest.Digest.String()),
		}
		if e.shared {
			s.Reason = "its envelope carries another signature too"
		} else if err := registry.Detach(ctx, j.store, j.evidenceAt(), e.item); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			s.Reason = err.Error()
		} else {
			s.Removed = true
		}
		done = append(done, s)
	}
	return done, nil
}
