package gate

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/share"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// gate decides what passes. Handler and Transport are its two faces.
type gate struct {
	c         Config
	permits   *permits
	links     *links
	manifests *lru.Cache[string, *manifest]
	unjudged  *lru.Cache[string, *manifest]
	tags      *tags
	evidence  evidenceRules
	// looks names the rules of evidence, and forms is what content was seen to be.
	looks  string
	forms  *lru.Cache[string, form]
	limits *limits
	grants *lru.Cache[grantKey, term]
	shown  *lru.Cache[shownKey, term]

	judging share.Group[judgeKey, permit]
	reading share.Group[readKey, *manifest]
	listing share.Group[readKey, *manifest]
	looking share.Group[string, form]
	loads   downloads
	// chunks are for reading from upstreams; buffers, for sending to clients, are
	// small: there may be thousands of those.
	chunks, buffers *sync.Pool
	audit           auditLog
	// upstreams bound what all requests together may cost, and those before each of them.
	upstreams *upstreamBounds
	bodies    bodies
}

func newGate(c Config) *gate {
	g := &gate{
		c:         c,
		permits:   newPermits(&c),
		links:     newLinks(&c),
		manifests: lru.New[string]((*manifest).weight, c.MaxManifests),
		unjudged:  lru.New[string]((*manifest).weight, max(c.MaxManifests/4, minUnjudged)),
		tags:      newTags(),
		evidence:  evidenceRules{c.EvidenceTypes, c.MaxEvidenceBytes},
		forms:     lru.New[string, form](nil, maxForms),
		limits:    newLimits(c.MaxRequests, c.MaxPerClient),
		grants:    lru.New[grantKey, term](nil, maxGrants),
		shown:     lru.New[shownKey, term](nil, maxShown),
		audit:     auditLog{w: c.Audit},
		chunks:    pool(chunk),
		buffers:   pool(smallBuffer),
		upstreams: newUpstreamBounds(len(c.Upstreams)),
	}
	g.loads.g = g
	g.looks = g.evidence.name()
	return g
}

// minUnjudged is room for what one judgement reads, so that nothing of it is read
// twice.
const minUnjudged = 1 << 20

// judgeKey names a judgement that is under way. Credentials are not mixed.
type judgeKey struct {
	from *origin
	key  permitKey
}

// maxNesting bounds how many manifests may vouch for one another: what vouches from
// farther away does not count.
const maxNesting = 5

// decide says whether a manifest passes now: by a decision that still holds, or by
// judging it, once for all who ask. A permit that is returned without an error is
// allowed, or denied; errors are no decisions. depth is how far from what was asked for
// it is: a denial whose own depth is not 0 says only that nothing near enough vouches.
//
// A manifest passes if and only if the policy does not deny its digest, and one of
// these holds, looked for in this order:
//
//   - a manifest that lists it passes;
//   - it is evidence (see evidenceRules) and its subject passes; what a tag other
//     than those of evidence names must pass by itself, though;
//   - the verifier allows it.
//
// None of them lets a manifest pass that brings along content which is other content
// than it describes, or a manifest that the policy denies (see gate.inline).
func (g *gate) decide(ctx context.Context, p pull, digest string, depth int) (permit, bool, error) {
	v, err := g.c.Verifier.Verifier(ctx)
	if err != nil {
		return permit{}, false, err
	}
	key := permitKey{v.Generation(), p.repo.Name(), digest, asManifest}
	if d := g.forbidden(v, p, digest); d != nil {
		return *d, true, nil
	}
	known, ok := g.permits.get(ctx, key)
	if ok && known.depth <= depth && g.holds(known) {
		return known, true, nil
	}
	if depth > maxNesting {
		return permit{depth: depth}, false, nil
	}
	if depth > 0 {
		// Not shared: two that wait for one another would wait for ever.
		decided, err := g.judge(ctx, v, p, key, depth)
		return decided, false, err
	}
	decided, err := g.judging.Do(ctx, judgeKey{p.from, key}, func(ctx context.Context) (permit, error) {
		if known, ok := g.permits.get(ctx, key); ok && known.depth <= depth && g.holds(known) {
			return known, nil // decided between the look above and now
		}
		ctx, cancel := g.inTime(ctx)
		defer cancel()
		return g.judge(ctx, v, p, key, depth)
	})
	return decided, false, err
}

