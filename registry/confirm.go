package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/pause"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// confirm reads back what attach has written: item is what it was given, and at
// what it returned. It returns nil once subject's evidence lists the item in its
// place and its content has been read in full, which a reader verifies. again, unless it
// is nil, attaches it once more where the list lacks it.
func confirm(ctx context.Context, r Reader, subject name.Digest, item Item, at name.Digest, again func(context.Context) error) error {
	for wait := 100 * time.Millisecond; ; wait *= 3 {
		err := confirmOnce(ctx, r, subject, item, at)
		passing := errors.Is(err, ErrNotConfirmed) || errors.Is(err, ErrNotFound)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !passing || wait > time.Second:
			return &Error{Op: "confirm", Ref: text(subject), Kind: ErrNotConfirmed, Detail: "what was attached was not read back", Err: err}
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
		if again == nil {
			continue
		}
		if errors.Is(err, ErrNotFound) { // of several checks, the first that failed
			_, err = confirmReferrer(ctx, r, subject, at)
		}
		if errors.Is(err, errNotListed) {
			if err := again(ctx); err != nil {
				return err
			}
		}
	}
}

// errNotListed is why a referrer is not confirmed that a store has taken.
var errNotListed = errors.New("it is not listed")

func confirmOnce(ctx context.Context, r Reader, subject name.Digest, item Item, at name.Digest) error {
	digest, err := HashOf(subject)
	if err != nil {
		return err
	}
	layer := layerOf(item)
	var carrier name.Reference = at
	switch item.Format {
	case FormatSimpleSigning, FormatEnvelope:
		// Other writers may have added to the tag since.
		if carrier, err = tagOfFormat(subject, item.Format); err != nil {
			return err
		}
	}
	var stored, listed v1.Descriptor
	err = together(ctx,
		func(ctx context.Context) (err error) {
			stored, err = confirmLayer(ctx, r, digest, carrier, layer)
			return err
		},
		func(ctx context.Context) error { return confirmBlob(ctx, r, subject.Context(), layer) },
		func(ctx context.Context) (err error) {
			if item.Format == FormatBundle {
				listed, err = confirmReferrer(ctx, r, subject, at)
			}
			return err
		},
	)
	if err == nil && item.Format == FormatBundle && !oci.SameContent(stored, listed) {
		return unconfirmed(subject, fmt.Sprintf("the store lists %s as %s of %d bytes", at.DigestStr(), safe(string(listed.MediaType)), listed.Size))
	}
	return err
}

// tagOfFormat is the tag of cosign's that holds evidence of a format.
func tagOfFormat(subject name.Digest, f Format) (name.Tag, error) {
	digest, err := HashOf(subject)
	if err != nil {
		return name.Tag{}, err
	}
	suffix := ".sig"
	if f == FormatEnvelope {
		suffix = ".att"
	}
	return subject.Context().Tag(oci.DigestTag(digest) + suffix), nil
}

// confirmLayer looks for a layer where Evidence would find it. The annotations
// count: two signatures over the same payload differ in them alone. It returns
// what carries the layer.
func confirmLayer(ctx context.Context, r Reader, subject v1.Hash, ref name.Reference, layer v1.Descriptor) (v1.Descriptor, error) {
	m, err := ReadManifest(ctx, r, ref)
	if err != nil {
		return v1.Descriptor{}, err
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		return v1.Descriptor{}, &Error{Op: "confirm", Ref: SafeText(ref.String(), maxErrorText), Kind: ErrMalformed, Err: err}
	}
	if !isAbout(doc, subject, ref) {
		return v1.Descriptor{}, unconfirmed(ref, "its manifest is about another")
	}
	if slices.ContainsFunc(doc.Layers, func(l v1.Descriptor) bool { return sameLayer(l, layer) }) {
		return m.Descriptor, nil
	}
	return v1.Descriptor{}, unconfirmed(ref, "its manifest does not list "+layer.Digest.String()+" as it was given")
}

func confirmBlob(ctx context.Context, r Reader, repo name.Repository, layer v1.Descriptor) error {
	content, err := r.Blob(ctx, repo.Digest(layer.Digest.String()), layer.Size)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, content)
	if closed := content.Close(); err == nil {
		err = closed
	}
	return err
}

// confirmReferrer returns how the store lists a referrer: by the first entry of its
// digest, which readers take.
func confirmReferrer(ctx context.Context, r Reader, subject, at name.Digest) (v1.Descriptor, error) {
	for d, err := range r.Referrers(ctx, subject) {
		switch {
		case err != nil:
			return d, err
		case d.Digest.String() != at.DigestStr():
		case evidence.MayCarry(d.ArtifactType):
			return d, nil
		default:
			return d, unconfirmed(subject, "the store lists "+at.DigestStr()+" as something else, "+SafeText(d.ArtifactType, 100))
		}
	}
	return v1.Descriptor{}, unlisted(subject, "the store does not list "+at.DigestStr()+" among its referrers")
}

func unlisted(ref name.Reference, detail string) error {
	return &Error{Op: "confirm", Ref: text(ref), Kind: ErrNotConfirmed, Detail: detail, Err: errNotListed}
}

func unconfirmed(ref name.Reference, detail string) error {
	return &Error{Op: "confirm", Ref: SafeText(ref.String(), maxErrorText), Kind: ErrNotConfirmed, Detail: detail}
}
