package gate

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/singleflight"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// judge decides which manifests pass.
type judge struct {
	source verify.Source
	// newest is source if Config.DenyOnRefusedPolicy is set; otherwise nil.
	newest    verify.ReportingSource
	now       clock
	patience  patience
	decisions *decisions
	manifests *manifests
	upstreams *upstreamBounds
	judging   singleflight.Group[judgeKey, permit]
}

// judgeKey names a judgement that is under way. Credentials are not mixed.
type judgeKey struct {
	from *origin
	key  permitKey
}

// ruledOut returns an error if the policy denies the request whatever exists. It comes
// first: such a request costs the upstream nothing, and its response tells nothing about
// the upstream.
func (j *judge) ruledOut(ctx context.Context, p pull, l location) error {
	v, err := j.source.Verifier(ctx)
	if err != nil {
		return err
	}
	if e := j.refused(v, p); e != nil {
		return denial(e, l.image(p.repo))
	}
	if e := v.Forbids(p.repo); e != nil {
		return denial(e, l.image(p.repo))
	}
	digest := l.ref
	if !l.isDigest() {
		digest, _, _ = evidenceTag(l.ref)
	}
	if e := forbidden(v, p, digest); e != nil {
		return denial(e, l.image(p.repo))
	}
	return nil
}

// refused is the denial of everything while the newest policy is refused. The client is not
// told why: the reason may name files and hosts.
func (j *judge) refused(v *verify.Verifier, p pull) *verify.Error {
	if j.newest == nil || j.newest.Err() == nil {
		return nil
	}
	return &verify.Error{
		Reason: verify.ReasonPolicyRefused, Reference: p.repo.Name(), PolicyDigest: v.PolicyDigest(),
		Detail: "the newest policy was refused, and this gate is set to deny everything then; its log says why",
	}
}

// forbidden is the denial of a digest that the policy denies; nil: the policy does not.
func forbidden(v *verify.Verifier, p pull, digest string) *verify.Error {
	reason, denied := v.Denies(digest)
	if !denied {
		return nil
	}
	return &verify.Error{
		Reason: verify.ReasonDeniedDigest, Reference: p.digest(digest).String(), Digest: p.digest(digest), PolicyDigest: v.PolicyDigest(),
		Detail: registry.SafeText("the policy denies this digest: "+reason, maxMessage/2),
	}
}

// decide says whether a manifest passes now, by a cached decision, or by judging it once
// for concurrent requests. The permit allows or denies. An error is not a decision.
//
// The decision, in this order:
//
//   - the policy denies the digest: denied;
//   - it carries content that is not what its descriptor says, or that the policy denies:
//     denied;
//   - a manifest that passes lists it: allowed;
//   - it is evidence (see evidenceRules) and its subject passes: allowed. A manifest that a
//     tag names must be allowed as an image as well (see byItself);
//   - otherwise the verifier decides.
func (j *judge) decide(ctx context.Context, p pull, digest string) (decided permit, cached bool, err error) {
	v, err := j.source.Verifier(ctx)
	if err != nil {
		return permit{}, false, err
	}
	w := &walk{j: j, v: v, p: p, policy: v.Generation()}
	if decided, cached = w.known(ctx, digest); !cached {
		decided, err = j.once(ctx, v, p, w.key(digest), func(ctx context.Context) (permit, error) { return w.run(ctx, digest) })
	}
	decided.policyDigest = v.PolicyDigest()
	return decided, cached, err
}

// byItself judges a manifest as an image even if it would pass as evidence: a tag names
// what its user wants to run. What the manifest lists passes with it, not as evidence.
func (j *judge) byItself(ctx context.Context, p pull, digest string) (permit, error) {
	v, err := j.source.Verifier(ctx)
	if err != nil {
		return permit{}, err
	}
	key := permitKey{v.Generation(), p.repo.Name(), digest, asImage}
	decided, known := j.decisions.get(ctx, v, key, p.from)
	if !known {
		decided, err = j.once(ctx, v, p, key, func(ctx context.Context) (permit, error) {
			made, err := j.carried(ctx, v, p, digest)
			if err == nil && made == nil {
				made, err = j.verified(ctx, v, p, digest)
			}
			if err != nil {
				return permit{}, err
			}
			return *made, j.keep(ctx, v, p, key, made)
		})
	}
	decided.policyDigest = v.PolicyDigest()
	return decided, err
}

