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

// role is what a digest is requested as. A decision for one role says nothing about the
// others: a digest that evidence lists as its blob does not pass as a manifest.
type role string

const (
	asManifest role = "manifest"
	asBlob     role = "blob"
	// asImage is evidence that a tag names, judged as an image.
	asImage role = "image"
	// asList is a list of referrers that the gate wrote.
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

// permit is a decision about a manifest, or what a blob rests on.
type permit struct {
	// Allowed is the decision, used until Until. At is when it, or what it rests on, was
	// reached.
	Allowed bool      `json:"allowed,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	// Size is the blob's, as the manifest says; -1 for manifests.
	Size int64 `json:"size"`
	// Evidence: it passes because of its subject, and must be evidence.
	Evidence bool `json:"evidence,omitempty"`
	// Kinds are what a blob of evidence may be.
	Kinds kinds.Set `json:"kinds,omitempty"`
	// Looks identifies the rules by which it is evidence: another gate's may differ.
	Looks string `json:"looks,omitempty"`
	Rule  string `json:"rule,omitempty"`
	// Team is the team whose file has the rule.
	Team string `json:"team,omitempty"`
	// Warning is the denial that a rule with mode warn did not enforce.
	Warning string `json:"warning,omitempty"`
	// Reason is that denial's.
	Reason verify.Reason `json:"reason,omitempty"`
	// Exemptions are those that it rests on.
	Exemptions []verify.Exempted `json:"exemptions,omitempty"`

	// policyDigest is that of the policy that it was asked for by, for reports.
	policyDigest string
	// result is the decision itself, if this process made it.
	result *verify.Result
	// denied is the denial; nil: the permit allows. from is whose credentials it was reached
	// with: others may read the evidence that these could not.
	denied *verify.Error
	from   *origin
	// depth is the distance from which a denial was requested whose voucher was too far
	// away to count. A request from nearer decides again. 0: the denial holds for all.
	depth int
	// about is the subject of evidence that does not name it itself.
	about string
	// policy is that of its key.
	policy string
	// linked counts how many links had been forgotten when those of this manifest were
	// known to be there; see judge.relink. Nil: it has none.
	linked *atomic.Int64
}

// forBlob is the permit of a blob that the manifest lists. may are the kinds that it may
// have as evidence.
func (d *permit) forBlob(size int64, may kinds.Set) permit {
	return permit{Allowed: true, At: d.At, Until: d.Until, Size: size, Evidence: d.Evidence, Kinds: may, Looks: d.Looks, Rule: d.Rule, Team: d.Team, Warning: d.Warning, Reason: d.Reason}
}

// report is a decision that lets something pass, for the audit log.
func (d *permit) report(image, digest string) verify.Report {
	to := verify.Report{Image: image, Status: verify.StatusVerified, Digest: digest, Policy: d.policyDigest, Rule: d.Rule, Team: d.Team, JudgedAt: d.At.UTC()}
	if d.Warning != "" {
		to.Status, to.Reason, to.Detail = verify.StatusWarned, d.Reason, d.Warning
	} else if len(d.Exemptions) > 0 {
		to.Status, to.Exemptions = verify.StatusExempted, d.Exemptions
	}
	return to
}

// linkKey names a digest that manifests of a repository list. It names no policy: listing
// does not depend on the policy, so a pull under way continues after the policy is
// replaced.
type linkKey struct {
	repo, digest string
	as           role
}

func (k linkKey) parts() []string { return []string{"gate link", k.repo, k.digest, string(k.as)} }

// link is what may vouch for a digest. It decides nothing: each parent is judged when it is
// needed.
type link struct {
	// Parents are manifests that list the digest, or that it is evidence about: images
	// before evidence, the latest first.
	Parents []string `json:"parents"`
	// Evidence: no image is among them.
	Evidence bool `json:"evidence,omitempty"`
	// Kinds are those that evidence gave a blob, also evidence that had to make room among
	// the parents.
	Kinds kinds.Set `json:"kinds,omitempty"`
}

// maxParents bounds the remembered manifests that share a blob.
const maxParents = 4

// decisions are permits, and the links between digests that they were reached by. The
// durations and the shared store are the verifier's.
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

// The shelves of decisions.permits and decisions.links. A flood of denied names displaces
// nothing good, and neither does evidence: an attacker who can push can attach any amount.
const (
	imageShelf = iota
	evidenceShelf
	refusedShelf // of permits alone
)

// decisionBytes is the least weight of a decision, and the greatest on average: memory is
// bounded by Config.MaxDecisions.
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
	const each, result, denial = 432, 400, 700
	n := int64(each + len(d.Looks) + len(d.Rule) + len(d.Team) + len(d.Warning) + len(d.Reason) + len(d.about))
	if d.result != nil {
		n += result
		if d.result.Warning != nil {
			n += denial + weightOf(d.result.Warning.Unmet)
		}
	}
	if d.denied != nil {
		n += denial + weightOf(d.denied.Unmet)
	}
	for _, x := range d.Exemptions {
		n += int64(denial+len(x.Reason)+len(x.By)) + weightOf(x.Unmet)
	}
	return max(decisionBytes, n)
}

// weightOf is about how many bytes unmet requirements hold in memory.
func weightOf(all []verify.Unmet) (n int64) {
	const each, text = 348, 16
	for _, u := range all {
		n += each + int64(len(u.Found))
		for _, w := range u.Wanted {
			n += text + int64(len(w))
		}
	}
	return n
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

// get returns a decision that can be used now, and here: another gate may have reached it,
// which keeps decisions for longer or has other rules of evidence. A denial is one for the
// credentials that it was reached with.
func (ds *decisions) get(ctx context.Context, v *verify.Verifier, key permitKey, from *origin) (permit, bool) {
	known, ok := ds.permits.Get(key)
	if !ok {
		if known, ok = recall[permit](ctx, v, key.parts()); ok {
			known.linked = linkedAt(-1)
			known = added(ds, ds.permits, key, known, known.shelf())
		}
	}
	known.policy = key.policy
	return known, ok && ds.hold(v, known) && (known.Allowed || known.from == from)
}

// added puts a recalled value where nothing is yet, and returns what is there.
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

// ttl is how long what follows from a decision is kept. It is checked again after the
// decision has ended: a slow pull still finds what its blobs rest on.
func (ds *decisions) ttl(v *verify.Verifier, d *permit) time.Duration {
	allowed, _ := v.TTLs()
	return d.Until.Sub(ds.now()) + allowed
}

// putBlob keeps what a blob rests on. Evidence that lists a blob of an image changes
// nothing about it: an attacker who attaches evidence could otherwise have it taken for
// evidence, or for something of another size.
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

// addLink remembers that a manifest, which rests on a decision, lists a digest, and shares
// that with other gates for a while. Evidence never goes before images: an attacker could
// displace them. may are the kinds that a blob may have as evidence.
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

// with is a link with one more parent; false: nothing changes.
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

// linkedAt makes the linked of a permit. -1: its links may be missing.
func linkedAt(forgotten int64) *atomic.Int64 {
	n := new(atomic.Int64)
	n.Store(forgotten)
	return n
}

// mayBe says which kinds each blob of evidence may have; nil: the manifest is not evidence.
func (ds *decisions) mayBe(m *manifest, evidence bool) map[v1.Hash]kinds.Set {
	if !evidence {
		return nil
	}
	return ds.rules.kindsOf(m.doc)
}

// keep keeps a decision about a manifest, and what follows for what it lists.
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

// relink ensures that the links of what a manifest lists are known: links may be forgotten
// before the decision that they rest on.
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

// recall reads what processes share under a name. A store may return an old value: the
// value says when it ends, and its name says what it is about.
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

// remember shares a value with other processes for a while.
func remember[T any](ctx context.Context, v *verify.Verifier, about []string, value T, keep time.Duration) {
	shared := v.Shared()
	if shared == nil || keep <= 0 {
		return
	}
	if text, err := json.Marshal(value); err == nil {
		shared.PutDerived(ctx, text, keep, about...)
	}
}
