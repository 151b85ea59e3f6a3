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

// previous is an earlier attestation of one of the signers.
type previous struct {
	item registry.Item
	by   signer.Checked
	// shared: another signature is in the same envelope.
	shared bool
}

// previous finds the earlier attestations of the signers about the image, with the same
// predicate type, by their verified signatures. Evidence that cannot be read is an
// error. A place that holds more than the limits allow is listed in unread instead: an
// attacker who floods the place must not keep a signer from attesting.
func (j *job) previous(ctx context.Context) (found []previous, unread []error, err error) {
	limits := j.o.Limits
	if largest := 2 * max(j.o.MaxBytes, defaultMaxBytes); limits.MaxPayloadBytes == 0 {
		// Replace must be able to read everything that Image writes.
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

// isPrevious reports whether an item is an earlier attestation of one of the signers. An
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

// isWritten reports whether earlier evidence is the new one: some keys sign an unchanged
// statement with the same bytes. Manifests at a tag change with every layer, so there
// the layer is compared.
func (j *job) isWritten(item registry.Item) bool {
	return slices.ContainsFunc(j.written, func(w written) bool {
		return w.manifest == item.Manifest.Digest || item.Place != registry.PlaceReferrers && w.layer == item.Layer.Digest
	})
}

// remove detaches the earlier attestations. One that cannot be removed is reported, and
// is not an error: the new attestation is attached.
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
