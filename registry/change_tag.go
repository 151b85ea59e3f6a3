package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/parallel"
	"github.com/hallmark-oci/hallmark/internal/pause"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// The fallback tag and cosign's tags are changed by reading, merging and writing, which
// no registry does in one step. A writer therefore looks again later than another writer
// may take from its read to its write, and adds what got lost: after tagSettle, or after
// tagPatience times what it took itself, since a slow registry or machine is slow for
// the others too.
const (
	tagSettle   = 150 * time.Millisecond
	tagPatience = 4
	tagAttempts = 40
	// tagIgnored is how many writes in a row may leave a tag as it was. Other writers
	// change it; a store that does not keep its content does not.
	tagIgnored = 5
)

// maxTagBytes is how large such a tag's manifest may grow: readers take no more by
// default. One byte more, and nothing in it could be read.
const maxTagBytes = 4 << 20

// tagChange is one change of a tag.
type tagChange struct {
	s   Store
	tag name.Tag
	// merge gets what the tag holds, and returns what to write; nil: nothing is missing.
	merge func(held heldTag) (*Manifest, error)
	// first runs while the tag is read: it stores what the tag is to list. It reports
	// whether the tag is to be changed at all. Nil: there is nothing to do first.
	first func(context.Context) (bool, error)
	// adds: the change only adds evidence. Then a refused read may mean that the tag
	// does not exist; see seemsAbsent.
	adds bool

	failures, ignored int
	written           bool
	last              *v1.Hash // what the tag held before the last write that was taken
}

// heldTag is what a tag holds. Without doc, the tag does not exist.
type heldTag struct {
	Manifest
	doc *oci.Document
	// assumed is the refusal that was taken to mean that the tag does not exist.
	assumed error
}

// run changes the tag until a look at it shows the change, and returns what it holds.
func (c *tagChange) run(ctx context.Context) (name.Digest, error) {
	for range tagAttempts {
		start := time.Now()
		before, held, done, err := c.once(ctx)
		c.first = nil
		if c.counts(before.Descriptor.Digest, done, err); c.ignored == tagIgnored {
			return name.Digest{}, &Error{Op: "attach under", Ref: text(c.tag), Kind: ErrNotConfirmed,
				Detail: fmt.Sprintf("the store has taken the tag's manifest %d times, and the tag holds what it held before", c.ignored+1)}
		}
		wait := max(tagSettle, tagPatience*time.Since(start))
		switch {
		case !done && errors.Is(err, ErrConflict):
			if err := c.conflict(ctx, before, err); err != nil {
				return held, err
			}
			wait = 0 // nothing was written that could get lost
		case !done && errors.Is(err, ErrImmutable):
			return held, c.immutable("exempt the tags sha256-* from the registry's rule for immutable tags", err)
		case !done && err != nil:
			c.failures++
			var again bool
			if wait, again = c.pauseAfter(ctx, err); !again {
				return held, err
			}
		case err != nil && c.written && ctx.Err() == nil:
			return held, &Error{Op: "attach under", Ref: text(c.tag), Kind: ErrNotConfirmed, Detail: "what was written cannot be read back", Err: err}
		case err != nil || done:
			return held, err
		}
		c.written = c.written || err == nil
		// Writers that collided would collide again if they waited alike.
		if err := pause.For(ctx, wait+rand.N(tagSettle)); err != nil {
			return name.Digest{}, err
		}
	}
	return name.Digest{}, &Error{Op: "attach under", Ref: text(c.tag), Kind: ErrNotConfirmed,
		Detail: fmt.Sprintf("the tag has changed between reading and writing %d times; attach again", tagAttempts)}
}

// counts counts the writes in a row that were taken and left the tag as it was.
func (c *tagChange) counts(before v1.Hash, done bool, err error) {
	if err != nil || done || c.last == nil || *c.last != before {
		c.ignored = 0
	} else {
		c.ignored++
	}
	if c.last = nil; err == nil {
		c.last = &before
	}
}