// once reaches a decision for all concurrent requests with the same credentials.
func (j *judge) once(ctx context.Context, v *verify.Verifier, p pull, key permitKey, reach func(context.Context) (permit, error)) (permit, error) {
	return j.judging.Do(ctx, judgeKey{p.from, key}, func(ctx context.Context) (permit, error) {
		if known, ok := j.decisions.get(ctx, v, key, p.from); ok && known.depth == 0 {
			return known, nil // decided between the caller's look and now
		}
		ctx, cancel := j.patience.whole(ctx)
		defer cancel()
		return reach(ctx)
	})
}

// keep keeps a decision, and what follows for what the manifest lists. The manifest is read
// again, mostly from memory: many slow judgements must not hold one each.
func (j *judge) keep(ctx context.Context, v *verify.Verifier, p pull, key permitKey, decided *permit) error {
	if !decided.Allowed {
		decided.from = p.from
		j.decisions.keep(ctx, v, key, nil, decided)
		return nil
	}
	m, err := j.manifests.byDigest(ctx, p, key.digest)
	if err != nil {
		return err
	}
	j.keepAllowed(ctx, v, key, m, decided)
	return nil
}

func (j *judge) keepAllowed(ctx context.Context, v *verify.Verifier, key permitKey, m *manifest, decided *permit) {
	j.decisions.keep(ctx, v, key, m, decided)
	j.manifests.save(ctx, m, decided.Evidence)
}

