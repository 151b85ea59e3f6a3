package attest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/evidence"
	"github.com/hallmark-oci/hallmark/internal/signer"
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
// predicate type, by their verified signatures. Nothing may be overlooked, so
// that what cannot be read is an error.
func (j *job) previous(ctx context.Context) ([]previous, error) {
	limits := j.o.Limits
	if largest := 2 * max(j.o.MaxBytes, defaultMaxBytes); limits.MaxPayloadBytes == 0 {
		// What Image has written before, Replace must be able to read.
		limits.MaxPayloadBytes, limits.MaxTotalBytes = largest, max(limits.MaxTotalBytes, 4*largest)
	}
	var found []previous
	for item, err := range registry.Evidence(ctx, j.store, j.subject, limits) {
		switch {
		case err == nil:
		case registry.Unreadable(err) || errors.Is(err, registry.ErrTooMany):
			return nil, fmt.Errorf("evidence already there: %w", err)
		default:
			continue // garbage that somebody has attached
		}
		if e, ok := j.isPrevious(item); ok {
			e.item.Payload = nil // large, and no longer needed
			found = append(found, e)
		}
	}
	return found, nil
}

func (j *job) isPrevious(item registry.Item) (previous, bool) {
	if item.Format != registry.FormatBundle && item.Format != registry.FormatEnvelope {
		return previous{}, false
	}
	claim, err := evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
	if err != nil {
		return previous{}, false
	}
	for _, by := range j.signers {
		if !claim.VerifiedBy(by.Key) {
			continue
		}
		content, err := claim.Content()
		if err != nil || content.Statement == nil || content.Statement.PredicateType != j.statement.PredicateType {
			return previous{}, false
		}
		about, err := content.Statement.Match(func(algorithm string) (string, bool, error) {
			return j.hash.Hex, algorithm == j.hash.Algorithm, nil
		})
		return previous{item: item, by: by, shared: len(claim.Signatures) > 1}, err == nil && about != nil
	}
	return previous{}, false
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
			Evidence: j.subject.Context().Digest(e.item.Manifest.Digest.String()),
		}
		if e.shared {
			s.Reason = "its envelope carries another signature too"
		} else if err := registry.Detach(ctx, j.store, j.subject, e.item); err != nil {
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
