// Package registry reads and writes container images and the evidence attached to
// them: signatures, attestations and other referrers.
//
// A [Store] holds manifests and blobs. Package registry/remote has a Store for OCI
// registries, and package registry/layout one for image layouts on disk.
//
//	client, err := remote.New(remote.Options{})
//	ref, err := registry.ParseReference("registry.example/team/app:v1")
//	desc, err := client.Resolve(ctx, ref)
//	subject := ref.Context().Digest(desc.Digest.String())
//	for item, err := range registry.Evidence(ctx, client, subject, registry.Limits{}) {
//		// item.Format, item.Payload
//	}
//
// The functions work on any Store:
//
//   - [Evidence] gathers what is attached to a digest, in every format in use.
//   - [IndexEvidence] gathers the unsigned statements that BuildKit lists in an index.
//   - [Attach] adds one piece of evidence, and [Detach] removes one.
//   - [Copy] copies an image with all of its evidence.
//   - [Push] stores an image or index made with go-containerregistry.
//
// # What is verified
//
// Bytes are verified against the digest that they were asked by, and descriptors
// against the bytes that they describe. This package verifies no signatures: it
// returns what the store claims is attached. Package verify judges it.
//
// # Errors
//
// Every error of a Store is an [*Error] with a [Kind]. Use errors.Is to ask for a
// kind, and [Unreadable] to tell "the answer is no" from "there was no answer".
//
// # Sources
//
//   - OCI Image Format Specification v1.1 (manifest, index, descriptor, layout)
//   - OCI Distribution Specification v1.1 (pull, push, referrers, the fallback
//     "Referrers Tag Schema")
//   - cosign's SIGNATURE_SPEC and ATTESTATION_SPEC, as cosign v2.6 writes them
//   - the Sigstore bundle v0.3 and its OCI 1.1 referrer form, as cosign v3 writes it
package registry

import (
	"context"
	"io"
	"iter"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Manifest is the exact bytes of a manifest or index and what they are.
type Manifest struct {
	// Descriptor holds MediaType, Digest and Size of Bytes. Digest and Size are
	// always computed from Bytes, never copied from what a store claims.
	Descriptor v1.Descriptor
	// Bytes is the manifest as stored. Callers must not change it.
	Bytes []byte
	// ETag is the store's opaque version of a tag's content, for
	// PushOptions.IfMatch. Empty where the store offers none that a condition can
	// hold for.
	ETag string
}

// Reader reads from one or many repositories of a store.
//
// Every method is safe for concurrent use, honours its context, and returns
// errors that [errors.Is] can match with a [Kind]: ErrNotFound where the store
// says that there is no such thing, ErrDigestMismatch where it returned other
// bytes than asked for, and so on. An implementation bounds what it reads.
// Conformance is tested by registrytest.TestReader.
type Reader interface {
	// Resolve returns the descriptor (MediaType, Digest, Size) that ref names
	// now. For a tag, the store alone vouches for the answer. For a digest, the
	// Digest returned equals the one asked for.
	Resolve(ctx context.Context, ref name.Reference) (v1.Descriptor, error)

	// Manifest returns the manifest or index that ref names, by tag or digest.
	// The bytes returned hash to Manifest.Descriptor.Digest; where ref is a
	// digest, that is the digest asked for.
	Manifest(ctx context.Context, ref name.Reference) (Manifest, error)

	// Blob opens a blob, which the caller closes. The reader returned yields at
	// most size bytes. Where the content is not exactly the blob asked for, it
	// fails with ErrDigestMismatch or ErrTooLarge in place of io.EOF. A caller
	// that has seen io.EOF has read verified bytes. A negative size means that
	// it is not known: then the implementation's own bound holds.
	Blob(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error)

	// Referrers lists the descriptors of the manifests whose subject is the
	// given digest, from the referrers API or the fallback tag. An empty list is
	// not an error. The store may omit, invent or repeat entries. An error ends
	// the sequence, and means that the list is incomplete.
	Referrers(ctx context.Context, subject name.Digest) iter.Seq2[v1.Descriptor, error]
}

// Writer writes to one or many repositories of a store. Every method is safe
// for concurrent use and honours its context. Conformance is tested by
// registrytest.TestStore.
type Writer interface {
	// HasBlob reports whether the repository holds the blob.
	HasBlob(ctx context.Context, ref name.Digest) (bool, error)

	// PushBlob stores a blob of exactly size bytes that hash to ref's digest, which
	// may be sha256 or sha512;
	// other content is refused with ErrDigestMismatch and not stored. open is
	// called once per attempt. Pushing what is already there is not an error.
	PushBlob(ctx context.Context, ref name.Digest, size int64, open func() (io.ReadCloser, error)) error

	// PushManifest stores m.Bytes with m.Descriptor.MediaType under ref, a tag
	// or the digest of the bytes (anything else is ErrDigestMismatch).
	PushManifest(ctx context.Context, ref name.Reference, m Manifest, o PushOptions) (PushReport, error)
}

// Store is a Reader and a Writer of the same content.
type Store interface {
	Reader
	Writer
}

// PushOptions are the conditions of a push. The zero value pushes
// unconditionally.
type PushOptions struct {
	// IfMatch makes the push fail with ErrConflict unless the tag's content
	// still has this ETag. Empty: no such condition. Stores that do not know
	// conditional requests ignore it, so a caller must still read back.
	IfMatch string
	// IfAbsent makes the push fail with ErrConflict where the tag exists.
	// False: no such condition. The same caveat as for IfMatch holds.
	IfAbsent bool
	// Once makes the store send the push a single time, even if it fails in a way
	// that may pass. Use it where the content depends on what the tag held a moment
	// before. False: the store may retry.
	Once bool
}

// PushReport is what the store said about a push that it accepted.
type PushReport struct {
	// SubjectIndexed is true where the store itself lists the pushed manifest as
	// a referrer of its subject. A registry says so with the OCI-Subject header.
	// False: the caller must keep the fallback tag, as Attach and Copy do.
	SubjectIndexed bool
	// Atomic is true where the store guarantees that it honoured IfMatch and
	// IfAbsent, and so overwrote no change of another writer. Stores in this
	// process can guarantee that; registries cannot.
	Atomic bool
}

// NewManifest describes bytes that are to be pushed.
func NewManifest(mediaType string, data []byte) (Manifest, error) {
	return describe(mediaType, data), nil
}
