package gate

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// exchange is one request and its response.
type exchange struct {
	reply
	g     *gate
	l     location
	p     pull
	began time.Time
	// ctx is the request's. Upstreams are asked for its client.
	ctx   context.Context
	audit auditing
}

// exchange begins the response to a request.
func (g *gate) exchange(w http.ResponseWriter, r *http.Request, l location, p pull) *exchange {
	return &exchange{reply: reply{g.outlet, w, r}, g: g, l: l, p: p, began: g.c.Now(), ctx: r.Context(), audit: auditing{only: g.c.InsecureAuditOnly}}
}

// serve answers a request whose target is known.
func (x *exchange) serve() {
	x.ctx = budget.With(fair.With(x.ctx, clientOf(addressOf(x.r))), x.g.upstreams.of(x.p.from.address).budget)
	if err := x.answer(); err != nil {
		x.g.report.panicked(x.ctx, err)
		x.refuse(failure(err, x.l.unknown()))
	}
}

// answer performs the steps of a request, in this order. It ends in content that passes, or
// in an error (see failure):
//
// With Config.InsecureAuditOnly, a denial is noted and the request goes on; see enforce.
//
//  1. The policy denies the repository or the digest: denied, and no upstream is asked.
//  2. A blob is sent while a manifest that passes lists it (see blobs.decide). A list of
//     tags is sent as the upstream gives it.
//  3. The digest that must pass is found. For a tag, the upstream says; for referrers and
//     for tags of evidence, it is the digest that they are about.
//  4. The credentials may not read it: the upstream's answer.
//  5. It is decided (see judge.decide): denied, undecided, or allowed.
//  6. A manifest that a tag names, and that passes as evidence, must be allowed as an image
//     too.
//  7. Allowed: the judged bytes are sent. For referrers and the fallback tag, the gate's
//     list; for cosign's tags, the evidence that they name.
//  8. Not found: for referrers an empty list, to clients that may read the repository;
//     otherwise the error.
//  9. Not found or denied, and asked by digest: the digest may be that of a list that a
//     gate wrote for a subject that passes. Then the list; otherwise the error.
func (x *exchange) answer() error {
	if err := x.audit.enforce(x.g.judge.ruledOut(x.ctx, x.p, x.l)); err != nil {
		return err
	}
	if x.l.at == atBlob { // which may take longer than a judgement
		return x.blob()
	}
	ctx, cancel := x.g.patience.whole(x.ctx)
	defer cancel()
	x.ctx = ctx
	if x.l.at == atTags {
		return x.tagList()
	}
	about, err := x.digest()
	var decided permit
	var cached bool
	if err == nil {
		decided, cached, err = x.passes(about.digest, about.asked)
	}
	if err == nil && decided.Evidence && about.byTag {
		decided, err = x.byItself(about.digest)
	}
	switch {
	case x.l.at == atReferrers:
		return x.referrers(about.digest, decided, err)
	case err != nil && x.l.isDigest():
		return x.ownList(err)
	case err != nil:
		return err
	case about.suffix == fallbackSuffix:
		return x.fallbackTag(about.digest, decided)
	case about.suffix != "":
		return x.cosignTag(about.digest, decided)
	}
	return x.image(about.digest, decided, cached)
}

// target is the digest that must pass.
type target struct {
	digest string
	// asked is the image as refusals name it.
	asked string
	// byTag: a tag names it that is not a tag of evidence.
	byTag bool
	// suffix tells the tags of evidence apart; empty: not a tag of evidence.
	suffix string
}

// fallbackSuffix stands for the fallback tag, which has no suffix.
const fallbackSuffix = "referrers"

// digest finds the digest that must pass.
func (x *exchange) digest() (target, error) {
	about := target{digest: x.l.ref, asked: x.l.image(x.p.repo)}
	if x.l.at == atReferrers {
		about.asked = x.p.digest(x.l.ref).String()
	}
	if x.l.isDigest() {
		return about, nil
	}
	if subject, suffix, ok := evidenceTag(x.l.ref); ok {
		if suffix == "" {
			suffix = fallbackSuffix
		}
		return target{digest: subject, asked: x.p.digest(subject).String(), suffix: suffix}, nil
	}
	digest, err := x.g.tags.resolve(x.ctx, x.p, x.l.ref)
	about.digest, about.byTag = digest, true
	return about, err
}

// passes is the decision about a manifest that the credentials may read. A denial is an
// error.
func (x *exchange) passes(digest, asked string) (decided permit, cached bool, err error) {
	if err = x.g.access.mayRead(x.ctx, x.p, digest); err == nil {
		decided, cached, err = x.g.judge.decide(x.ctx, x.p, digest)
	}
	if err == nil && !decided.Allowed {
		r := denial(decided.denied, asked)
		r.cached = cached
		err = x.audit.enforce(r)
	}
	return decided, cached, err
}

