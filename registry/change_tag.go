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

// The fallback tag and cosign's tags are changed by reading, merging and
// writing, which no registry does in one step. A writer therefore looks again
// later than another writer may take from its read to its write, and adds what
// got lost: after tagSettle, or after tagPatience times what it took itself,
// since a slow registry or machine is slow for the others too.
const (
	tagSettle   = 150 * time.Millisecond
	tagPatience = 4
	tagAttempts = 40
	// tagIgnored is how many writes in a row may leave a tag as it was. Other
	// writers change it; a store that does not keep what it takes does not.
	tagIgnored = 5
)

// maxTagBytes is how large such a tag's manifest may grow: what readers take by
// default. One byte more, and all that it holds could not be read any more.
const maxTagBytes = 4 << 20

// changeTag changes what a tag holds until a look at it shows the change. merge
// gets the tag's document, or nil where there is no tag, and returns what to
// write, or nil where nothing is missing.
func changeTag(ctx context.Context, s Store, tag name.Tag, merge func(*oci.Document) (*Manifest, error)) (name.Digest, error) {
	return changeTagAfter(ctx, s, tag, nil, merge)
}

// changeTagAfter is changeTag that does something first, unless that is nil, while
// it reads the tag: what the tag is to list must be there before it. first reports
// whether the tag is to be changed at all.
func changeTagAfter(
	ctx context.Context, s Store, tag name.Tag, first func(context.Context) (bool, error), merge func(*oci.Document) (*Manifest, error),
) (name.Digest, error) {
	failures, ignored, written := 0, 0, false
	var last *v1.Hash // what the tag held before the last write that was taken
	for range tagAttempts {
		start := time.Now()
		before, held, done, err := changeOnce(ctx, s, tag, first, merge)
		first = nil
		if err != nil || done || last == nil || *last != before {
			ignored = 0
		} else if ignored++; ignored == tagIgnored {
			return name.Digest{}, &Error{Op: "attach under", Ref: text(tag), Kind: ErrNotConfirmed,
				Detail: fmt.Sprintf("the store has taken the tag's manifest %d times, and the tag holds what it held before", ignored+1)}
		}
		if last = nil; err == nil {
			last = &before
		}
		wait := max(tagSettle, tagPatience*time.Since(start))
		switch {
		case !done && errors.Is(err, ErrConflict):
			wait = 0 // nothing was written that could get lost
		case !done && err != nil:
			failures++
			var again bool
			if wait, again = pauseAfter(ctx, s, failures, err); !again {
				return held, err
			}
		case err != nil && written && ctx.Err() == nil:
			return held, &Error{Op: "attach under", Ref: text(tag), Kind: ErrNotConfirmed, Detail: "what was written cannot be read back", Err: err}
		case err != nil || done:
			return held, err
		}
		written = written || err == nil
		// Writers that collided would collide again if they waited alike.
		if err := pause.For(ctx, wait+rand.N(tagSettle)); err != nil {
			return name.Digest{}, err
		}
	}
	return name.Digest{}, &Error{Op: "attach under", Ref: SafeText(tag.String(), maxErrorText), Kind: ErrNotConfirmed,
		Detail: fmt.Sprintf("other writers changed the tag %d times; attach again", tagAttempts)}
}

// pauseAfter is how long to wait after some failed writes of a tag, and whether
// another may help: one that begins with reading the tag again.
func pauseAfter(ctx context.Context, s Store, failures int, err error) (wait time.Duration, again bool) {
	w, ok := s.(TagWriter)
	if !ok || ctx.Err() != nil {
		return 0, false
	}
	return w.RetryDelay(failures, err)
}

// changeOnce reads, merges and writes. done: nothing more is to be done, and held,
// without an error, is what the tag holds. A write is sent once where it can be
// told to wait: what it says may be out of date by then. before is what the tag
// held, if anything.
func changeOnce(
	ctx context.Context, s Store, tag name.Tag, first func(context.Context) (bool, error), merge func(*oci.Document) (*Manifest, error),
) (before v1.Hash, held name.Digest, done bool, err error) {
	w, shared := s.(TagWriter)
	if shared {
		unlock, err := w.LockTag(ctx, tag)
		if err != nil {
			return before, held, false, err
		}
		defer unlock()
	}
	current, doc, wanted, err := readTagBeside(ctx, s, tag, first)
	if err != nil || !wanted {
		return before, held, true, err
	}
	before = current.Descriptor.Digest
	next, err := merge(doc)
	if err != nil {
		return before, held, true, err
	}
	if next == nil {
		return before, tag.Context().Digest(current.Descriptor.Digest.String()), true, nil
	}
	if n := next.Descriptor.Size; n > maxTagBytes && n > current.Descriptor.Size {
		return before, held, true, &Error{Op: "attach under", Ref: text(tag), Kind: ErrTooLarge,
			Detail: fmt.Sprintf("the tag's manifest would have %d bytes, and readers take %d; remove what is not needed", n, maxTagBytes)}
	}
	report, err := s.PushManifest(ctx, tag, *next, PushOptions{IfMatch: current.ETag, IfAbsent: doc == nil, Once: shared})
	return before, tag.Context().Digest(next.Descriptor.Digest.String()), report.Atomic, err
}

// readTagBeside reads a tag while it does something else, unless that is nil,
// which reports whether the tag is wanted. Where it is not, nothing about the tag
// is an error.
func readTagBeside(
	ctx context.Context, s Store, tag name.Tag, something func(context.Context) (bool, error),
) (m Manifest, doc *oci.Document, wanted bool, err error) {
	if something == nil {
		m, doc, err = readTag(ctx, s, tag)
		return m, doc, true, err
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	read := parallel.Start(func() (_ struct{}, err error) {
		m, doc, err = readTag(reading, s, tag)
		return struct{}{}, err
	})
	if wanted, failed = something(ctx); failed != nil || !wanted {
		cancel() // and wait: nothing is left behind
	}
	if _, err = read(); err != nil {
		err = asError("read", text(tag), err)
	}
	if failed != nil || !wanted {
		err = failed
	}
	return m, doc, wanted, err
}

func readTag(ctx context.Context, s Store, tag name.Tag) (Manifest, *oci.Document, error) {
	m, err := ReadManifest(ctx, s, tag)
	if errors.Is(err, ErrNotFound) {
		return Manifest{}, nil, nil
	}
	if err != nil {
		return m, nil, err
	}
	doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
	if err != nil {
		return m, nil, &Error{Op: "attach under", Ref: SafeText(tag.String(), maxErrorText), Kind: ErrMalformed, Err: err}
	}
	return m, doc, nil
}
