package verify

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
)

// judgement is the state of one decision.
type judgement struct {
	v   *Verifier
	ctx context.Context
	r   registry.Reader
	// given are bundles that the caller holds; they count in place of what is
	// attached in r where hasGiven is true.
	given     [][]byte
	hasGiven  bool
	reference string
	digest    name.Digest
	now       time.Time

	rule    *rule
	pattern string
	// leaves are the states of the rule's leaves.
	leaves []leafState
	// recognised are the facts that wait for who has signed in which role, and
	// people are the names of their signers, those of one person joined.
	recognised []fact
	people     groups
	seen       []Evidence
	causes     []error
	overflow   error
	work       []workload // of each place
	room       [1]workload
	looked     map[pieceID]records
	leftOut    int // records
	// bytesSums are further digests of the manifest, once a statement asked.
	bytesSums map[string]string
}

// leafState is how far a requirement is met.
type leafState struct {
	tally
	// statements are what the keys that count have said.
	statements []Statement
	// until is when what counts ends by itself; zero: never.
	until time.Time
	// offered: something was there that claims to be what is asked for.
	offered bool
	// problem is why what a key of the role has signed did not count.
	problem *problem
	// met is the answer about the image's config, or an in-toto layout, and links
	// what was gathered for that.
	met   bool
	links layoutLinks
	// vex gathers the OpenVEX statements of a scan's requirement, and waiting
	// the scans that they may excuse; scans are those, each once.
	vex     vexStatements
	waiting []fact
	scans   map[scanOf]bool
}

// fact is something that a valid key of the policy has signed about the image.
type fact struct {
	item        registry.Item
	key         *trustedKey
	seenAt      time.Time // when a clock saw the signature, where that matters
	annotations map[string]string
	repository  string     // that a simple signing payload names
	statement   *statement // nil: an image signature
}

// maxJudgements is how often one question is judged where what an answer rests on ends
// meanwhile.
const maxJudgements = 2

// errEnded is why there is no answer after that.
var errEnded = errors.New("what it rests on has ended while it was judged")

// run judges by the time at which it begins. Reading may take long, and no result may
// have ended when it is returned: then it is judged anew, by the time that it is now,
// which says what has ended.
func (j *judgement) run() (*Result, error) {
	var ended *Result
	for range maxJudgements {
		result, err := j.judge()
		now := j.v.o.Now()
		if err != nil || result.ValidAt(now) {
			return result, err
		}
		ended = result
		*j = judgement{
			v: j.v, ctx: j.ctx, r: j.r, given: j.given, hasGiven: j.hasGiven,
			reference: j.reference, digest: j.digest, now: now,
		}
	}
	return nil, &UndecidedError{Reference: j.reference, Digest: j.digest, Evidence: ended.Evidence, Causes: []error{errEnded}}
}

func (j *judgement) judge() (*Result, error) {
	if err := j.findRule(); err != nil {
		return nil, err
	}
	j.leaves = make([]leafState, len(j.rule.leaves))
	images, listed := j.readImages(), j.readChildren()
	if j.rule.needsEvidence() {
		j.gather()
		j.weighRecognised()
		j.judgeWaiting()
		j.judgeLayouts()
	}
	if images != nil {
		j.judgeImages(<-images)
	}
	var found children
	if listed != nil {
		found = <-listed
	}
	result, err := j.conclude()
	if err != nil {
		return nil, err
	}
	return j.judgeChildren(result, found)
}

// conclude is the decision about the image by itself.
func (j *judgement) conclude() (*Result, error) {
	if j.met(j.rule.root) {
		return j.result(), nil
	}
	return j.refuse()
}

// findRule finds what the image needs.
func (j *judgement) findRule() error {
	var denied *problem
	if j.rule, j.pattern, denied = j.v.ruleFor(j.digest.Context(), j.digest.DigestStr(), j.now); denied == nil {
		return nil
	}
	return &Error{
		Reason: denied.reason, Reference: j.reference, Digest: j.digest, PolicyDigest: j.v.policy.digest, Rule: j.pattern,
		Detail: registry.SafeText(denied.detail, maxDetail),
	}
}

