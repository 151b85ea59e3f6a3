package registry

import (
	"context"
	"fmt"
	"slices"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// copyLists are the lists of referrers at the destination.
type copyLists struct {
	*copyRun
	mu  sync.Mutex
	all map[v1.Hash]*destinationList // by subject
}

// destinationList is what the destination lists as referrers of one subject.
type destinationList struct {
	mu      sync.Mutex
	have    map[v1.Hash]v1.Descriptor // nil until it was asked
	missing []v1.Descriptor           // pushed, and not listed yet
	copied  []copiedReferrer          // pushed, and to be listed in the end
	lost    []v1.Hash                 // of those, not listed when it was looked at last
	pushed  int                       // how often those that were lost were pushed again
}

// copiedReferrer is a referrer as it has to be listed. A registry may list the
// media type of the config as the artifact type, or none.
type copiedReferrer struct {
	v1.Descriptor
	config string
}

func (r copiedReferrer) isListedAs(d v1.Descriptor) bool {
	known := d.ArtifactType == r.ArtifactType || d.ArtifactType == r.config || d.ArtifactType == ""
	return oci.SameContent(d, r.Descriptor) && known && (evidence.MayCarry(d.ArtifactType) || !evidence.MayCarry(r.ArtifactType))
}

func (c *copyLists) of(subject v1.Hash) *destinationList {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all[subject] == nil {
		c.all[subject] = &destinationList{}
	}
	return c.all[subject]
}

// holds reports whether the destination lists a referrer as what it is.
func (c *copyLists) holds(ctx context.Context, t *tree) (bool, error) {
	entry, subject := oci.Listed(t.Descriptor, t.doc), t.doc.Subject.Digest
	l := c.of(subject)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.have == nil {
		have, err := c.ask(ctx, subject)
		if err != nil {
			return false, err
		}
		l.have = have
	}
	listed, there := l.have[entry.Digest]
	return there && oci.SameContent(listed, entry) && listed.ArtifactType == entry.ArtifactType, nil
}

// ask asks the destination for its list. Readers take the first entry of each digest.
func (c *copyLists) ask(ctx context.Context, subject v1.Hash) (map[v1.Hash]v1.Descriptor, error) {
	list, err := slotted(ctx, c.copyRun, func() ([]v1.Descriptor, error) {
		return collectReferrers(ctx, c.dst, c.to.Digest(subject.String()), c.o.MaxEvidence)
	})
	if Unreadable(err) && !Refused(err) {
		return nil, err
	}
	// What is not a list holds nothing; writing to it will say what is wrong.
	have := make(map[v1.Hash]v1.Descriptor, len(list))
	for _, d := range list {
		have[d.Digest] = d
	}
	return have, nil
}

// add notes a manifest that was pushed: it has to be listed in the
// end and, unless the destination indexes subjects, by the fallback tag.
func (c *copyLists) add(t *tree, indexed bool) {
	entry := oci.Listed(t.Descriptor, t.doc)
	copied := copiedReferrer{Descriptor: t.Descriptor}
	copied.ArtifactType = entry.ArtifactType
	if t.doc.Config != nil {
		copied.config = string(t.doc.Config.MediaType)
	}
	l := c.of(t.doc.Subject.Digest)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.copied = append(l.copied, copied)
	if !indexed {
		l.missing = append(l.missing, entry)
	}
}

// write adds what was noted to the fallback tags, to each once: a change of
// such a tag takes a while, however many entries it adds.
func (c *copyLists) write(ctx context.Context) error {
	var subjects []v1.Hash
	for subject, l := range c.all {
		if len(l.missing) > 0 {
			subjects = append(subjects, subject)
		}
	}
	return forEach(ctx, c.copyRun, subjects, func(ctx context.Context, subject v1.Hash) error {
		_, err := slotted(ctx, c.copyRun, func() (struct{}, error) {
			return struct{}{}, addToFallback(ctx, c.dst, c.to.Digest(subject.String()), nil, c.all[subject].missing...)
		})
		return err
	})
}

// confirm looks for the copied referrers of a subject in the destination's
// list. Readers take the first entry of each digest.
func (c *copyLists) confirm(ctx context.Context, subject v1.Hash, l *destinationList) error {
	at := c.to.Digest(subject.String())
	left := make(map[v1.Hash]copiedReferrer, len(l.copied))
	for _, r := range l.copied {
		left[r.Digest] = r
	}
	entries := 0
	for d, err := range c.dst.Referrers(ctx, at) {
		if err != nil {
			return err
		}
		if entries++; entries > c.o.MaxEvidence {
			break
		}
		r, ours := left[d.Digest]
		if ours && !r.isListedAs(d) {
			return unconfirmed(at, fmt.Sprintf("it lists %s as something else: %s of %d bytes, artifact type %s",
				d.Digest, safe(string(d.MediaType)), d.Size, safe(d.ArtifactType)))
		}
		if delete(left, d.Digest); len(left) == 0 {
			return nil
		}
	}
	missing := make([]string, 0, len(left))
	l.lost = nil
	for h := range left {
		missing = append(missing, h.String())
		l.lost = append(l.lost, h)
	}
	return unconfirmed(at, fmt.Sprintf("it does not list %s, nor %d others", slices.Min(missing), len(missing)-1))
}

// again pushes the referrers that were lost, one after another: registries lose some
// that are pushed at the same time. One that says that it indexes subjects, and lists
// none, gets a fallback tag in the end.
func (c *copyLists) again(ctx context.Context, subject v1.Hash, l *destinationList) error {
	l.pushed++
	var entries []v1.Descriptor
	for _, h := range l.lost {
		m, err := c.readSource(ctx, c.from.Digest(h.String()))
		if err != nil {
			return err
		}
		doc, err := oci.Parse(string(m.Descriptor.MediaType), m.Bytes)
		if err != nil {
			return err
		}
		report, err := c.dst.PushManifest(ctx, c.to.Digest(h.String()), m, PushOptions{})
		if err != nil {
			return err
		}
		if !report.SubjectIndexed || l.pushed > 1 && mayLackReferrers(c.dst, c.to) {
			entries = append(entries, oci.Listed(m.Descriptor, doc))
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return addToFallback(ctx, c.dst, c.to.Digest(subject.String()), nil, entries...)
}
