package registrytest

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

func (c *contract) hasBlob(ref name.Digest, want bool) {
	c.Helper()
	if got, err := c.s.HasBlob(c.ctx, ref); err != nil || got != want {
		c.Errorf("has blob %s: got %v, error %v, want %v", ref.DigestStr(), got, err, want)
	}
}

func testPushBlobs(c *contract) {
	c.hasBlob(c.absent(), false)
	for _, content := range []string{"", "text", strings.Repeat("many bytes ", 500_000)} {
		d := describeBytes("", []byte(content))
		for range 2 { // pushing what is there is no error
			s := &source{content: content}
			c.ok("push blob", c.s.PushBlob(c.ctx, c.at(d), d.Size, s.open))
			c.hasBlob(c.at(d), true)
		}
		if got, err := c.read(c.ctx, c.at(d), d.Size); err != nil || string(got) != content {
			c.Errorf("read back: %d bytes, error %v", len(got), err)
		}
	}
}

func testPushOtherBlobs(c *contract) {
	d := describeBytes("", []byte("twelve bytes"))
	for what, other := range map[string]string{
		"other bytes":   "TWELVE BYTES",
		"fewer bytes":   "twelve",
		"no bytes":      "",
		"more bytes":    "twelve bytes and more",
		"one byte more": "twelve bytes.",
		"a bit flipped": "twelve byter",
	} {
		s := &source{content: other}
		c.want(what, c.s.PushBlob(c.ctx, c.at(d), d.Size, s.open), registry.ErrDigestMismatch)
		c.hasBlob(c.at(d), false)
		if s.opened == 0 {
			c.Errorf("%s: the content was never opened", what)
		}
	}
	s := &source{content: "twelve bytes"}
	for _, size := range []int64{11, 13} {
		c.want(fmt.Sprintf("size %d", size), c.s.PushBlob(c.ctx, c.at(d), size, s.open), registry.ErrDigestMismatch)
		c.hasBlob(c.at(d), false)
	}
	c.ok("the right bytes", c.s.PushBlob(c.ctx, c.at(d), d.Size, s.open))
	c.hasBlob(c.at(d), true)
}

