package registrytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// TestReader tests an implementation of registry.Reader against its contract, in
// subtests. newStore returns an empty store and a repository in it that may be
// written to; it is called for each subtest, with the subtest's t. The store's
// writing half only fills it: a Reader that cannot write is tested as a struct
// that embeds it and a Writer to the same content.
//
// That content which was tampered with is noticed cannot be tested this way;
// see Registry.PutBlobAs and FlipByte.
func TestReader(t *testing.T, newStore func(t *testing.T) (registry.Store, name.Repository)) {
	runContract(t, newStore, []contractTest{
		{"manifests are read by tag and by digest", testReadManifests},
		{"what is absent is ErrNotFound", testAbsent},
		{"malformed references are ErrReference", testReadBadReferences},
		{"a tag moves, digests stay", testTagMoves},
		{"blobs are read to their end", testReadBlobs},
		{"a blob of another size does not end in EOF", testBlobSizes},
		{"a blob may be closed early", testCloseEarly},
		{"no referrers are no error", testNoReferrers},
		{"referrers are listed", testReferrers},
		{"an error ends a list of referrers", testErrorEndsReferrers},
		{"a cancelled context is an error", testReadCancelled},
		{"a context cancelled while a blob is read ends it", testCancelWhileReading},
		{"all is safe for concurrent use", testReadConcurrently},
	})
}

// TestStore tests an implementation of registry.Store against the contracts of
// registry.Writer and, by TestReader, registry.Reader.
func TestStore(t *testing.T, newStore func(t *testing.T) (registry.Store, name.Repository)) {
	TestReader(t, newStore)
	runContract(t, newStore, []contractTest{
		{"blobs are stored", testPushBlobs},
		{"a blob is exactly its size and digest", testPushOtherBlobs},
		{"blobs may have sha512 digests, manifests may not", testSHA512},
		{"a blob whose source fails is not stored", testPushBrokenSource},
		{"manifests are stored under tags and their digest alone", testPushManifests},
		{"conditions that do not hold are ErrConflict", testConditions},
		{"of writers with one condition one wins", testConditionsConcurrently},
		{"malformed references are not written to", testWriteBadReferences},
		{"a cancelled context is an error to writers", testWriteCancelled},
		{"a context cancelled while a blob is pushed ends it", testCancelWhilePushing},
		{"concurrent writers lose nothing", testWriteConcurrently},
	})
}

type contractTest struct {
	name string
	run  func(c *contract)
}

// contract is one subtest with its store.
type contract struct {
	*testing.T
	ctx  context.Context
	s    registry.Store
	repo name.Repository
}

// promptly is far more than any of these operations takes.
const promptly = 30 * time.Second

func runContract(t *testing.T, newStore func(t *testing.T) (registry.Store, name.Repository), tests []contractTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), promptly)
			defer cancel()
			s, repo := newStore(t)
			test.run(&contract{T: t, ctx: ctx, s: s, repo: repo})
		})
	}
}

func (c *contract) want(what string, err, kind error) {
	c.Helper()
	if !errors.Is(err, kind) {
		c.Errorf("%s: got error %v, want %v", what, err, kind)
	}
}

func (c *contract) ok(what string, err error) {
	c.Helper()
	if err != nil {
		c.Fatalf("%s: %v", what, err)
	}
}

func (c *contract) at(d v1.Descriptor) name.Digest { return c.repo.Digest(d.Digest.String()) }

// blob pushes a blob and describes it.
func (c *contract) blob(data string) v1.Descriptor {
	c.Helper()
	d := describeBytes("text/plain", []byte(data))
	c.ok("push blob", pushBytes(c.ctx, c.s, c.repo, d, []byte(data)))
	return d
}

// image makes a manifest of one layer, whose blobs it pushes; subject may be nil.
func (c *contract) image(seed string, subject *v1.Descriptor) registry.Manifest {
	c.Helper()
	config := describeBytes(oci.MediaTypeEmpty, []byte(oci.EmptyConfig))
	c.ok("push config", pushBytes(c.ctx, c.s, c.repo, config, []byte(oci.EmptyConfig)))
	m := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: "application/vnd.example." + seed,
		Config: config, Layers: []v1.Descriptor{c.blob("layer of " + seed)}, Subject: subject,
	}
	return c.encode(m.MediaType, m)
}

func (c *contract) index(subject *v1.Descriptor, children ...v1.Descriptor) registry.Manifest {
	c.Helper()
	return c.encode(types.OCIImageIndex, v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: append([]v1.Descriptor{}, children...), Subject: subject,
	})
}