// ruledOut is an error where the policy denies what is asked for whatever there is. It
// comes before all else: such a request costs the upstream nothing, and its answer tells
// nothing of what the upstream has.
func (g *gate) ruledOut(ctx context.Context, p pull, l location) error {
	v, err := g.c.Verifier.Verifier(ctx)
	if err != nil {
		return err
	}
	if e := v.Forbids(p.repo); e != nil {
		return g.denial(e, l.image(p.repo))
	}
	digest := l.ref
	if !l.isDigest() {
		digest, _, _ = evidenceTag(l.ref)
	}
	if d := g.forbidden(v, p, digest); d != nil {
		return g.denial(d.denied, l.image(p.repo))
	}
	return nil
}

// forbidden is the decision about a digest that the policy denies whatever it is;
// nil: it does not.
func (g *gate) forbidden(v *verify.Verifier, p pull, digest string) *permit {
	reason, denied := v.Denies(digest)
	if !denied {
		return nil
	}
	return g.denied(&verify.Error{
		Reason: verify.ReasonDeniedDigest, Reference: p.digest(digest).String(), Digest: p.digest(digest), PolicyDigest: v.PolicyDigest(),
		Detail: registry.SafeText("the policy denies this digest: "+reason, maxMessage/2),
	})
}

// holds reports whether a decision can be used now, and here: another gate may have
// reached it, which keeps its decisions for longer, or takes more for evidence.
func (g *gate) holds(d permit) bool {
	now, most := g.c.Now(), g.c.AllowedFor
	if !d.Allowed {
		most = g.c.DeniedFor
	}
	return term{d.At, d.Until}.holds(now) && now.Before(d.At.Add(most)) && (d.Allowed || d.denied != nil) && (!d.Evidence || d.Looks == g.looks)
}

// judge reaches a decision and keeps it.
func (g *gate) judge(ctx context.Context, v *verify.Verifier, p pull, key permitKey, depth int) (permit, error) {
	decided, far, err := g.vouched(ctx, v, p, key, depth)
	if err == nil && decided == nil {
		decided, err = g.verified(ctx, v, p, key.digest)
	}
	if err != nil {
		return permit{}, err
	}
	if far && !decided.Allowed {
		decided.depth = depth
	}
	return *decided, g.keepJudged(ctx, p, key, decided)
}

// keepJudged keeps a decision. The manifest is read for it again, mostly from memory:
// many judgements that take long must not hold one each.
func (g *gate) keepJudged(ctx context.Context, p pull, key permitKey, decided *permit) error {
	var m *manifest
	if decided.Allowed {
		var err error
		if m, err = g.byDigest(ctx, p, key.digest); err != nil {
			return err
		}
	}
	g.keepDecision(ctx, p, key, m, decided)
	return nil
}

// inTime is a context for one judgement.
func (g *gate) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, g.c.JudgeFor, errLate)
}

// errLate says that a judgement has taken as long as it may.
var errLate = errors.New("it could not be judged within Config.JudgeFor")

// vouched decides by what lists a manifest, or what it is evidence about; nil: that
// does not let it through. far tells that something was too far away to count.
func (g *gate) vouched(ctx context.Context, v *verify.Verifier, p pull, key permitKey, depth int) (by *permit, far bool, err error) {
	if by, err = g.carries(ctx, v, p, key.digest); by != nil || err != nil {
		return by, false, err
	}
	for _, parent := range g.links.get(ctx, linkKey{key.repo, key.digest, asManifest}).Parents {
		by, err = g.byParent(ctx, v, p, key, parent, depth)
		if !errors.Is(err, errFar) && (by != nil || err != nil) {
			return by, far, err
		}
		far = far || err != nil
	}
	m, err := g.byDigest(ctx, p, key.digest)
	if err != nil {
		return nil, far, err
	}
	by, err = g.bySubject(ctx, p, m, depth)
	if errors.Is(err, errFar) {
		return nil, true, nil
	}
	return by, far, err
}

// errFar says that what would vouch is too far away to count.
var errFar = errors.New("what vouches for it is too far away")

// vouches reports whether what was decided about something lets others through.
func vouches(d permit, err error) (bool, error) {
	if err == nil && d.depth > 0 {
		err = errFar
	}
	return err == nil && d.Allowed, gone(err)
}

// carries denies a manifest for what it brings along; nil: that denies nothing.
func (g *gate) carries(ctx context.Context, v *verify.Verifier, p pull, digest string) (*permit, error) {
	m, err := g.byDigest(ctx, p, digest)
	if err != nil {
		return nil, err
	}
	return g.inline(ctx, func(digest string) *permit { return g.forbidden(v, p, digest) }, m.doc, 0)
}

