package gate

import (
	"context"
	"errors"
	"time"

	"github.com/hallmark-oci/hallmark/verify"
)

// gate is what Handler and Transport share: parts that each do one thing for a request,
// whose steps exchange.answer names.
type gate struct {
	c         Config
	patience  patience
	limits    *limits
	upstreams *upstreamBounds

	access    *access
	tags      *tags
	manifests *manifests
	judge     *judge
	lists     *lists

	blobs     *blobs
	forms     *forms
	downloads *downloads

	// spared is for Config.InsecureAuditOnly.
	spared *spared

	outlet *outlet
	report *reporter
}

func newGate(c Config) *gate {
	now, soon := clock(c.Now), patience(c.JudgeTimeout)
	buffers := pool(smallBuffer)
	g := &gate{
		c: c, patience: soon, limits: newLimits(c.MaxRequests, c.MaxPerClient), upstreams: newUpstreamBounds(len(c.Upstreams)),
		spared: newSpared(&c), access: newAccess(&c), manifests: newManifests(&c), forms: newForms(),
		outlet: &outlet{timeout: c.WriteTimeout, tempDir: c.TempDir, logger: c.Logger, buffers: buffers},
		report: &reporter{now: now, logger: c.Logger, observer: c.Observer, audit: c.Audit},
	}
	recent := newRecent(&c)
	g.tags = &tags{recent: recent, manifests: g.manifests, access: g.access, patience: soon, logger: c.Logger}
	g.judge = &judge{
		source: c.Verifier, now: now, patience: soon, decisions: newDecisions(&c), manifests: g.manifests, upstreams: g.upstreams,
	}
	if c.DenyOnRefusedPolicy {
		g.judge.newest, _ = c.Verifier.(verify.ReportingSource) // the Config was checked
	}
	g.lists = &lists{recent: recent, referrers: newReferrers(g.judge, g.access, g.forms), maxBytes: c.MaxListBytes, patience: soon}
	g.blobs = &blobs{judge: g.judge, recent: recent, open: c.InsecureOpenBlobs}
	g.downloads = &downloads{
		store: c.Store, tempDir: c.TempDir, maxKept: c.MaxSpoolBytes, maxEvidence: c.MaxEvidenceBytes,
		forms: g.forms, report: g.report, chunks: pool(chunk), buffers: buffers,
	}
	return g
}

// clock is Config.Now.
type clock func() time.Time

// term is how long an answer is used. It has a beginning: an answer of a time when the
// clock was ahead would otherwise be used too long.
type term struct{ from, until time.Time }

// term begins now.
func (c clock) term(d time.Duration) term {
	now := c()
	return term{now, now.Add(d)}
}

func (t term) holds(now time.Time) bool { return !now.Before(t.from) && now.Before(t.until) }

// patience is Config.JudgeTimeout: the time in which a request must be decided.
type patience time.Duration

// errLate says that a judgement has taken as long as it may.
var errLate = errors.New("it could not be judged within Config.JudgeTimeout")

// whole is a context for one judgement.
func (p patience) whole(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, time.Duration(p), errLate)
}

// asking is a context for asking an upstream. If an earlier answer is known, half of the
// time is left to judge by it.
func (p patience) asking(ctx context.Context, lastWord bool) (context.Context, context.CancelFunc) {
	if !lastWord {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, time.Duration(p)/2, errLate)
}