func (c *contract) encode(mediaType types.MediaType, v any) registry.Manifest {
	c.Helper()
	data, err := json.Marshal(v)
	c.ok("encode", err)
	m, err := registry.NewManifest(string(mediaType), data)
	c.ok("describe", err)
	return m
}

func (c *contract) push(ref name.Reference, m registry.Manifest) registry.PushReport {
	c.Helper()
	report, err := c.s.PushManifest(c.ctx, ref, m, registry.PushOptions{})
	c.ok("push manifest", err)
	return report
}

// holds checks that ref is that manifest.
func (c *contract) holds(ref name.Reference, want registry.Manifest) registry.Manifest {
	c.Helper()
	d, err := c.s.Resolve(c.ctx, ref)
	if err != nil {
		c.Errorf("resolve %s: %v", ref, err)
	} else {
		c.same("resolve "+ref.String(), d, want.Descriptor)
	}
	m, err := c.s.Manifest(c.ctx, ref)
	if err != nil {
		c.Errorf("read %s: %v", ref, err)
		return m
	}
	c.same("read "+ref.String(), m.Descriptor, want.Descriptor)
	if !bytes.Equal(m.Bytes, want.Bytes) {
		c.Errorf("read %s: got %q, want %q", ref, m.Bytes, want.Bytes)
	}
	return m
}

func (c *contract) same(what string, got, want v1.Descriptor) {
	c.Helper()
	if got.Digest != want.Digest || got.Size != want.Size || got.MediaType != want.MediaType {
		c.Errorf("%s: got %s %s of %d bytes, want %s %s of %d", what,
			got.MediaType, got.Digest, got.Size, want.MediaType, want.Digest, want.Size)
	}
}

// read reads a blob to its end.
func (c *contract) read(ctx context.Context, ref name.Digest, size int64) ([]byte, error) {
	body, err := c.s.Blob(ctx, ref, size)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // what counts is whether the end was reached
	return io.ReadAll(body)
}

func (c *contract) referrers(subject name.Digest) ([]v1.Descriptor, error) {
	var all []v1.Descriptor
	for d, err := range c.s.Referrers(c.ctx, subject) {
		if err != nil {
			return all, err
		}
		all = append(all, d)
	}
	return all, nil
}

// refer pushes a manifest that has a subject, and keeps the fallback tag where
// the store asks for it.
func (c *contract) refer(subject name.Digest, m registry.Manifest, earlier ...v1.Descriptor) v1.Descriptor {
	c.Helper()
	d := m.Descriptor
	if !c.push(c.at(d), m).SubjectIndexed {
		c.push(fallbackTag(subject), c.index(nil, append(earlier, d)...))
	}
	return d
}

// badDigests are references that name.Repository.Digest makes, and no digests
// that are supported.
func (c *contract) badDigests() []name.Digest {
	hex := digestOf(nil)[len("sha256:"):]
	var all []name.Digest
	for _, digest := range []string{
		"", "latest", "sha256:", "sha256:" + hex[1:], "sha256:" + hex + "0", "sha256:" + string(bytes.ToUpper([]byte(hex))),
		"sha512:" + hex, "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../" + hex[6:],
	} {
		all = append(all, c.repo.Digest(digest))
	}
	return all
}

// absent is a well-formed digest of nothing.
func (c *contract) absent() name.Digest { return c.repo.Digest(digestOf([]byte("absent"))) }

// together runs f that many times at once.
func (c *contract) together(n int, f func(i int)) {
	done := make(chan struct{})
	for i := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			f(i)
		}()
	}
	for range n {
		<-done
	}
}

// each calls f with every method of reading, given a digest and a tag.
func (c *contract) eachRead(ctx context.Context, digest name.Digest, refs []name.Reference, f func(what string, err error)) {
	for _, ref := range refs {
		_, err := c.s.Resolve(ctx, ref)
		f(fmt.Sprintf("Resolve %q", ref.Identifier()), err)
		_, err = c.s.Manifest(ctx, ref)
		f(fmt.Sprintf("Manifest %q", ref.Identifier()), err)
	}
	_, err := c.read(ctx, digest, 5)
	f(fmt.Sprintf("Blob %q", digest.Identifier()), err)
	_, err = c.read(ctx, digest, -1)
	f(fmt.Sprintf("Blob %q of unknown size", digest.Identifier()), err)
}
