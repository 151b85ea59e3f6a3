package gate

import (
	"context"
	"errors"
	"net/http"

	"github.com/hallmark-oci/hallmark/internal/lru"
)

// auditing is what a request notes of denials that are not enforced.
type auditing struct {
	// only is Config.InsecureAuditOnly.
	only bool
	// spared is the first denial; nil: none. told: it was reported.
	spared *refusal
	told   bool
}

// enforce returns the error of a step. With Config.InsecureAuditOnly a denial is noted in
// its place, and the request goes on. Other errors are no judgement: with them nothing is
// known that could be recorded, and the content may not be what was asked for.
func (a *auditing) enforce(err error) error {
	if !a.only || !isDenial(err) {
		return err
	}
	if a.spared == nil {
		errors.As(err, &a.spared)
	}
	return nil
}

// isDenial reports whether the policy, or the rules of what passes by it, have spoken.
func isDenial(err error) bool {
	var r *refusal
	return errors.As(err, &r) && (r.denied != nil || r.byRules)
}

// tell reports what passes although it is denied, and marks the response.
func (a *auditing) tell(x *exchange) {
	if a.spared == nil || a.told {
		return
	}
	a.told = true
	message := x.hidden(a.spared.message)
	x.mark("denied, and let through by a gate that only audits: " + message)
	e := x.event(EventWouldDeny)
	e.Report = a.spared.report(e.Image)
	e.Request.Status, e.Request.Cached, e.Request.Message = http.StatusOK, a.spared.cached, message
	x.g.report.event(x.r.Context(), e)
}

// spared are the blobs of manifests that passed although they are denied. They are known
// to this process alone, and say nothing but which manifest lists a blob.
type spared struct {
	blobs *lru.Cache[linkKey, sparedBlob]
}

type sparedBlob struct {
	parent string
	size   int64
}

// sparedBytes is about how many bytes a sparedBlob holds in memory, with its key.
const sparedBytes = 512

func newSpared(c *Config) *spared {
	weigh := func(sparedBlob) int64 { return sparedBytes }
	return &spared{lru.New[linkKey](weigh, int64(c.MaxDecisions)*sparedBytes)}
}

// send sends a manifest that is denied. No permit, link or stored content comes of it: an
// enforcing gate with the same store must judge as if it had never passed.
func (s *spared) send(x *exchange, digest string) error {
	m, err := x.g.manifests.byDigest(x.ctx, x.p, digest)
	if err != nil {
		return err
	}
	s.note(x.p, m)
	return x.manifest(m, "")
}

// note remembers the blobs of a manifest.
func (s *spared) note(p pull, m *manifest) {
	for _, d := range blobsOf(m) {
		s.blobs.Put(linkKey{p.repo.Name(), d.Digest.String(), asBlob}, sparedBlob{m.digest, d.Size})
	}
}

// blob is blobs.decide. With Config.InsecureAuditOnly, a blob that is denied passes
// for the reason of the manifest that lists it, if one is known, and otherwise for its own.
func (s *spared) blob(ctx context.Context, x *exchange) (permit, error) {
	allowed, err := x.g.blobs.decide(ctx, x.p, x.l.ref)
	if !x.audit.only || !isDenial(err) {
		return allowed, err
	}
	open := permit{Allowed: true, Size: -1}
	if listed, ok := s.blobs.Get(linkKey{x.p.repo.Name(), x.l.ref, asBlob}); ok {
		decided, _, failed := x.g.judge.decide(ctx, x.p, listed.parent)
		switch {
		case failed != nil:
			return permit{}, failed
		case !decided.Allowed:
			open.Size, err = listed.size, denial(decided.denied, x.p.digest(listed.parent).String())
		}
	}
	return open, x.audit.enforce(err)
}

// spareBlob sends a blob that is denied, from the upstream to this client alone: neither the
// store nor a shared download holds it. It is hashed as any other.
func (d *delivery) spareBlob() error {
	d.audit.tell(d.exchange)
	if d.allowed.Size < 0 || d.allowed.Evidence { // evidence may lie about sizes
		return d.open()
	}
	want, err := d.span(d.allowed.Size)
	switch {
	case err != nil:
		return err
	case d.isHead():
		return d.headOf(want)
	}
	return d.alone(want)
}