// byItself is passes for evidence that a tag names.
func (x *exchange) byItself(digest string) (permit, error) {
	decided, err := x.g.judge.byItself(x.ctx, x.p, digest)
	if err == nil && !decided.Allowed {
		err = x.audit.enforce(denial(decided.denied, x.l.image(x.p.repo)))
	}
	return decided, err
}

// image sends a manifest that passes.
func (x *exchange) image(digest string, decided permit, cached bool) error {
	if !decided.Allowed {
		return x.g.spared.send(x, digest)
	}
	m, err := x.g.manifests.byDigest(x.ctx, x.p, digest)
	if err != nil {
		if x.l.isDigest() {
			return x.ownList(err)
		}
		return err
	}
	x.g.manifests.pass(m, decided.Evidence)
	if cached {
		x.g.judge.relink(x.ctx, x.p, m, decided)
	}
	if x.audit.spared == nil {
		e := x.event(EventAllowed)
		e.Report = decided.report(e.Image, x.p.digest(digest).String())
		e.Request.Status, e.Request.Cached, e.Request.Message = http.StatusOK, cached, x.hidden(decided.Warning)
		x.g.report.event(x.ctx, e)
	}
	return x.manifest(m, decided.Warning)
}

// fallbackTag serves the list of referrers as the manifest of a tag.
func (x *exchange) fallbackTag(subject string, above permit) error {
	list, err := x.g.lists.of(x.ctx, x.p, subject, above)
	if err != nil {
		return err
	}
	if len(list.doc.Manifests) == 0 {
		return refuse(http.StatusNotFound, codeManifest, "nothing refers to %s", subject)
	}
	// A client may ask for it by its digest next: what it lists, it does not
	// vouch for.
	x.g.manifests.keep(list)
	if above.Allowed {
		x.g.judge.permitList(x.ctx, x.p, list, subject, above)
	}
	x.g.access.note(x.p, list.digest, asManifest) // the upstream does not have it as it is here
	return x.manifest(list, above.Warning)
}

// ownList sends a list that a gate wrote, asked by its digest, after that was not found or
// denied. Another gate may have written it, or memory was short. failed is the answer if
// the digest is not that of such a list now.
func (x *exchange) ownList(failed error) error {
	var no *refusal
	if !errors.Is(failed, registry.ErrNotFound) && !errors.As(failed, &no) {
		return failed
	}
	for _, subject := range x.g.judge.listsOf(x.ctx, x.p, x.l.ref) {
		above, _, err := x.passes(subject, "")
		if err != nil {
			continue
		}
		list, err := x.g.lists.of(x.ctx, x.p, subject, above)
		if err == nil && list.digest == x.l.ref {
			return x.manifest(list, above.Warning)
		}
	}
	return failed
}

// cosignTag sends the evidence that a tag of cosign's names.
func (x *exchange) cosignTag(subject string, above permit) error {
	digest, err := x.g.tags.resolve(x.ctx, x.p, x.l.ref)
	if err == nil {
		err = x.g.access.mayRead(x.ctx, x.p, digest)
	}
	if err != nil {
		return err
	}
	if !above.Allowed {
		return x.g.spared.send(x, digest)
	}
	m, decided, err := x.g.judge.taggedEvidence(x.ctx, x.p, digest, subject, above, x.l.image(x.p.repo))
	if err == nil && decided == nil {
		r := refuse(http.StatusForbidden, codeDenied, "%s is denied: it is not evidence about %s", x.l.image(x.p.repo), subject)
		r.reason, r.byRules = "not-evidence", true
		err = r
	}
	if err != nil {
		if err := x.audit.enforce(err); err != nil {
			return err
		}
		return x.g.spared.send(x, digest)
	}
	return x.manifest(m, above.Warning)
}

// referrers answers the referrers API about a subject that was decided.
func (x *exchange) referrers(subject string, above permit, err error) error {
	var list *manifest
	switch {
	case errors.Is(err, registry.ErrNotFound):
		// The specification has no 404 here: an empty list, as a registry gives, but
		// only to who may know that there is nothing.
		if err = x.g.access.mayReadRepository(x.ctx, x.p); err == nil {
			list, err = indexOf(x.ctx, []v1.Descriptor{})
		}
	case err == nil:
		list, err = x.g.lists.of(x.ctx, x.p, subject, above)
	}
	if err != nil {
		return err
	}
	if want := x.r.URL.Query().Get("artifactType"); want != "" {
		if list, err = x.g.lists.filtered(x.ctx, list, want); err != nil {
			return err
		}
		x.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	return x.manifest(list, above.Warning)
}

func (x *exchange) event(kind string) Event {
	e := Event{Time: x.g.c.Now(), Kind: kind, Request: verify.Request{
		Method: registry.SafeText(x.r.Method, 20), Path: pathOf(x.r), Client: addressOf(x.r), Agent: registry.SafeText(x.r.UserAgent(), 200),
		Latency: x.g.c.Now().Sub(x.began),
	}}
	if x.p.repo != (name.Repository{}) {
		e.Image = x.l.image(x.p.repo)
	}
	return e
}

// pathOf is a request's path, made safe to log: without credentials and query.
func pathOf(r *http.Request) string {
	path := r.URL.EscapedPath()
	if r.URL.Host != "" {
		path = (&url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host}).String() + path
	}
	return registry.SafeText(path, 300)
}