// ruleFor finds the rule about a repository, and its pattern; or the denial that holds
// whatever evidence there is. The digest may be empty: that of no image in particular.
func (v *Verifier) ruleFor(repo name.Repository, digest string, now time.Time) (r *rule, pattern string, denied *problem) {
	if ends := v.policy.expires; !ends.IsZero() && !now.Before(ends) {
		return nil, "", problemf(ReasonPolicyExpired, "the policy has expired on %s", ends.UTC().Format(time.RFC3339))
	}
	if reason, denied := v.policy.denied[digest]; denied {
		return nil, "", problemf(ReasonDeniedDigest, "the policy denies this digest: %s", reason)
	}
	r, pattern, ok := v.policy.ruleOf(repo)
	if !ok {
		return nil, "", problemf(ReasonNoRule, "no rule of the policy is about %s", repo.Name())
	}
	if r.Deny {
		return nil, pattern, problemf(ReasonDeniedByRule, "the policy denies %s: %s", pattern, r.Reason)
	}
	return r, pattern, nil
}

// needsEvidence reports whether anything but the image itself is asked for.
func (r *rule) needsEvidence() bool {
	for _, leaf := range r.leaves {
		if leaf.config == nil {
			return true
		}
	}
	return false
}

// gather looks at evidence until nothing more is needed of it.
func (j *judgement) gather() {
	j.work = j.room[:0]
	if j.hasGiven {
		j.lookAtGiven()
		return
	}
	if n := len(j.rule.places); n > len(j.room) {
		j.work = make([]workload, 0, n) // which is not copied as it grows
	}
	registry.Evidence(j.ctx, j.r, j.digest, j.v.o.Limits, j.rule.places...)(j.take)
	j.considerWaiting()
}

// take looks at a piece of evidence, and reports whether more is needed. A limit that
// was reached in one place ends no other.
func (j *judgement) take(item registry.Item, err error) bool {
	if err != nil {
		j.unread(item, err)
		return true
	}
	j.lookOnce(item)
	return !j.enough(j.rule.root)
}

const maxDetail = 300

// record notes why a piece of evidence counted or did not; for a requirement,
// where it was looked at for one.
func (j *judgement) record(item registry.Item, keyID string, leaf *need, reason Reason, detail string) {
	e := Evidence{Place: item.Place, Format: item.Format, KeyID: keyID, Reason: reason, Detail: registry.SafeText(detail, maxDetail)}
	if leaf != nil {
		e.Requirement = leaf.path
	}
	e.Manifest = manifestOf(item)
	j.keep(e)
}

// manifestOf is the digest of the manifest that carries a piece of evidence; ""
// where none does.
func manifestOf(item registry.Item) string {
	if item.Manifest.Digest.Hex == "" {
		return ""
	}
	return item.Manifest.Digest.String()
}

// unread records an error of the gathering.
func (j *judgement) unread(item registry.Item, err error) {
	reason := ReasonMalformed
	switch {
	case registry.Unreadable(err):
		reason = ReasonUnreadable
		j.causes = append(j.causes, err)
	case errors.Is(err, registry.ErrTooMany):
		reason = ReasonTooMuchEvidence
		j.overflow = err
	case errors.Is(err, registry.ErrNotFound):
		reason = ReasonMissing
	case errors.Is(err, registry.ErrDigestMismatch):
		reason = ReasonDigestMismatch
	case errors.Is(err, registry.ErrTooLarge):
		reason = ReasonTooLarge
	}
	j.record(item, "", nil, reason, err.Error())
}

// look judges one piece of evidence.
func (j *judgement) look(item registry.Item) {
	if item.Format == registry.FormatOther {
		j.record(item, "", nil, ReasonWrongType, "not a format that is read: "+item.Manifest.ArtifactType+" "+string(item.Layer.MediaType))
		return
	}
	claim, err := j.open(item)
	byCertificate := errors.Is(err, evidence.ErrNotByKey)
	switch {
	case errors.Is(err, evidence.ErrTooMuch):
		j.overflow = err
		j.record(item, "", nil, ReasonTooMuchEvidence, err.Error())
	case err != nil && !byCertificate:
		j.record(item, "", nil, openReason(err), err.Error())
	case !j.takeLinks(item, claim):
		j.consider(&pending{
			item: item, certificate: byCertificate, search: search{policy: j.v.policy, asked: j.rule.asked, claim: claim},
		})
	}
}

