package gate

// gate is what Handler and Transport are two faces of: parts that each do one thing for
// a request, whose steps exchange.answer names.
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

	outlet *outlet
	report *reporter
}

func newGate(c Config) *gate {
	now, soon := clock(c.Now), patience(c.JudgeFor)
	buffers := pool(smallBuffer)
	g := &gate{
		c: c, patience: soon, limits: newLimits(c.MaxRequests, c.MaxPerClient), upstreams: newUpstreamBounds(len(c.Upstreams)),
		access: newAccess(&c), manifests: newManifests(&c), forms: newForms(),
		outlet: &outlet{timeout: c.WriteTimeout, tempDir: c.TempDir, logger: c.Logger, buffers: buffers},
		report: &reporter{now: now, logger: c.Logger, observer: c.Observer, audit: c.Audit},
	}
	recent := newRecent(&c)
	g.tags = &tags{recent: recent, manifests: g.manifests, access: g.access, patience: soon, logger: c.Logger}
	g.judge = &judge{
		source: c.Verifier, now: now, patience: soon, decisions: newDecisions(&c), manifests: g.manifests, upstreams: g.upstreams,
	}
	g.lists = &lists{recent: recent, rules: g.judge.decisions.rules, maxBytes: c.MaxListBytes, patience: soon}
	g.blobs = &blobs{judge: g.judge, recent: recent, open: c.InsecureOpenBlobs}
	g.downloads = &downloads{
		store: c.Store, tempDir: c.TempDir, maxKept: c.MaxSpoolBytes, maxEvidence: c.MaxEvidenceBytes,
		forms: g.forms, report: g.report, chunks: pool(chunk), buffers: buffers,
	}
	return g
}
