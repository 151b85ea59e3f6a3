package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/parallel"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// referrers says which manifests pass as entries of a list of referrers: exactly those that
// pass when they are fetched, with their blobs. The upstream's entries count only by their
// digests: the manifests and blobs are read.
type referrers struct {
	judge  *judge
	access *access
	forms  *forms
	// seen is what manifests are. It does not change, because digests name them.
	seen *lru.Cache[referrerKey, referrer]
}

// referrerKey names a manifest in a repository, as an entry of one list: its blobs are read
// only for the list of its own subject.
type referrerKey struct {
	from *origin // whose credentials can read it; nil: the operator's
	// sum is that of Verifier.Generation, the repository, the subject, the digest, and plain.
	sum [sha256.Size]byte
}

// key names a manifest as an entry of the list.
func (l *listing) key(digest string) referrerKey {
	key := referrerKey{sum: sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %t", l.v.Generation(), l.p.repo.Name(), l.subject, digest, l.plain))}
	if l.p.from.personal {
		key.from = l.p.from
	}
	return key
}

// referrer is what a manifest is as an entry of a list. Little is held of what is unusable:
// an attacker can list any number.
type referrer struct {
	kind referrerKind
	// entry is that of the list; nil: it is unusable.
	entry *v1.Descriptor
	// missing is how long it is taken to be absent; nil: it is there.
	missing *term
}

type referrerKind int

const (
	// unusable is a manifest that does not pass, or is not about the subject of the list, or
	// evidence with a blob that does not pass.
	unusable referrerKind = iota
	// asEvidence passes while its subject does.
	asEvidence
	// asArtifact is not evidence: the policy must allow it as an image.
	asArtifact
)

const (
	// maxReferrers bounds the memory of referrers.seen. A list of as many entries as
	// remote.Options.MaxReferrers fits: it would be read again and again otherwise.
	maxReferrers = 10 << 20
	// parallelReferrers is how many manifests of one list are read at once.
	parallelReferrers = 8
	// maxArtifacts bounds the manifests of one list that the policy is asked about. An
	// attacker who attaches more hides no evidence, which needs no judgement.
	maxArtifacts = 32
	// maxReads bounds the manifests that are read for one list. An attacker can list any
	// number. What was read is remembered: the next request for the list goes on from there.
	maxReads = 1000
	// missingLasts is how long a manifest that was listed and absent is not asked for again.
	missingLasts = time.Minute
)

func newReferrers(j *judge, a *access, f *forms) *referrers {
	return &referrers{judge: j, access: a, forms: f, seen: lru.New[referrerKey](referrer.weight, maxReferrers)}
}

// weight is about how many bytes a referrer holds in memory, with its key.
func (r referrer) weight() int64 {
	const each, entry = 300, 150
	if r.entry == nil {
		return each
	}
	return each + entry + lengthOf(*r.entry)
}

// listing makes one list.
type listing struct {
	*referrers
	v       *verify.Verifier
	p       pull
	subject string
	// nested: the subject is evidence itself.
	nested bool
	// plain: the entries have no annotations, because the list is long.
	plain bool
	// artifacts counts those that the policy was asked about, and reads those that were read.
	artifacts int
	reads     atomic.Int64
}

// passing are the entries of those manifests that pass, in their order. An error says that
// one of them could not be read.
func (l *listing) passing(ctx context.Context, digests []string) ([]v1.Descriptor, error) {
	all, err := parallel.Map(ctx, parallelReferrers, digests, l.referrer)
	if err != nil {
		return nil, err
	}
	var entries []v1.Descriptor
	for i, r := range all {
		passes, err := l.passes(ctx, digests[i], r)
		if err != nil {
			return nil, err
		}
		if passes {
			entries = append(entries, *r.entry)
		}
	}
	return entries, nil
}

// passes reports whether a manifest passes now. The decision, in this order:
//
//   - it is unusable: no;
//   - it is evidence about an image: yes;
//   - it is evidence about evidence: by judge.decide, which bounds such chains;
//   - otherwise by judge.decide, for the first maxArtifacts of a list.
func (l *listing) passes(ctx context.Context, digest string, r referrer) (bool, error) {
	switch {
	case r.kind == unusable:
		return false, nil
	case r.kind == asEvidence && !l.nested:
		return true, nil
	case r.kind == asArtifact && l.artifacts >= maxArtifacts:
		return false, nil
	case r.kind == asArtifact:
		l.artifacts++
	}
	decided, _, err := l.judge.decide(ctx, l.p, digest)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return err == nil && decided.Allowed, nil
}

// referrer says what a manifest is. It is read the first time. An error says that it could
// not be read now.
func (l *listing) referrer(ctx context.Context, digest string) (referrer, error) {
	if forbidden(l.v, l.p, digest) != nil {
		return referrer{}, nil
	}
	key := l.key(digest)
	if known, ok := l.seen.Get(key); ok && (known.missing == nil || known.missing.holds(l.judge.now())) {
		return known, nil
	}
	if l.reads.Add(1) > maxReads {
		return referrer{}, fmt.Errorf("%d referrers were read, and the list has more; ask again: %w", maxReads, errLate)
	}
	leave, err := l.judge.upstreams.of(l.p.from.address).inspections.Take(ctx, 1)
	if err != nil {
		return referrer{}, err
	}
	defer leave()
	r, err := l.inspect(ctx, digest)
	switch {
	case ctx.Err() != nil:
		return referrer{}, context.Cause(ctx)
	case err == nil:
		l.seen.Put(key, r)
		return r, nil
	case errors.Is(err, registry.ErrNotFound):
		missing := l.judge.now.term(missingLasts)
		l.seen.Put(key, referrer{missing: &missing})
		return referrer{}, nil
	case errors.Is(err, registry.ErrDenied), !registry.Unreadable(err):
		return referrer{}, nil // a client that fetches it gets this error
	}
	return referrer{}, err
}

// inspect reads a manifest and, if it is evidence about the subject, its blobs.
func (l *listing) inspect(ctx context.Context, digest string) (r referrer, err error) {
	if err := l.access.mayRead(ctx, l.p, digest); err != nil {
		return r, err
	}
	m, err := l.judge.manifests.byDigest(ctx, l.p, digest)
	if err != nil {
		return r, err
	}
	if m.doc.Subject == nil || m.doc.Subject.Digest.String() != l.subject {
		return r, nil
	}
	rules := l.judge.decisions.rules
	entry := rules.entryOf(m)
	if l.plain {
		entry.Annotations = nil
	}
	r = referrer{kind: asArtifact, entry: &entry}
	if !rules.refers(m) {
		return r, nil
	}
	may := rules.kindsOf(m.doc)
	for _, d := range blobsOf(m) {
		if passes, err := l.blob(ctx, d, may[d.Digest]); err != nil || !passes {
			return referrer{}, err
		}
	}
	r.kind = asEvidence
	return r, nil
}

// blob reports whether a blob of evidence passes.
func (l *listing) blob(ctx context.Context, d v1.Descriptor, may kinds.Set) (bool, error) {
	digest := d.Digest.String()
	switch {
	case forbidden(l.v, l.p, digest) != nil || checkBlobDigest(digest) != nil:
		return false, nil
	case len(d.Data) > 0: // the rules have judged its kind
		return forbidden(l.v, l.p, contentDigest(d.Data)) == nil, nil
	}
	if err := l.access.mayReadBlob(ctx, l.p, digest); err != nil {
		return false, err
	}
	most := l.judge.decisions.rules.maxBytes
	seen, err := l.forms.ofBlob(ctx, l.p, digest, most)
	if err != nil || seen.size > most || seen.kinds&may == 0 {
		return false, err
	}
	denied, err := l.forms.forbidden(ctx, l.v, l.p, digest, most)
	return denied == nil && err == nil, err
}