// count judges a piece of evidence that trusted keys, or identities, have signed.
func (j *judgement) count(item registry.Item, claim *evidence.Claim, keys []*trustedKey) {
	f, p := j.read(claim)
	if p == nil && misplaced(item.Place, f) {
		p = problemf(ReasonWrongType, "it is under the tag of the other kind")
	}
	f.item = item
	f.item.Payload = nil // it may be large, and what is kept of it is in f
	for _, key := range keys {
		seen, invalid, err := j.usable(item, claim, key)
		f.key, f.seenAt = key, seen
		switch {
		case err != nil:
			j.stopped(item, err)
			return
		case invalid != nil:
			j.record(item, key.ID(), nil, invalid.reason, invalid.detail)
			j.offer(claim)
		case p != nil:
			j.record(item, key.ID(), nil, p.reason, p.detail)
		default:
			j.weigh(f)
		}
	}
}

// open reads a piece of evidence, within a budget.
func (j *judgement) open(item registry.Item) (*evidence.Claim, error) {
	leave, err := budget.Parse(j.ctx, item.Payload)
	if err != nil {
		return nil, err // the context has ended, and so has the judgement
	}
	defer leave()
	return evidence.Open(string(item.Layer.MediaType), item.Layer.Annotations, item.Payload)
}

// content parses what is signed, within a budget.
func (j *judgement) content(claim *evidence.Claim) (evidence.Content, error) {
	leave, err := budget.Parse(j.ctx, claim.Signed.Bytes)
	if err != nil {
		return evidence.Content{}, err // as above
	}
	defer leave()
	return claim.Content()
}

// offer notes of the evidence that was recorded last that it claims to be an
// attestation, and perhaps what is asked for, so that a denial can say so. Nothing
// else rests on it.
func (j *judgement) offer(claim *evidence.Claim) {
	content, err := j.content(claim)
	if err != nil || content.Statement == nil || content.Statement.PredicateType == intoto.PredicateSignature {
		return
	}
	if j.leftOut == 0 {
		j.seen[len(j.seen)-1].attestation = true
	}
	for _, leaf := range j.rule.leaves {
		if leaf.attestation != nil && leaf.matchesType(content.Statement.PredicateType) {
			j.leaves[leaf.leaf].offered = true
		}
	}
}

// read parses what a trusted key has signed, and checks that it is about the
// image.
func (j *judgement) read(claim *evidence.Claim) (fact, *problem) {
	content, err := j.content(claim)
	if err != nil {
		return fact{}, &problem{ReasonMalformed, err.Error()}
	}
	if p := content.Simple; p != nil {
		if p.ManifestDigest != j.digest.DigestStr() {
			return fact{}, problemf(ReasonWrongSubject, "it is about %s", p.ManifestDigest)
		}
		return fact{annotations: p.Annotations, repository: p.DockerReference}, nil
	}
	s := content.Statement
	subject, err := s.Match(j.digestBy)
	switch {
	case err != nil:
		j.causes = append(j.causes, err)
		return fact{}, &problem{ReasonUnreadable, err.Error()}
	case subject == nil:
		return fact{}, &problem{ReasonWrongSubject, "none of its subjects is this digest"}
	}
	f := fact{annotations: subject.Annotations}
	if s.PredicateType != intoto.PredicateSignature {
		f.statement = &statement{predicateType: s.PredicateType, predicate: s.Predicate}
	}
	return f, nil
}

// misplaced reports whether a signature is under the tag of attestations, or the
// other way round. Neither counts: which tags are read depends on what a rule
// requires, and what counts must not.
func misplaced(place registry.Place, f fact) bool {
	return place == registry.PlaceAttestationTag && f.statement == nil || place == registry.PlaceSignatureTag && f.statement != nil
}

// weigh judges a fact for every requirement that it may count for, at once unless it
// depends on what else its signer has signed.
func (j *judgement) weigh(f fact) {
	if j.rule.separatesPeople && f.key.identity != nil {
		j.recognised = append(j.recognised, f)
		return
	}
	j.weighNow(f)
}

func (j *judgement) weighNow(f fact) {
	asked := false
	for _, leaf := range j.rule.leaves {
		if leaf.vexBy != nil && f.statement != nil && isVEX(f.statement.predicateType) && leaf.vexBy.keys[f.key.ID()] {
			asked = true
			j.believe(leaf, f)
		}
		if leaf.asksFor(f) {
			asked = true
			j.try(leaf, f)
		}
	}
	if asked {
		return
	}
	detail := "no requirement asks for a signature"
	if f.statement != nil {
		detail = "no requirement asks for an attestation of type " + f.statement.predicateType
	}
	j.record(f.item, f.key.ID(), nil, ReasonWrongType, detail)
}