// verified asks the verifier, in its turn: a judgement holds memory until its end.
func (j *judge) verified(ctx context.Context, v *verify.Verifier, p pull, digest string) (*permit, error) {
	leave, err := j.upstreams.of(p.from.address).judgements.Take(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, end := budget.Session(ctx)
	defer end()
	result, err := v.Image(ctx, p.from, p.digest(digest))
	var denied *verify.Error
	if errors.As(err, &denied) {
		return j.denied(v, denied), nil
	}
	if err != nil {
		return nil, err
	}
	return j.allowed(v, result), nil
}

func (j *judge) denied(v *verify.Verifier, e *verify.Error) *permit {
	// No response shows the evidence, which may be large.
	kept := *e
	kept.Evidence = nil
	_, lasts := v.TTLs()
	t := j.now.term(lasts)
	return &permit{At: t.from, Until: t.until, Size: -1, Rule: e.Rule, Team: e.Team, denied: &kept}
}

func (j *judge) allowed(v *verify.Verifier, result *verify.Result) *permit {
	lasts, _ := v.TTLs()
	at := j.now().Add(-v.Age(result))
	until := at.Add(lasts)
	if ends := result.ValidUntil; !ends.IsZero() && ends.Before(until) {
		until = ends
	}
	// Statements may be large, and nothing here reads them.
	kept := *result
	kept.Statements, kept.Evidence, kept.Requirements, kept.Keys = nil, nil, nil, nil
	d := &permit{Allowed: true, At: at, Until: until, Size: -1, Rule: result.Rule, Team: result.Team, Exemptions: result.Exemptions, result: &kept}
	if result.Warning != nil {
		d.Warning, d.Reason = result.Warning.Error(), result.Warning.Reason
		warning := *result.Warning
		warning.Evidence = nil
		kept.Warning = &warning
	}
	return d
}

// asEvidence lets a manifest pass that a tag of evidence named. Nil: it does not pass.
func (j *judge) asEvidence(ctx context.Context, p pull, digest string, above permit, parent string) (*permit, error) {
	m, err := j.manifests.byDigest(ctx, p, digest)
	if err != nil || !j.decisions.rules.admit(m) {
		return nil, err
	}
	if s := m.doc.Subject; s != nil && s.Digest.String() != parent {
		return nil, nil
	}
	return j.evidenceOf(above, parent), nil
}

func (j *judge) evidenceOf(above permit, subject string) *permit {
	return &permit{
		Allowed: true, At: above.At, Until: above.Until, Size: -1, Evidence: true, Looks: j.decisions.looks, Rule: above.Rule, Team: above.Team, Warning: above.Warning,
		Reason: above.Reason, Exemptions: above.Exemptions, about: subject, policy: above.policy,
	}
}

// permitEvidence lets evidence and its blobs pass by digest too, by the policy that its
// subject passed by. Another policy may be in use by now.
func (j *judge) permitEvidence(ctx context.Context, v *verify.Verifier, p pull, m *manifest, d *permit) {
	key := permitKey{d.policy, p.repo.Name(), m.digest, asManifest}
	if known, ok := j.decisions.get(ctx, v, key, p.from); ok && known.Allowed {
		j.decisions.relink(ctx, v, key.repo, m, known)
		return
	}
	j.keepAllowed(ctx, v, key, m, d)
}

// taggedEvidence lets the manifest of a tag of evidence pass if it is evidence about the
// tag's subject. A nil permit: it is not.
func (j *judge) taggedEvidence(ctx context.Context, p pull, digest, subject string, above permit, asked string) (*manifest, *permit, error) {
	m, err := j.manifests.byDigest(ctx, p, digest)
	if err != nil {
		return nil, nil, err
	}
	v, err := j.source.Verifier(ctx)
	if err != nil {
		return nil, nil, err
	}
	if e := forbidden(v, p, digest); e != nil {
		return nil, nil, denial(e, asked)
	}
	if made, err := j.carried(ctx, v, p, digest); err != nil {
		return nil, nil, err
	} else if made != nil {
		return nil, nil, denial(made.denied, asked)
	}
	decided, err := j.asEvidence(ctx, p, digest, above, subject)
	if decided != nil {
		j.permitEvidence(ctx, v, p, m, decided)
	}
	return m, decided, err
}

// permitList lets a list that the gate wrote pass by digest, for a subject that passes.
// Other gates find the subject by the digest.
func (j *judge) permitList(ctx context.Context, p pull, list *manifest, subject string, above permit) {
	v, err := j.source.Verifier(ctx)
	if err != nil {
		return // the next request meets the same error
	}
	own := j.evidenceOf(above, subject)
	j.decisions.put(permitKey{own.policy, p.repo.Name(), list.digest, asManifest}, *own)
	j.decisions.addLink(ctx, v, linkKey{p.repo.Name(), list.digest, asList}, subject, own, 0)
}

// listsOf are the subjects whose list of referrers may have a digest.
func (j *judge) listsOf(ctx context.Context, p pull, digest string) []string {
	v, err := j.source.Verifier(ctx)
	if err != nil {
		return nil // the caller has an error already
	}
	return j.decisions.link(ctx, v, linkKey{p.repo.Name(), digest, asList}).Parents
}

// relink ensures the links of a manifest that passes by a cached decision.
func (j *judge) relink(ctx context.Context, p pull, m *manifest, d permit) {
	if v, err := j.source.Verifier(ctx); err == nil { // the next request meets the same error
		j.decisions.relink(ctx, v, p.repo.Name(), m, d)
	}
}

// carried denies a manifest for content in its descriptors (data): content of another
// digest, or that the policy denies. Clients use that content instead of asking
// for it. Nil: nothing to deny.
func (j *judge) carried(ctx context.Context, v *verify.Verifier, p pull, digest string) (*permit, error) {
	m, err := j.manifests.byDigest(ctx, p, digest)
	if err != nil {
		return nil, err
	}
	type inline struct {
		v1.Descriptor
		depth int
	}
	var left []inline // the next one last
	add := func(doc *oci.Document, depth int) {
		all := described(doc)
		for i := len(all) - 1; i >= 0; i-- {
			left = append(left, inline{all[i], depth})
		}
	}
	for add(m.doc, 0); len(left) > 0; {
		d := left[len(left)-1]
		left = left[:len(left)-1]
		if !isItself(d.Descriptor) {
			return nil, &registry.Error{Op: "read manifest", Ref: d.Digest.String(), Kind: registry.ErrMalformed, Detail: "the content in its descriptor is other content"}
		}
		if len(d.Data) == 0 {
			continue
		}
		if e := forbidden(v, p, contentDigest(d.Data)); e != nil {
			return j.denied(v, e), nil
		}
		if !oci.IsManifestType(string(d.MediaType)) {
			continue
		}
		child, err := parse(ctx, string(d.MediaType), d.Data)
		if err != nil || d.depth >= maxNesting {
			return nil, &registry.Error{Op: "read manifest", Ref: d.Digest.String(), Kind: registry.ErrMalformed, Detail: "the manifest in its descriptor cannot be read", Err: err}
		}
		add(child, d.depth+1)
	}
	return nil, nil
}

// contentDigest is the digest by which a policy denies content, whatever digest names it.
func contentDigest(content []byte) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256(content))
}

// described are all descriptors of a manifest or index.
func described(m *oci.Document) []v1.Descriptor {
	all := append(append([]v1.Descriptor(nil), m.Layers...), m.Manifests...)
	for _, single := range []*v1.Descriptor{m.Config, m.Subject} {
		if single != nil {
			all = append(all, *single)
		}
	}
	return all
}
