package registrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
)

func testReadManifests(c *contract) {
	first := c.image("first", nil)
	c.push(c.repo.Tag("v1"), first)
	second := c.image("second", nil)
	c.push(c.at(second.Descriptor), second)
	both := c.index(nil, first.Descriptor, second.Descriptor)
	c.push(c.repo.Tag("both"), both)
	docker := c.encode(types.DockerManifestSchema2, v1.Manifest{
		SchemaVersion: 2, MediaType: types.DockerManifestSchema2, Layers: []v1.Descriptor{},
		Config: c.blob(`{"architecture":"amd64","os":"linux"}`),
	})
	c.push(c.repo.Tag("docker"), docker)

	c.holds(c.repo.Tag("v1"), first)
	c.holds(c.at(first.Descriptor), first)
	c.holds(c.at(second.Descriptor), second)
	c.holds(c.repo.Tag("both"), both)
	c.holds(c.at(both.Descriptor), both)
	c.holds(c.repo.Tag("docker"), docker)
}

func testAbsent(c *contract) {
	c.push(c.repo.Tag("v1"), c.image("there", nil)) // which makes the repository exist
	refs := []name.Reference{c.repo.Tag("v2"), c.absent()}
	c.eachRead(c.ctx, c.absent(), refs, func(what string, err error) {
		c.want(what, err, registry.ErrNotFound)
	})
}

func testReadBadReferences(c *contract) {
	c.push(c.repo.Tag("v1"), c.image("there", nil))
	for _, bad := range c.badDigests() {
		c.eachRead(c.ctx, bad, []name.Reference{bad}, func(what string, err error) {
			c.want(what, err, registry.ErrReference)
		})
		_, err := c.referrers(bad)
		c.want(fmt.Sprintf("Referrers %q", bad.Identifier()), err, registry.ErrReference)
	}
}

func testTagMoves(c *contract) {
	tag := c.repo.Tag("v1")
	old, now := c.image("old", nil), c.image("new", nil)
	c.push(tag, old)
	c.holds(tag, old)
	c.push(tag, now)
	c.holds(tag, now)
	c.holds(c.at(old.Descriptor), old)
}

func testReadBlobs(c *contract) {
	for _, content := range []string{"", "x", "text", strings.Repeat("many bytes ", 100_000)} {
		d := c.blob(content)
		for _, size := range []int64{d.Size, -1} {
			got, err := c.read(c.ctx, c.at(d), size)
			if err != nil || string(got) != content {
				c.Errorf("blob of %d bytes, asked for with size %d: got %d bytes, error %v", d.Size, size, len(got), err)
			}
		}
	}
}

func testBlobSizes(c *contract) {
	d := c.blob("twelve bytes")
	for _, size := range []int64{0, 1, 11, 13, 1000, 1 << 40} {
		got, err := c.read(c.ctx, c.at(d), size)
		if !errors.Is(err, registry.ErrDigestMismatch) && !errors.Is(err, registry.ErrTooLarge) {
			c.Errorf("size %d: got error %v, want ErrDigestMismatch or ErrTooLarge", size, err)
		}
		if int64(len(got)) > size {
			c.Errorf("size %d: got %d bytes", size, len(got))
		}
	}
}

func testCloseEarly(c *contract) {
	content := strings.Repeat("a blob that is not read to its end ", 10_000)
	d := c.blob(content)
	for range 20 { // more than a pool of connections may hold
		body, err := c.s.Blob(c.ctx, c.at(d), d.Size)
		c.ok("open", err)
		if _, err := io.ReadFull(body, make([]byte, 3)); err != nil {
			c.Errorf("read: %v", err)
		}
		_ = body.Close() // that the rest is not there may be an error
	}
	if got, err := c.read(c.ctx, c.at(d), d.Size); err != nil || string(got) != content {
		c.Errorf("read after others were closed early: %d bytes, error %v", len(got), err)
	}
}

func testNoReferrers(c *contract) {
	m := c.image("lonely", nil)
	c.push(c.repo.Tag("v1"), m)
	for _, subject := range []name.Digest{c.at(m.Descriptor), c.absent()} {
		if list, err := c.referrers(subject); err != nil || len(list) != 0 {
			c.Errorf("referrers of %s: got %v, error %v, want none", subject, list, err)
		}
	}
}