func testPushBrokenSource(c *contract) {
	d := describeBytes("", []byte("twelve bytes"))
	broken := errors.New("the source is broken")
	for what, open := range map[string]func() (io.ReadCloser, error){
		"cannot be opened": func() (io.ReadCloser, error) { return nil, broken },
		"breaks off": func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("twelve"), brokenReader{broken})), nil
		},
	} {
		if err := c.s.PushBlob(c.ctx, c.at(d), d.Size, open); err == nil {
			c.Errorf("a source that %s: no error", what)
		}
		c.hasBlob(c.at(d), false)
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func testPushManifests(c *contract) {
	m, other := c.image("one", nil), c.image("other", nil)
	for range 2 { // pushing what is there is no error
		c.push(c.at(m.Descriptor), m)
		c.push(c.repo.Tag("v1"), m)
	}
	c.push(c.repo.Tag("v2"), m)
	for _, ref := range []name.Reference{c.at(m.Descriptor), c.repo.Tag("v1"), c.repo.Tag("v2")} {
		c.holds(ref, m)
	}
	_, err := c.s.PushManifest(c.ctx, c.absent(), other, registry.PushOptions{})
	c.want("push under another digest", err, registry.ErrDigestMismatch)
	for _, ref := range []name.Digest{c.absent(), c.at(other.Descriptor)} {
		_, err = c.s.Resolve(c.ctx, ref)
		c.want("what was refused", err, registry.ErrNotFound)
	}
	_, err = c.s.PushManifest(c.ctx, c.at(m.Descriptor), other, registry.PushOptions{})
	c.want("push under the digest of another manifest", err, registry.ErrDigestMismatch)
	c.holds(c.at(m.Descriptor), m)
}

func testConditions(c *contract) {
	tag := c.repo.Tag("v1")
	one, two, three := c.image("one", nil), c.image("two", nil), c.image("three", nil)
	report, err := c.s.PushManifest(c.ctx, tag, one, registry.PushOptions{IfAbsent: true})
	c.ok("push a tag that is absent", err)
	first := c.holds(tag, one)
	if !report.Atomic {
		c.Log("the store does not guarantee conditions")
	}
	if report.Atomic && first.ETag == "" {
		c.Error("conditions are guaranteed, but there is no ETag to ask for")
	}

	_, err = c.s.PushManifest(c.ctx, tag, two, registry.PushOptions{IfAbsent: true})
	if !c.conflict("push a tag that exists as absent", report, err) {
		return // the store ignores conditions
	}
	c.holds(tag, one)
	_, err = c.s.PushManifest(c.ctx, tag, two, registry.PushOptions{IfMatch: first.ETag})
	c.ok("push with the right ETag", err)
	second := c.holds(tag, two)
	for _, stale := range []string{first.ETag, `"unknown"`} {
		_, err = c.s.PushManifest(c.ctx, tag, three, registry.PushOptions{IfMatch: stale})
		c.want("push with the ETag "+stale, err, registry.ErrConflict)
		c.holds(tag, two)
	}
	_, err = c.s.PushManifest(c.ctx, c.repo.Tag("absent"), three, registry.PushOptions{IfMatch: second.ETag})
	c.want("push with an ETag to a tag that is absent", err, registry.ErrConflict)
}

// conflict reports whether a push failed with ErrConflict, as it must where
// conditions are guaranteed.
func (c *contract) conflict(what string, report registry.PushReport, err error) bool {
	c.Helper()
	if err == nil && !report.Atomic {
		return false
	}
	c.want(what, err, registry.ErrConflict)
	return true
}

func testConditionsConcurrently(c *contract) {
	const writers = 8
	var manifests []registry.Manifest
	for i := range writers {
		manifests = append(manifests, c.image(fmt.Sprintf("by-%d", i), nil))
	}
	tag := c.repo.Tag("contended")
	o := registry.PushOptions{IfAbsent: true}
	for round := range 3 {
		var won, promised atomic.Int32
		c.together(writers, func(i int) {
			report, err := c.s.PushManifest(c.ctx, tag, manifests[i], o)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, registry.ErrConflict):
				c.Errorf("round %d: %v", round, err)
			}
			if report.Atomic {
				promised.Add(1)
			}
		})
		if won.Load() == 0 {
			c.Fatalf("round %d: no writer won", round)
		}
		if promised.Load() == 0 {
			c.Skip("the store does not guarantee conditions")
		}
		if won.Load() != 1 {
			c.Fatalf("round %d: %d writers won, want one", round, won.Load())
		}
		m, err := c.s.Manifest(c.ctx, tag)
		c.ok("read", err)
		o = registry.PushOptions{IfMatch: m.ETag}
		manifests = without(manifests, m.Descriptor.Digest, c.image(fmt.Sprintf("in-%d", round), nil))
	}
}

// without replaces a manifest: each writer changes something.
func without(all []registry.Manifest, digest v1.Hash, by registry.Manifest) []registry.Manifest {
	for i, m := range all {
		if m.Descriptor.Digest == digest {
			all[i] = by
		}
	}
	return all
}

func testSHA512(c *contract) {
	const content = "a blob by its other digest"
	sum := sha512.Sum512([]byte(content))
	ref := c.repo.Digest("sha512:" + hex.EncodeToString(sum[:]))
	other := &source{content: "a blob by its other digesT"}
	c.want("PushBlob of other bytes", c.s.PushBlob(c.ctx, ref, int64(len(content)), other.open), registry.ErrDigestMismatch)
	s := &source{content: content}
	c.ok("PushBlob", c.s.PushBlob(c.ctx, ref, int64(len(content)), s.open))
	there, err := c.s.HasBlob(c.ctx, ref)
	if err != nil || !there {
		c.Errorf("HasBlob: %v, %v", there, err)
	}
	for _, size := range []int64{int64(len(content)), -1} {
		if got, err := c.read(c.ctx, ref, size); string(got) != content || err != nil {
			c.Errorf("Blob, asked for with size %d: %q, %v", size, got, err)
		}
	}
	_, err = c.s.Manifest(c.ctx, ref)
	c.want("Manifest", err, registry.ErrReference)
	_, err = c.s.PushManifest(c.ctx, ref, c.image("image", nil), registry.PushOptions{})
	c.want("PushManifest", err, registry.ErrReference)
	_, err = c.referrers(ref)
	c.want("Referrers", err, registry.ErrReference)
}

func testWriteBadReferences(c *contract) {
	m := c.image("image", nil)
	for _, bad := range c.badDigests() {
		what := fmt.Sprintf(" %q", bad.Identifier())
		_, err := c.s.HasBlob(c.ctx, bad)
		c.want("HasBlob"+what, err, registry.ErrReference)
		s := &source{content: ""}
		c.want("PushBlob"+what, c.s.PushBlob(c.ctx, bad, 0, s.open), registry.ErrReference)
		_, err = c.s.PushManifest(c.ctx, bad, m, registry.PushOptions{})
		c.want("PushManifest"+what, err, registry.ErrReference)
	}
}