// asksFor reports whether a requirement is about facts of this kind.
func (n *need) asksFor(f fact) bool {
	switch {
	case n.signature != nil:
		return f.statement == nil
	case n.attestation != nil:
		return f.statement != nil && n.matchesType(f.statement.predicateType)
	}
	return false
}

// try counts a fact for a requirement, or notes why not.
func (j *judgement) try(leaf *need, f fact) {
	state := &j.leaves[leaf.leaf]
	state.offered = true
	id := f.key.ID()
	if !leaf.role.keys[id] {
		j.record(f.item, id, leaf, ReasonWrongRole, fmt.Sprintf("the key %s is not in the role %s", f.key.Name, leaf.role.name))
		return
	}
	until, p := j.conditions(leaf, f, nil)
	if p != nil && p.reason == ReasonVulnerable && leaf.vexBy != nil {
		j.wait(leaf, f)
		return
	}
	j.settle(leaf, f, until, p)
}

// settle counts a fact that meets the conditions until a time, or notes why it does
// not.
func (j *judgement) settle(leaf *need, f fact, until time.Time, p *problem) {
	state, id := &j.leaves[leaf.leaf], f.key.ID()
	if p != nil {
		if state.problem == nil || p.tellsMoreThan(state.problem) {
			state.problem = p
		}
		j.record(f.item, id, leaf, p.reason, p.detail)
		return
	}
	counted := state.count(f)
	if counted || f.key.identity != nil { // what an identity has signed may count later
		state.until = earlier(state.until, earlier(until, f.key.notAfter))
	}
	if !counted {
		j.record(f.item, id, leaf, ReasonRepeated, "another signature of this key, or of the same person, has counted")
		return
	}
	if f.statement != nil {
		state.statements = append(state.statements, Statement{
			PredicateType: f.statement.predicateType, Predicate: f.statement.predicate,
			KeyID: id, Evidence: manifestOf(f.item),
		})
	}
	j.record(f.item, id, leaf, ReasonCounted, "")
}

// earlier is the earlier of two times of which zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// conditions judges what was signed; what is excused by OpenVEX is no vulnerability.
func (j *judgement) conditions(leaf *need, f fact, excused map[string]bool) (time.Time, *problem) {
	if leaf.attestation != nil {
		return leaf.attestation.judge(f.statement, &circumstances{
			now: j.now, skew: j.v.policy.skew, image: j.digest, builders: j.v.policy.builders, excused: excused,
		})
	}
	q := leaf.signature
	if q.SameRepository && !sameRepository(f.repository, j.digest.Context()) {
		return time.Time{}, problemf(ReasonWrongRepository, "it names the repository %q", f.repository)
	}
	for k, want := range q.Annotations {
		if got, there := f.annotations[k]; !there || got != want {
			return time.Time{}, problemf(ReasonAnnotations, "it lacks %s=%s", k, want)
		}
	}
	return time.Time{}, nil
}

func openReason(err error) Reason {
	if errors.Is(err, evidence.ErrWrongType) {
		return ReasonWrongType
	}
	return ReasonMalformed
}

// sameRepository compares a docker-reference, which may be a short name or
// carry a tag, with the repository asked about.
func sameRepository(reference string, repo name.Repository) bool {
	ref, err := name.ParseReference(reference)
	return err == nil && ref.Context().Name() == repo.Name()
}

// digestBy gives the manifest's digest by the algorithms that a subject may
// name. All but sha256 need the manifest itself, which is fetched for the rare
// statement that names them.
func (j *judgement) digestBy(algorithm string) (string, bool, error) {
	switch algorithm {
	case "sha256":
		h, err := registry.HashOf(j.digest)
		return h.Hex, true, err
	case "sha384", "sha512":
		if j.bytesSums == nil {
			m, err := registry.ReadManifest(j.ctx, j.r, j.digest)
			if err != nil {
				return "", true, err
			}
			s384, s512 := sha512.Sum384(m.Bytes), sha512.Sum512(m.Bytes)
			j.bytesSums = map[string]string{"sha384": hex.EncodeToString(s384[:]), "sha512": hex.EncodeToString(s512[:])}
		}
		return j.bytesSums[algorithm], true, nil
	}
	return "", false, nil
}