// mismatch reports content that does not have its digest.
func (x *exchange) mismatch(err error) {
	if isMismatch(err) {
		e := x.event(EventMismatch)
		e.Report = mismatched(e.Image, x.p.digest(x.l.ref).String(), err)
		x.g.report.event(x.r.Context(), e)
	}
}

// refuse answers with an error, and logs its sentence: not every client shows it.
func (x *exchange) refuse(r *refusal) {
	if x.p.from != nil {
		x.challenge(r)
		if r.cause != "" {
			r.message += ": " + x.l.image(x.p.repo)
		}
		r.message = x.hidden(r.message)
	}
	e := x.event(EventRefused)
	if r.code == codeDenied {
		e.Kind = EventDenied
	}
	e.Report = r.report(e.Image)
	e.Request.Status, e.Request.Cached, e.Request.Message = r.status, r.cached, r.message
	if x.r.Context().Err() == nil { // a client that has gone was not refused
		x.g.report.event(x.r.Context(), e)
	}
	if client, ok := x.w.(*response); ok && r.denied != nil {
		client.fail(&deniedError{r.told(x.g.c.Help), r.denied})
		return
	}
	x.deadline()
	r.write(x.w, x.r, x.g.c.Help)
}

// challenge asks the client for other credentials if an upstream wants some and the client
// can give them. Otherwise the operator must.
func (x *exchange) challenge(r *refusal) {
	switch {
	case !r.credentials:
	case x.p.from.challenge != nil:
		if r.challenge = x.p.from.challenge(r.status); r.challenge != nil {
			r.status, r.code, r.reason = http.StatusUnauthorized, codeUnauthorized, "unauthorized"
		}
	case r.status == http.StatusUnauthorized:
		r.status, r.code, r.reason = http.StatusForbidden, codeDenied, "upstream-wants-login"
		r.message = "the gate has no credentials that the upstream registry takes for this; " + r.message
	}
}

// hidden is a text about an image without the address of its registry, which is the
// operator's business. Clients know the registry by its name.
func (x *exchange) hidden(text string) string {
	return strings.ReplaceAll(text, x.p.from.address.Name(), x.p.repo.RegistryStr())
}

// manifest sends a manifest's bytes: those that were judged.
func (x *exchange) manifest(m *manifest, warning string) error {
	if !accepts(x.r.Header.Values("Accept"), m.mediaType) {
		return refuse(http.StatusNotFound, codeManifest, "%s is a %s, which the request's Accept header leaves out", x.l.image(x.p.repo), m.mediaType)
	}
	x.warn(x.hidden(warning))
	x.audit.tell(x)
	h := x.w.Header()
	h["Content-Type"] = []string{m.mediaType}
	h["Docker-Content-Digest"] = []string{m.digest}
	h["Docker-Distribution-Api-Version"] = apiVersion
	h["Etag"] = []string{`"` + m.digest + `"`}
	h["X-Content-Type-Options"] = noSniff
	if strings.Contains(x.r.Header.Get("If-None-Match"), `"`+m.digest+`"`) {
		x.begin(http.StatusNotModified)
		return nil
	}
	h["Content-Length"] = []string{strconv.Itoa(len(m.bytes))}
	x.begin(http.StatusOK)
	if !x.isHead() {
		x.send(x.ctx, m.digest, m.bytes)
	}
	return nil
}

// ping says that this is a registry.
func (x *exchange) ping() {
	h := x.w.Header()
	h["Docker-Distribution-Api-Version"] = apiVersion
	h.Set("Content-Type", "application/json")
	x.begin(http.StatusOK)
	_, _ = x.w.Write([]byte("{}")) // the client has gone
}

// accepts reports whether a client accepts a media type. Quality values do not matter: only
// one representation exists.
func accepts(accept []string, mediaType string) bool {
	if len(accept) == 0 {
		return true
	}
	for _, line := range accept {
		for part := range strings.SplitSeq(line, ",") {
			kind, _, _ := strings.Cut(part, ";")
			switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
			case mediaType, "*/*", "application/*":
				return true
			}
		}
	}
	return false
}
