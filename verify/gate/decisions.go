package gate

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/lru"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
	"github.com/hallmark-oci/hallmark/verify"
)

// role is what a digest is asked for as. What holds for one role says nothing about
// the others: that evidence lists a digest as its blob does not let a manifest of
// that digest pass.
type role string

const (
	asManifest role = "manifest"
	asBlob     role = "blob"
	// asImage is evidence that a tag names, and that was judged by itself.
	asImage role = "image"
	// asList is a list of referrers that the gate has written.
	asList role = "list"
)

// permitKey names a decision about a digest. policy is Verifier.Generation.
type permitKey struct {
	policy, repo, digest string
	as                   role
}

// parts are what a decision is about, as a shared store knows it.
func (k permitKey) parts() []string {
	return []string{"gate permit", k.policy, k.repo, k.digest, string(k.as)}
}

// permit is what was decided about a manifest, or what a blob rests on.
type permit struct {
	// Allowed is the decision until Until. It was reached at At, or what it rests on
	// was.
	Allowed bool      `json:"allowed,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	// Size is the blob's, as the manifest says; -1 for manifests.
	Size int64 `json:"size"`
	// Evidence: it passes for what it is about, and must be evidence.
	Evidence bool `json:"evidence,omitempty"`
	// Kinds are what a blob of evidence may be.
	Kinds kinds.Set `json:"kinds,omitempty"`
	// Looks says by which rules it is evidence: another gate's may be others.
	Looks string `json:"looks,omitempty"`
	Rule  string `json:"rule,omitempty"`
	// Warning is the denial that a rule which only warns did not enforce.
	Warning string `json:"warning,omitempty"`
	// Reason is that denial's.
	Reason verify.Reason `json:"reason,omitempty"`

	// policyDigest is that of the policy that it was asked for by, for reports.
	policyDigest string
	// result is the decision itself, where this process made it.
	result *verify.Result
	// denied is the refusal, where the decision is negative.
	denied *verify.Error
	// depth is how far away a denial was asked for when something that might have
	// vouched for it was too far away to count. A request from nearer has it decided
	// again. 0: it holds for all.
	depth int
	// about is what it is evidence about, where it does not say so itself.
	about string
	// policy is that of its key.
	policy string
	// linked is how much had been forgotten of links when those of this manifest
	// were known to be there; see judge.relink. Nil: it has none.
	linked *atomic.Int64
}

// forBlob is what follows from a decision for a blob that the manifest lists: may is what
// it may be as evidence.
func (d *permit) forBlob(size int64, may kinds.Set) permit {
	return permit{Allowed: true, At: d.At, Until: d.Until, Size: size, Evidence: d.Evidence, Kinds: may, Looks: d.Looks, Rule: d.Rule, Warning: d.Warning, Reason: d.Reason}
}

// report is a decision that lets something pass, for the audit log.
func (d *permit) report(image, digest string) verify.Report {
	to := verify.Report{Image: image, Status: verify.StatusVerified, Digest: digest, Policy: d.policyDigest, Rule: d.Rule, JudgedAt: d.At.UTC()}
	if d.Warning != "" {
		to.Status, to.Reason, to.Detail = verify.StatusWarned, d.Reason, d.Warning
	}
	return to
}

// linkKey names a digest that manifests of a repository list. There is no policy in
// it: who lists what does not change with that, so a pull under way goes on when the
// policy is replaced.
type linkKey struct {
	repo, digest string
	as           role
}

func (k linkKey) parts() []string { return []string{"gate link", k.repo, k.digest, string(k.as)} }

// link is what may vouch for a digest. It decides nothing: each parent is judged
// when it is needed.
type link struct {
	// Parents are manifests that list the digest, or that it is evidence about, the
	// latest first, but evidence after images.
	Parents []string `json:"parents"`
	// Evidence: no image is among them.
	Evidence bool `json:"evidence,omitempty"`
	// Kinds are what evidence has said that a blob may be, also such evidence as had to
	// make room among the parents for an attacker's.
	Kinds kinds.Set `json:"kinds,omitempty"`
}

// maxParents bounds what is remembered of manifests that share a blob.
const maxParents = 4

// decisions are those that are known: permits, and the links between digests that they
// were reached by. The durations, and the store that processes share, are the
// verifier's.
type decisions struct {
	now     clock
	rules   evidenceRules
	looks   string // rules.name()
	permits *lru.Cache[permitKey, permit]
	links   *lru.Cache[linkKey, link]
	// changing is held to change what depends on what is there: evidence that comes at the
	// same time as an image must not replace it.
	changing sync.Mutex
}

// The shelves of decisions.permits and decisions.links. No flood of refused names drives
// out what is good, and no evidence: an attacker who can push can attach as much as there
// is room for.
const (
	imageShelf = iota
	evidenceShelf
	refusedShelf // of permits alone
)

// decisionBytes is what a decision weighs at least, and all of them on average at most:
// there are no more than Config.MaxDecisions, and their memory is bounded.
const decisionBytes = 512

func newDecisions(c *Config) *decisions {
	most, rules := int64(c.MaxDecisions)*decisionBytes, evidenceRules{c.EvidenceTypes, c.MaxEvidenceBytes}
	return &decisions{
		now: c.Now, rules: rules, looks: rules.name(),
		permits: lru.New[permitKey](permit.weight, most, most, most), links: lru.New[linkKey](link.weight, most, most),
	}
}

// shelf is where a decision is kept.
func (d permit) shelf() int {
	switch {
	case !d.Allowed:
		return refusedShelf
	case d.Evidence:
		return evidenceShelf
	}
	return imageShelf
}

// weight is about how many bytes a decision holds in memory, with its key.
func (d permit) weight() int64 {
	const each, result, denial, unmet = 432, 400, 700, 300
	n := int64(each + len(d.Looks) + len(d.Rule) + len(d.Warning) + len(d.Reason) + len(d.about))
	if d.result != nil {
		n += result
		if d.result.Warning != nil {
			n += denial + int64(unmet*len(d.result.Warning.Unmet))
		}
	}
	if d.denied != nil {
		n += denial + int64(unmet*len(d.denied.Unmet))
	}
	return max(decisionBytes, n)
}

// linkShelf is where links are kept that evidence alone vouches by, and others.
func linkShelf(evidence bool) int {
	if evidence {
		return evidenceShelf
	}
	return imageShelf
}

// weight is about how many bytes a link holds in memory, with its key.
func (l link) weight() int64 {
	const each, parent = 400, 96
	return max(decisionBytes, each+parent*int64(len(l.Parents)))
}

// get returns a decision that can be used now, and here: another gate may have reached
// it, which keeps its decisions for longer, or takes more for evidence.
func (ds *decisions) get(ctx context.Context, v *verify.Verifier, key permitKey) (permit, bool) {
	known, ok := ds.permits.Get(key)
	if !ok {
		if known, ok = recall[permit](ctx, v, key.parts()); ok {
			known.linked = linkedAt(-1)
			known = added(ds, ds.permits, key, known, known.shelf())
		}
	}
	known.policy = key.policy
	return known, ok && ds.hold(v, known)
}

// added puts what was recalled where there is nothing yet, and returns what is there.
func added[K comparable, V any](ds *decisions, to *lru.Cache[K, V], key K, recalled V, on int) V {
	ds.changing.Lock()
	defer ds.changing.Unlock()
	if now, ok := to.Get(key); ok {
		return now
	}
	to.PutOn(on, key, recalled)
	return recalled
}

func (ds *decisions) hold(v *verify.Verifier, d permit) bool {
	most, denied := v.TTLs()
	if !d.Allowed {
		most = denied
	}
	now := ds.now()
	return term{d.At, d.Until}.holds(now) && now.Before(d.At.Add(most)) && (d.Allowed || d.denied != nil) && (!d.Evidence || d.Looks == ds.looks)
}

// put remembers a decision in this process.
func (ds *decisions) put(key permitKey, d permit) {
	ds.changing.Lock()
	defer ds.changing.Unlock()
	ds.permits.PutOn(d.shelf(), key, d)
}

// ttl is how long what follows from a decision is kept. It is looked at again
// once the decision has ended. A slow pull still finds what its blobs rest on then.
func (ds *decisions) ttl(v *verify.Verifier, d *permit) time.Duration {
	allowed, _ := v.TTLs()
	return d.Until.Sub(ds.now()) + allowed
}

// putBlob keeps what a blob rests on. What images list is not changed by evidence
// that lists it too: who can attach that could have it taken for evidence, or for
// something of another size.
func (ds *decisions) putBlob(v *verify.Verifier, key permitKey, d permit) {
	ds.changing.Lock()
	defer ds.changing.Unlock()
	if known, ok := ds.permits.Get(key); d.Evidence && ok && known.Allowed {
		if !known.Evidence {
			return
		}
		// What other evidence says it is, it may go on to be.
		if known.Looks == d.Looks && ds.hold(v, known) {
			d.Kinds |= known.Kinds
		}
	}
	ds.permits.PutOn(d.shelf(), key, d)
}

// link returns what may vouch for a digest.
func (ds *decisions) link(ctx context.Context, v *verify.Verifier, key linkKey) link {
	known, ok := ds.links.Get(key)
	if !ok {
		if known, ok = recall[link](ctx, v, key.parts()); ok {
			known = added(ds, ds.links, key, known, linkShelf(known.Evidence))
		}
	}
	return known
}

// addLink remembers that a manifest, which rests on a decision, lists a digest, and lets
// other gates find it for a while. Evidence never goes before images: an attacker who
// attaches it could drive them out. may is what a blob may be as evidence.
func (ds *decisions) addLink(ctx context.Context, v *verify.Verifier, key linkKey, parent string, of *permit, may kinds.Set) {
	if known, changed := ds.changeLink(key, parent, of.Evidence, may); changed {
		remember(ctx, v, key.parts(), known, ds.ttl(v, of))
	}
}

func (ds *decisions) changeLink(key linkKey, parent string, evidence bool, may kinds.Set) (known link, changed bool) {
	ds.changing.Lock()
	defer ds.changing.Unlock()
	known, ok := ds.links.Get(key)
	if known, changed = known.with(parent, ok, evidence, may); changed {
		ds.links.PutOn(linkShelf(known.Evidence), key, known)
	}
	return known, changed
}

// with is a link with one more parent; false: it changes nothing.
func (l link) with(parent string, known, evidence bool, may kinds.Set) (link, bool) {
	may |= l.Kinds
	others := slices.DeleteFunc(slices.Clone(l.Parents), func(other string) bool { return other == parent })
	switch {
	case !known || !evidence || l.Evidence:
		l = link{append([]string{parent}, others...), evidence, may}
	case slices.Contains(l.Parents, parent):
		return l, false
	default:
		l.Parents = append(others, parent)
	}
	l.Parents = l.Parents[:min(len(l.Parents), maxParents)]
	return l, true
}

// linkedAt makes the linked of a permit. -1: its links may not be there.
func linkedAt(forgotten int64) *atomic.Int64 {
	n := new(atomic.Int64)
	n.Store(forgotten)
	return n
}

// mayBe says what each blob may be that evidence lists; nil: it is not evidence.
func (ds *decisions) mayBe(m *manifest, evidence bool) map[v1.Hash]kinds.Set {
	if !evidence {
		return nil
	}
	return ds.rules.kindsOf(m.doc)
}

// keep keeps what was decided about a manifest, and what follows for what it lists.
func (ds *decisions) keep(ctx context.Context, v *verify.Verifier, key permitKey, m *manifest, d *permit) {
	if !d.Allowed {
		ds.put(key, *d)
		return
	}
	d.linked, d.policy = linkedAt(ds.links.Evicted(linkShelf(d.Evidence))), key.policy
	ds.put(key, *d)
	remember(ctx, v, key.parts(), *d, d.Until.Sub(ds.now()))
	if d.about != "" {
		ds.addLink(ctx, v, linkKey{key.repo, key.digest, asManifest}, d.about, &permit{Evidence: true, Until: d.Until}, 0)
	}
	may := ds.mayBe(m, d.Evidence)
	for listed, as := range listedBy(m) {
		below := permitKey{key.policy, key.repo, listed.Digest.String(), as}
		ds.addLink(ctx, v, linkKey{key.repo, below.digest, as}, key.digest, d, may[listed.Digest])
		if as == asBlob {
			ds.putBlob(v, below, d.forBlob(listed.Size, may[listed.Digest]))
			continue
		}
		// A child that was denied was so before this was known of it.
		ds.permits.RemoveFrom(refusedShelf, below)
	}
}

// relink makes sure that what a manifest lists is known to be listed by it: links
// may have been forgotten before the decision that they rest on.
func (ds *decisions) relink(ctx context.Context, v *verify.Verifier, repo string, m *manifest, d permit) {
	if d.linked == nil {
		return
	}
	now := ds.links.Evicted(linkShelf(d.Evidence))
	if d.linked.Load() == now {
		return
	}
	d.linked.Store(now)
	may := ds.mayBe(m, d.Evidence)
	for listed, as := range listedBy(m) {
		key := linkKey{repo, listed.Digest.String(), as}
		if known, ok := ds.links.Get(key); !ok || !slices.Contains(known.Parents, m.digest) {
			ds.addLink(ctx, v, key, m.digest, &d, may[listed.Digest])
		}
	}
}

// recall reads what processes share under a name. An old entry that was put back is no
// more than it was: what ends says so itself, and what it is about is part of its name.
func recall[T any](ctx context.Context, v *verify.Verifier, about []string) (value T, ok bool) {
	shared := v.Shared()
	if shared == nil {
		return value, false
	}
	text, ok := shared.Derived(ctx, about...)
	if !ok || json.Unmarshal(text, &value) != nil {
		var none T
		return none, false
	}
	return value, true
}

// remember lets other processes find a value for a while.
func remember[T any](ctx context.Context, v *verify.Verifier, about []string, value T, keep time.Duration) {
	shared := v.Shared()
	if shared == nil || keep <= 0 {
		return
	}
	if text, err := json.Marshal(value); err == nil {
		shared.PutDerived(ctx, text, keep, about...)
	}
}