func testWriteCancelled(c *contract) {
	m := c.image("image", nil)
	d := describeBytes("", []byte("never stored"))
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	_, err := c.s.HasBlob(ctx, c.at(d))
	c.want("HasBlob", err, context.Canceled)
	s := &source{content: "never stored"}
	c.want("PushBlob", c.s.PushBlob(ctx, c.at(d), d.Size, s.open), context.Canceled)
	_, err = c.s.PushManifest(ctx, c.repo.Tag("v1"), m, registry.PushOptions{})
	c.want("PushManifest", err, context.Canceled)
	c.hasBlob(c.at(d), false)
	_, err = c.s.Resolve(c.ctx, c.repo.Tag("v1"))
	c.want("what was not pushed", err, registry.ErrNotFound)
}

func testCancelWhilePushing(c *contract) {
	const size = 16 << 20
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	begun := time.Now()
	err := c.s.PushBlob(ctx, c.absent(), size, func() (io.ReadCloser, error) {
		return io.NopCloser(&cancellingReader{cancel: cancel}), nil
	})
	c.want("PushBlob", err, context.Canceled)
	if took := time.Since(begun); took > promptly/2 {
		c.Errorf("it took %v to end", took)
	}
	c.hasBlob(c.absent(), false)
}

// cancellingReader cancels after a while, and goes on slowly, without end.
type cancellingReader struct {
	cancel context.CancelFunc
	reads  int
}

func (r *cancellingReader) Read(p []byte) (int, error) {
	if r.reads++; r.reads > 4 {
		r.cancel()
		time.Sleep(time.Millisecond)
	}
	n := min(len(p), 16<<10)
	clear(p[:n])
	return n, nil
}

func testWriteConcurrently(c *contract) {
	const writers = 16
	subject := c.image("image", nil)
	c.push(c.repo.Tag("v1"), subject)
	shared := describeBytes("", []byte("pushed by all"))
	var pushed [writers]registry.Manifest
	var unindexed atomic.Bool
	c.together(writers, func(i int) {
		s := &source{content: "pushed by all"}
		if err := c.s.PushBlob(c.ctx, c.at(shared), shared.Size, s.open); err != nil {
			c.Errorf("push the shared blob: %v", err)
		}
		m, err := c.pushOwn(i, subject.Descriptor)
		if err != nil {
			c.Errorf("writer %d: %v", i, err)
			return
		}
		report, err := c.s.PushManifest(c.ctx, c.at(m.Descriptor), m, registry.PushOptions{})
		if err != nil {
			c.Errorf("writer %d: %v", i, err)
		}
		if !report.SubjectIndexed {
			unindexed.Store(true)
		}
		if _, err := c.s.PushManifest(c.ctx, c.repo.Tag(fmt.Sprintf("by-%d", i)), m, registry.PushOptions{}); err != nil {
			c.Errorf("writer %d: %v", i, err)
		}
		pushed[i] = m
	})
	if c.Failed() {
		return
	}
	c.hasBlob(c.at(shared), true)
	for i, m := range pushed {
		c.holds(c.repo.Tag(fmt.Sprintf("by-%d", i)), m)
		c.holds(c.at(m.Descriptor), m)
	}
	if unindexed.Load() {
		return // the caller would have to list the referrers
	}
	if list, err := c.referrers(c.at(subject.Descriptor)); err != nil || len(list) != writers {
		c.Errorf("%d referrers are listed, error %v, want %d", len(list), err, writers)
	}
}

// pushOwn makes a manifest with a layer of a writer's own.
func (c *contract) pushOwn(i int, subject v1.Descriptor) (registry.Manifest, error) {
	layer := fmt.Sprintf("layer of writer %d", i)
	d := describeBytes("text/plain", []byte(layer))
	if err := pushBytes(c.ctx, c.s, c.repo, d, []byte(layer)); err != nil {
		return registry.Manifest{}, err
	}
	data := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},`+
		`"layers":[{"mediaType":"text/plain","digest":%q,"size":%d}],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
		subject.MediaType, "application/vnd.oci.empty.v1+json", digestOf([]byte("{}")),
		d.Digest, d.Size, subject.MediaType, subject.Digest, subject.Size)
	return registry.NewManifest(string(subject.MediaType), []byte(data))
}