// conflict returns an error if a refused write is not due to another writer: the tag
// still holds what it held when it was read.
func (c *tagChange) conflict(ctx context.Context, before heldTag, refused error) error {
	if err := pause.For(ctx, tagSettle); err != nil {
		return err
	}
	now, err := c.read(ctx)
	switch {
	case err != nil:
		return err
	case now.assumed != nil:
		return now.assumed // the tag exists, and this user may not read it
	}
	if now.Descriptor.Digest != before.Descriptor.Digest || now.ETag != before.ETag {
		return nil
	}
	return c.immutable("the tag has not changed since it was read, and the registry refuses to change it; exempt the tags sha256-* from its rules", refused)
}

func (c *tagChange) immutable(detail string, refused error) error {
	return &Error{Op: "attach under", Ref: text(c.tag), Kind: ErrImmutable, Host: HostOf(refused), Detail: detail, Err: refused}
}

// pauseAfter returns how long to wait after some failed writes, and whether another may
// help: one that begins with reading the tag again.
func (c *tagChange) pauseAfter(ctx context.Context, err error) (wait time.Duration, again bool) {
	w, ok := c.s.(TagWriter)
	if !ok || ctx.Err() != nil {
		return 0, false
	}
	return w.RetryDelay(c.failures, err)
}

// once reads, merges and writes. done: nothing more is to be done, and held, without an
// error, is what the tag holds. A write is sent once if the store can be told to: what it
// says may be out of date by then. before is what the tag held.
func (c *tagChange) once(ctx context.Context) (before heldTag, held name.Digest, done bool, err error) {
	w, shared := c.s.(TagWriter)
	if shared {
		unlock, err := w.LockTag(ctx, c.tag)
		if err != nil {
			return before, held, false, err
		}
		defer unlock()
	}
	before, wanted, err := c.readBeside(ctx)
	if err != nil || !wanted {
		return before, held, true, err
	}
	next, err := c.merge(before)
	if err != nil {
		return before, held, true, err
	}
	if next == nil {
		return before, c.tag.Context().Digest(before.Descriptor.Digest.String()), true, nil
	}
	if n := next.Descriptor.Size; n > maxTagBytes && n > before.Descriptor.Size {
		return before, held, true, &Error{Op: "attach under", Ref: text(c.tag), Kind: ErrTooLarge,
			Detail: fmt.Sprintf("the tag's manifest would have %d bytes, and readers take %d; remove evidence that is not needed", n, maxTagBytes)}
	}
	if before.assumed != nil {
		if err := staysAbsent(ctx, c.s, c.tag, *next); err != nil {
			changed := errors.Is(err, ErrConflict)
			if !changed {
				err = before.assumed
			}
			return before, held, !changed, err
		}
	}
	report, err := c.s.PushManifest(ctx, c.tag, *next, PushOptions{IfMatch: before.ETag, IfAbsent: before.doc == nil, Once: shared})
	return before, c.tag.Context().Digest(next.Descriptor.Digest.String()), report.Atomic, err
}

// readBeside reads the tag while it runs first, and reports whether the tag is wanted. If
// it is not, nothing about the tag is an error.
func (c *tagChange) readBeside(ctx context.Context) (held heldTag, wanted bool, err error) {
	if c.first == nil {
		held, err = c.read(ctx)
		return held, true, err
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	read := parallel.Start(func() (heldTag, error) { return c.read(reading) })
	if wanted, failed = c.first(ctx); failed != nil || !wanted {
		cancel() // and wait: nothing is left behind
	}
	if held, err = read(); err != nil {
		err = asError("read", text(c.tag), err)
	}
	if failed != nil || !wanted {
		err = failed
	}
	return held, wanted, err
}

func (c *tagChange) read(ctx context.Context) (heldTag, error) {
	m, err := ReadManifest(ctx, c.s, c.tag)
	switch {
	case errors.Is(err, ErrNotFound):
		return heldTag{}, nil
	case err != nil && c.adds && !c.written && seemsAbsent(ctx, c.s, c.tag, err):
		return heldTag{assumed: err}, nil
	case err != nil:
		return heldTag{Manifest: m}, err
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		return heldTag{Manifest: m}, &Error{Op: "attach under", Ref: text(c.tag), Kind: ErrMalformed, Err: err}
	}
	return heldTag{Manifest: m, doc: doc}, nil
}