func testReferrers(c *contract) {
	image, other := c.image("image", nil), c.image("other", nil)
	c.push(c.repo.Tag("v1"), image)
	c.push(c.repo.Tag("other"), other)
	subject := c.at(image.Descriptor)
	var want []v1.Descriptor
	for _, m := range []registry.Manifest{
		c.image("signature", &image.Descriptor), c.image("sbom", &image.Descriptor), c.index(&image.Descriptor),
	} {
		want = append(want, c.refer(subject, m, want...))
	}
	c.refer(c.at(other.Descriptor), c.image("foreign", &other.Descriptor))

	got, err := c.referrers(subject)
	c.ok("list referrers", err)
	if len(got) != len(want) {
		c.Errorf("got %d referrers, want %d: %v", len(got), len(want), got)
	}
	for _, w := range want {
		i := slices.IndexFunc(got, func(d v1.Descriptor) bool { return d.Digest == w.Digest })
		if i < 0 {
			c.Errorf("%s is not listed", w.Digest)
			continue
		}
		c.same("referrer", got[i], w)
	}
	for range c.s.Referrers(c.ctx, subject) {
		break // a consumer may have seen enough
	}
}

func testErrorEndsReferrers(c *contract) {
	image := c.image("image", nil)
	c.push(c.repo.Tag("v1"), image)
	subject := c.at(image.Descriptor)
	var all []v1.Descriptor
	for _, seed := range []string{"first", "second", "third"} {
		all = append(all, c.refer(subject, c.image(seed, &image.Descriptor), all...))
	}
	c.endsWithError("a malformed subject", c.repo.Digest("sha256:x"), -1)
	for after := range len(all) {
		c.endsWithError(fmt.Sprintf("a context that ends after %d", after), subject, after)
	}
}

// endsWithError lists referrers under a context that ends after some of them (-1:
// never), and checks that nothing follows an error. A store may have read the
// list ahead, and need not fail where the context ends in its middle.
func (c *contract) endsWithError(what string, subject name.Digest, after int) {
	c.Helper()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	if after == 0 {
		cancel()
	}
	var failed error
	n := 0
	for d, err := range c.s.Referrers(ctx, subject) {
		if failed != nil {
			c.Errorf("%s: after the error %v the list goes on with %s, error %v", what, failed, d.Digest, err)
			return
		}
		failed = err
		if n++; n == after {
			cancel()
		}
	}
	if after <= 0 && failed == nil {
		c.Errorf("%s: no error", what)
	}
}

func testReadCancelled(c *contract) {
	m := c.image("image", nil)
	c.push(c.repo.Tag("v1"), m)
	d := c.blob("a blob")
	ctx, cancel := context.WithCancel(c.ctx)
	cancel()
	c.eachRead(ctx, c.at(d), []name.Reference{c.repo.Tag("v1"), c.at(m.Descriptor)}, func(what string, err error) {
		c.want(what, err, context.Canceled)
	})
	last := errors.New("none")
	for _, err := range c.s.Referrers(ctx, c.at(m.Descriptor)) {
		last = err
	}
	c.want("Referrers", last, context.Canceled)
}

func testCancelWhileReading(c *contract) {
	content := strings.Repeat("a large blob", 1<<20)
	d := c.blob(content)
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	body, err := c.s.Blob(ctx, c.at(d), d.Size)
	c.ok("open", err)
	defer func() { _ = body.Close() }() // it was broken off
	if _, err := io.ReadFull(body, make([]byte, 100)); err != nil {
		c.Fatalf("read: %v", err)
	}
	cancel()
	n, err := io.Copy(io.Discard, body)
	if err == nil && n == d.Size-100 {
		return // it had been read ahead
	}
	c.want("reading on", err, context.Canceled)
}

func testReadConcurrently(c *contract) {
	image := c.image("image", nil)
	c.push(c.repo.Tag("v1"), image)
	content := strings.Repeat("shared ", 10_000)
	d := c.blob(content)
	c.refer(c.at(image.Descriptor), c.image("signature", &image.Descriptor))
	c.together(16, func(int) {
		for range 10 {
			c.holds(c.repo.Tag("v1"), image)
			if got, err := c.read(c.ctx, c.at(d), d.Size); err != nil || string(got) != content {
				c.Errorf("blob: %d bytes, error %v", len(got), err)
			}
			if list, err := c.referrers(c.at(image.Descriptor)); err != nil || len(list) != 1 {
				c.Errorf("referrers: %v, error %v", list, err)
			}
		}
	})
}

// source is a blob's content that counts how often it is opened.
type source struct {
	content string
	mu      sync.Mutex
	opened  int
}

func (s *source) open() (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	return io.NopCloser(bytes.NewReader([]byte(s.content))), nil
}