// verified asks the verifier, in its turn: a judgement holds memory until its end.
func (g *gate) verified(ctx context.Context, v *verify.Verifier, p pull, digest string) (*permit, error) {
	leave, err := g.upstreams.of(p.from.address).judgements.Take(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, end := budget.Session(ctx)
	defer end()
	result, err := v.Image(ctx, p.from, p.digest(digest))
	var denied *verify.Error
	if errors.As(err, &denied) {
		return g.denied(denied), nil
	}
	if err != nil {
		return nil, err
	}
	return g.allowed(result), nil
}

// byItself judges what is evidence about something as what it is itself: a tag
// names what somebody wants to run, and that evidence may pass says nothing about
// that.
func (g *gate) byItself(ctx context.Context, p pull, digest string) (permit, error) {
	v, err := g.c.Verifier.Verifier(ctx)
	if err != nil {
		return permit{}, err
	}
	key := permitKey{v.Generation(), p.repo.Name(), digest, asImage}
	if known, ok := g.permits.get(ctx, key); ok && g.holds(known) {
		return known, nil
	}
	return g.judging.Do(ctx, judgeKey{p.from, key}, func(ctx context.Context) (permit, error) {
		if known, ok := g.permits.get(ctx, key); ok && g.holds(known) {
			return known, nil // decided between the look above and now
		}
		ctx, cancel := g.inTime(ctx)
		defer cancel()
		decided, err := g.carries(ctx, v, p, digest)
		if err == nil && decided == nil {
			decided, err = g.verified(ctx, v, p, digest)
		}
		if err != nil {
			return permit{}, err
		}
		// What it lists passes with it, and not as evidence.
		return *decided, g.keepJudged(ctx, p, key, decided)
	})
}

func (g *gate) denied(e *verify.Error) *permit {
	// What was seen is in nobody's answer, and may be much.
	kept := *e
	kept.Evidence = nil
	t := g.term(g.c.DeniedFor)
	return &permit{At: t.from, Until: t.until, Size: -1, Rule: e.Rule, denied: &kept}
}

func (g *gate) allowed(result *verify.Result) *permit {
	t := g.term(g.c.AllowedFor)
	if ends := result.ValidUntil; !ends.IsZero() && ends.Before(t.until) {
		t.until = ends
	}
	// Statements may be large, and nothing here reads them.
	kept := *result
	kept.Statements, kept.Evidence, kept.Requirements, kept.Keys = nil, nil, nil, nil
	d := &permit{Allowed: true, At: t.from, Until: t.until, Size: -1, Rule: result.Rule, result: &kept}
	if result.Warning != nil {
		d.Warning = result.Warning.Error()
		warning := *result.Warning
		warning.Evidence = nil
		kept.Warning = &warning
	}
	return d
}

// byParent decides by a manifest that was seen to list this one. Nil: it does not
// let it through.
func (g *gate) byParent(ctx context.Context, v *verify.Verifier, p pull, key permitKey, parent string, depth int) (*permit, error) {
	if parent == key.digest {
		return nil, nil
	}
	above, _, err := g.decide(ctx, p, parent, depth+1)
	if ok, err := vouches(above, err); !ok {
		return nil, err
	}
	list, err := g.byDigest(ctx, p, parent)
	if err != nil {
		return nil, gone(err)
	}
	if !list.doc.IsIndex {
		// A tag of evidence was about the parent.
		return g.asEvidence(ctx, p, key.digest, above, parent)
	}
	result, err := g.child(ctx, v, p, above, key.digest)
	if errors.Is(err, verify.ErrResult) {
		// Another gate has judged the index, or the verifier of an equal policy: what lists
		// its children must be a result of this one.
		above, err = g.judge(ctx, v, p, permitKey{key.policy, key.repo, parent, asManifest}, depth+1)
		if ok, err := vouches(above, err); !ok {
			return nil, err
		}
		result, err = g.child(ctx, v, p, above, key.digest)
	}
	var denied *verify.Error
	switch {
	case errors.As(err, &denied) && denied.Reason == verify.ReasonNotListed:
		return g.asEvidence(ctx, p, key.digest, above, parent)
	case errors.As(err, &denied):
		return g.denied(denied), nil
	case errors.Is(err, verify.ErrResult): // it has ended meanwhile
		return nil, nil
	case err != nil:
		return nil, err
	}
	d := g.allowed(result)
	d.At = above.At
	if above.Until.Before(d.Until) {
		d.Until = above.Until // never longer than what it rests on
	}
	return d, nil
}

// child asks the verifier about what an index lists.
func (g *gate) child(ctx context.Context, v *verify.Verifier, p pull, above permit, digest string) (*verify.Result, error) {
	if above.result == nil {
		return nil, verify.ErrResult
	}
	return v.Child(ctx, p.from, above.result, p.digest(digest))
}

// gone makes of a parent that is not there any more one that decides nothing.
func gone(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return err
}

// bySubject lets evidence pass for what it is about.
func (g *gate) bySubject(ctx context.Context, p pull, m *manifest, depth int) (*permit, error) {
	if m.doc.Subject == nil || m.doc.Config != nil && evidence.IsImageConfig(string(m.doc.Config.MediaType)) || !g.evidence.admit(m) {
		return nil, nil
	}
	subject := m.doc.Subject.Digest.String()
	if checkDigest(subject) != nil || subject == m.digest {
		return nil, nil
	}
	above, _, err := g.decide(ctx, p, subject, depth+1)
	if ok, err := vouches(above, err); !ok {
		return nil, err
	}
	return g.evidenceOf(above, subject), nil
}

// asEvidence lets a manifest pass that a tag of evidence has named.
func (g *gate) asEvidence(ctx context.Context, p pull, digest string, above permit, parent string) (*permit, error) {
	m, err := g.byDigest(ctx, p, digest)
	if err != nil || !g.evidence.admit(m) {
		return nil, err
	}
	if s := m.doc.Subject; s != nil && s.Digest.String() != parent {
		return nil, nil
	}
	return g.evidenceOf(above, parent), nil
}

func (g *gate) evidenceOf(above permit, subject string) *permit {
	return &permit{Allowed: true, At: above.At, Until: above.Until, Size: -1, Evidence: true, Looks: g.looks, Rule: above.Rule, Warning: above.Warning, about: subject}
}

// keepDecision keeps a decision, and what follows from it for what the manifest
// lists.
func (g *gate) keepDecision(ctx context.Context, p pull, key permitKey, m *manifest, d *permit) {
	if !d.Allowed {
		g.permits.put(key, *d)
		return
	}
	d.linked = linkedAt(g.links.forgotten(d.Evidence))
	g.permits.put(key, *d)
	g.permits.share(ctx, key, *d, d.Until.Sub(g.c.Now()))
	if d.about != "" {
		g.links.add(ctx, linkKey{key.repo, key.digest, asManifest}, d.about, true, 0, g.keepFor(d))
	}
	may := g.mayBe(m, *d)
	for listed, as := range listedBy(m) {
		below := permitKey{key.policy, key.repo, listed.Digest.String(), as}
		g.links.add(ctx, linkKey{key.repo, below.digest, as}, key.digest, d.Evidence, may[listed.Digest], g.keepFor(d))
		if as == asBlob {
			g.permitBlob(below, d.forBlob(listed.Size, may[listed.Digest]))
			continue
		}
		// A child that was denied was so before this was known of it.
		g.permits.refused.Remove(below)
	}
	g.save(ctx, m, d.Evidence)
}

// keepFor is how long what follows from a decision is kept. It is looked at again
// once the decision has ended: longer than that, so that a slow pull still finds what
// its blobs rest on.
func (g *gate) keepFor(d *permit) time.Duration { return d.Until.Sub(g.c.Now()) + g.c.AllowedFor }

// forBlob is what follows from a decision for a blob that the manifest lists: may is what
// it may be as evidence.
func (d *permit) forBlob(size int64, may kinds.Set) permit {
	return permit{Allowed: true, At: d.At, Until: d.Until, Size: size, Evidence: d.Evidence, Kinds: may, Looks: d.Looks, Rule: d.Rule, Warning: d.Warning}
}

// permitBlob keeps what a blob rests on. What images list is not changed by evidence
// that lists it too: whoever can attach that could have it taken for evidence, or for
// something of another size.
func (g *gate) permitBlob(key permitKey, d permit) {
	if d.Evidence {
		if known, ok := g.permits.allowed.Get(key); ok && known.Allowed {
			return
		}
		// What other evidence says it is, it may go on to be.
		if known, ok := g.permits.evidence.Get(key); ok && known.Looks == d.Looks && g.holds(known) {
			d.Kinds |= known.Kinds
		}
	}
	g.permits.put(key, d)
}

// save puts a manifest that passes into the store. One that cannot be stored
// passes all the same.
func (g *gate) save(ctx context.Context, m *manifest, isEvidence bool) {
	if g.c.Store == nil {
		return
	}
	if err := g.c.Store.Put(m.digest, m.bytes, partOf(isEvidence)); err != nil {
		g.c.Logger.WarnContext(ctx, "manifest not stored", "digest", m.digest, "error", err)
	}
}

func blobsOf(m *manifest) []v1.Descriptor {
	if m.doc.IsIndex {
		return nil
	}
	return append([]v1.Descriptor{*m.doc.Config}, m.doc.Layers...)
}

// blob says whether a blob passes now: while a manifest passes that lists it.
func (g *gate) blob(ctx context.Context, p pull, digest string) (permit, error) {
	v, err := g.c.Verifier.Verifier(ctx)
	if err != nil {
		return permit{}, err
	}
	key := permitKey{v.Generation(), p.repo.Name(), digest, asBlob}
	known, ok := g.permits.get(ctx, key)
	ok = ok && known.Allowed && g.holds(known)
	if ok && !known.Evidence {
		return known, nil
	}
	if link := g.links.get(ctx, linkKey{p.repo.Name(), digest, asBlob}); ok && link.Evidence {
		known.Kinds |= link.Kinds
		return known, nil
	}
	// That evidence lists it too takes nothing from an image.
	by, err := g.byLister(ctx, p, digest)
	if ok && (err != nil || by == nil) {
		return known, nil
	}
	if err != nil {
		return permit{}, err
	}
	if by != nil {
		if by.Evidence { // an image that cannot be judged now may list it, too
			by.Kinds |= known.Kinds
		} else {
			g.permits.put(key, *by)
		}
		return *by, nil
	}
	if g.c.InsecureOpenBlobs {
		return permit{Allowed: true, Size: -1}, nil
	}
	if err := g.unlisted(ctx, p, digest); err != nil {
		return permit{}, err
	}
	r := refuse(http.StatusForbidden, codeDenied, "%s is not let through: no manifest that was let through here lists this blob; pull the image that it belongs to", p.digest(digest))
	r.reason = "unlisted-blob"
	return permit{}, r
}

// byLister decides about a blob by the manifests that were seen to list it, of which
// one is enough: one that is denied, or cannot be judged now, takes nothing from the
// others. An image goes before evidence. Nil: none lists it.
func (g *gate) byLister(ctx context.Context, p pull, digest string) (*permit, error) {
	var isEvidence *permit
	var undecided, denied error
	link := g.links.get(ctx, linkKey{p.repo.Name(), digest, asBlob})
	for _, parent := range link.Parents {
		listed, err := g.listed(ctx, p, digest, parent)
		var no *refusal
		switch {
		case errors.As(err, &no):
			denied = err
		case errors.Is(err, registry.ErrNotFound) || err == nil && listed == nil:
		case err != nil:
			undecided = err
		case !listed.Evidence:
			return listed, nil
		case isEvidence == nil:
			isEvidence = listed
		default:
			isEvidence.Kinds |= listed.Kinds
		}
	}
	if isEvidence != nil {
		isEvidence.Kinds |= link.Kinds
		return isEvidence, nil
	}
	if undecided != nil {
		return nil, undecided
	}
	return nil, denied
}

// listed is what a blob rests on that a manifest lists which passes; nil: it does
// not list it. A refusal: the manifest does not pass.
func (g *gate) listed(ctx context.Context, p pull, digest, parent string) (*permit, error) {
	above, _, err := g.decide(ctx, p, parent, 0)
	if err != nil {
		return nil, err
	}
	if !above.Allowed {
		return nil, g.denial(above.denied, p.digest(digest).String())
	}
	m, err := g.byDigest(ctx, p, parent)
	if err != nil {
		return nil, err
	}
	for _, d := range blobsOf(m) {
		if d.Digest.String() != digest {
			continue
		}
		by := above.forBlob(d.Size, 0)
		if by.Evidence {
			by.Kinds = g.mayBe(m, above)[d.Digest]
		}
		return &by, nil
	}
	return nil, nil
}

// unlisted is an error where the upstream does not have a blob that no manifest
// lists: then the answer is the one that the specification has for it.
func (g *gate) unlisted(ctx context.Context, p pull, digest string) error {
	key := readKey{p.from, p.repo.Name() + " blob " + digest}
	if known, ok := g.tags.get(key); ok && known.holds(g.c.Now()) {
		return known.missing
	}
	there, err := p.from.client.HasBlob(ctx, p.from.digest(p.digest(digest)))
	switch {
	case err != nil:
		return err
	case !there:
		missing := &registry.Error{Op: "read blob", Ref: p.digest(digest).String(), Kind: registry.ErrNotFound}
		g.tags.put(key, tagged{missing: missing, term: g.term(g.c.MissingFor)})
		return missing
	}
	g.tags.put(key, tagged{term: g.term(g.c.MissingFor)})
	return nil
}
