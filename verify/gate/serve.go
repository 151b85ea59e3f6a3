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
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// exchange is one request and its answer.
type exchange struct {
	g     *gate
	w     http.ResponseWriter
	r     *http.Request
	l     location
	p     pull
	began time.Time
	// ctx is the request's, on whose client's behalf upstreams are asked.
	ctx context.Context
}

// serve answers a request whose target is known.
func (g *gate) serve(w http.ResponseWriter, r *http.Request, l location, p pull) {
	x := &exchange{g: g, w: w, r: r, l: l, p: p, began: g.c.Now(), ctx: budget.With(fair.With(r.Context(), partyOf(clientOf(r))), g.upstreams.of(p.from.address).budget)}
	err := g.ruledOut(x.ctx, p, l)
	if err == nil {
		err = x.content()
	}
	if err != nil {
		g.logPanic(x.ctx, err)
		x.refuse(failure(err, x.unknown()))
	}
}

// content answers by what is there.
func (x *exchange) content() error {
	if x.l.at == atBlob { // which may take longer than a judgement
		return x.blob()
	}
	ctx, cancel := x.g.inTime(x.ctx)
	defer cancel()
	x.ctx = ctx
	switch x.l.at {
	case atManifest:
		return x.manifest()
	case atReferrers:
		return x.referrers()
	case atTags:
		return x.tags()
	}
	return nil
}

// unknown is the code for what is not there.
func (x *exchange) unknown() string {
	switch x.l.at {
	case atManifest:
		return codeManifest
	case atBlob:
		return codeBlob
	}
	return codeNameUnknown
}

// image is what was asked for, as text.
func (x *exchange) image() string { return x.l.image(x.p.repo) }

func (x *exchange) event(kind string) Event {
	e := Event{
		Time: x.g.c.Now(), Kind: kind, Client: clientOf(x.r), Agent: registry.SafeText(x.r.UserAgent(), 200),
		Latency: x.g.c.Now().Sub(x.began),
	}
	if x.p.repo == (name.Repository{}) {
		e.Request = asked(x.r)
	} else {
		e.Image = x.image()
	}
	return e
}

// asked is a request that names no image, as far as it is fit to be written down:
// logins and queries are not.
func asked(r *http.Request) string {
	target := r.URL.EscapedPath()
	if r.URL.Host != "" {
		target = (&url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host}).String() + target
	}
	return registry.SafeText(r.Method+" "+target, 300)
}

// login asks for another login where an upstream wants one and the client can give
// it; otherwise the operator has to.
func (x *exchange) login(r *refusal) {
	if !r.login || x.p.from == nil {
		return
	}
	if x.p.from.challenge != nil {
		if r.challenge = x.p.from.challenge(r.status); r.challenge != nil {
			r.status, r.code, r.reason = http.StatusUnauthorized, codeUnauthorized, "unauthorized"
		}
		return
	}
	if r.status != http.StatusUnauthorized {
		return
	}
	r.status, r.code, r.reason = http.StatusForbidden, codeDenied, "upstream-wants-login"
	r.message = "the gate has no login that the upstream registry takes for this; " + r.message
}

// refuse answers with an error, and puts its sentence where the operator looks:
// not every client shows it.
func (x *exchange) refuse(r *refusal) {
	x.login(r)
	if x.p.from != nil {
		if r.cause != "" {
			r.message += ": " + x.image()
		}
		r.message = x.hidden(r.message)
	}
	e := x.event(EventRefused)
	if r.code == codeDenied {
		e.Kind = EventDenied
	}
	e.Reason, e.Rule, e.Message, e.Cause, e.Status, e.Digest, e.Cached = r.reason, r.rule, r.message, r.cause, r.status, r.digest, r.cached
	if x.r.Context().Err() == nil { // nobody was refused who had gone
		x.g.report(x.r.Context(), e)
	}
	x.deadline()
	r.write(x.w, x.r, x.g.c.Help)
}

// hidden is a text about an image without the address of its registry: clients know that
// by its name; where it is reached is the operator's business.
func (x *exchange) hidden(text string) string {
	return strings.ReplaceAll(text, x.p.from.address.Name(), x.p.repo.RegistryStr())
}

func (x *exchange) manifest() error {
	ctx, digest := x.ctx, x.l.ref
	if !x.l.isDigest() {
		if subject, suffix, ok := evidenceTag(x.l.ref); ok {
			return x.evidenceTag(subject, suffix)
		}
		var err error
		if digest, err = x.g.resolve(ctx, x.p, x.l.ref); err != nil {
			return err
		}
	} else if err := x.g.mayRead(ctx, x.p, digest); err != nil {
		return x.ownList(digest, err)
	}
	decided, cached, err := x.g.decide(ctx, x.p, digest, 0)
	if err != nil {
		return x.ownList(digest, err)
	}
	if decided.Evidence && !x.l.isDigest() {
		if decided, err = x.g.byItself(ctx, x.p, digest); err != nil {
			return err
		}
	}
	if !decided.Allowed {
		r := x.g.denial(decided.denied, x.image())
		r.cached = cached
		return x.ownList(digest, r)
	}
	m, err := x.g.byDigest(ctx, x.p, digest)
	if err != nil {
		return x.ownList(digest, err)
	}
	x.g.letThrough(m, decided)
	if cached {
		x.g.relink(ctx, x.p, m, decided)
	}
	e := x.event(EventAllowed)
	e.Digest, e.Rule, e.Warning, e.Cached, e.Status = digest, decided.Rule, decided.Warning, cached, http.StatusOK
	x.g.report(ctx, e)
	return x.sendManifest(m, decided.Warning)
}

// evidenceTag serves what cosign's tags and the fallback tag of the referrers API
// hold, where their subject passes.
func (x *exchange) evidenceTag(subject, suffix string) error {
	ctx := x.ctx
	if err := x.g.mayRead(ctx, x.p, subject); err != nil {
		return err
	}
	above, _, err := x.g.decide(ctx, x.p, subject, 0)
	if err != nil {
		return err
	}
	if !above.Allowed {
		return x.g.denial(above.denied, x.p.digest(subject).String())
	}
	if suffix == "" {
		return x.fallbackTag(subject, above)
	}
	return x.cosignTag(subject, above)
}

// fallbackTag serves the list of referrers as the manifest of a tag.
func (x *exchange) fallbackTag(subject string, above permit) error {
	ctx := x.ctx
	list, err := x.g.referrers(ctx, x.p, subject)
	if err != nil {
		return err
	}
	if len(list.doc.Manifests) == 0 {
		return refuse(http.StatusNotFound, codeManifest, "nothing refers to %s", subject)
	}
	// A client may ask for it by its digest next: what it lists, it does not
	// vouch for.
	x.g.unjudged.Put(list.digest, list)
	own := x.g.evidenceOf(above, subject)
	x.g.permitEvidence(ctx, x.p, list, own)
	x.g.links.add(ctx, linkKey{x.p.repo.Name(), list.digest, asList}, subject, true, 0, x.g.keepFor(own))
	x.g.mayReadNow(x.p, list.digest, asManifest) // the upstream does not have it as it is here
	return x.sendManifest(list, above.Warning)
}

// ownList serves a list that a gate has written, by its digest, where that was not found
// or does not pass: another gate may have written it, or it had to make room in memory.
// failed is the answer where it is no such list, or not one any more.
func (x *exchange) ownList(digest string, failed error) error {
	var no *refusal
	if !x.l.isDigest() || !errors.Is(failed, registry.ErrNotFound) && !errors.As(failed, &no) {
		return failed
	}
	for _, subject := range x.g.links.get(x.ctx, linkKey{x.p.repo.Name(), digest, asList}).Parents {
		list, warning, err := x.referrersOf(subject)
		if err == nil && list.digest == digest {
			return x.sendManifest(list, warning)
		}
	}
	return failed
}

// cosignTag serves what a tag of cosign's names, if it is evidence.
func (x *exchange) cosignTag(subject string, above permit) error {
	ctx := x.ctx
	digest, err := x.g.resolve(ctx, x.p, x.l.ref)
	if err != nil {
		return err
	}
	m, err := x.g.byDigest(ctx, x.p, digest)
	if err != nil {
		return err
	}
	v, err := x.g.c.Verifier.Verifier(ctx)
	if err != nil {
		return err
	}
	if d := x.g.forbidden(v, x.p, digest); d != nil {
		return x.g.denial(d.denied, x.image())
	}
	decided, err := x.g.asEvidence(ctx, x.p, digest, above, subject)
	switch {
	case err != nil:
		return err
	case decided == nil:
		r := refuse(http.StatusForbidden, codeDenied, "%s is not let through: it is no evidence about %s", x.image(), subject)
		r.reason = "not-evidence"
		return r
	}
	x.g.permitEvidence(ctx, x.p, m, decided)
	return x.sendManifest(m, above.Warning)
}

// permitEvidence lets evidence pass by digest too, and its blobs.
func (g *gate) permitEvidence(ctx context.Context, p pull, m *manifest, d *permit) {
	v, err := g.c.Verifier.Verifier(ctx)
	if err != nil {
		return // the next request meets the same error
	}
	key := permitKey{v.Generation(), p.repo.Name(), m.digest, asManifest}
	if m.doc.IsIndex {
		g.permits.put(key, *d)
		return
	}
	if known, ok := g.permits.get(ctx, key); ok && known.Allowed && g.holds(known) {
		g.relink(ctx, p, m, known)
		return
	}
	g.keepDecision(ctx, p, key, m, d)
}

// referrers answers the referrers API.
func (x *exchange) referrers() error {
	list, warning, err := x.referrersOf(x.l.ref)
	if err != nil {
		return err
	}
	if want := x.r.URL.Query().Get("artifactType"); want != "" {
		if list, err = x.g.filtered(x.ctx, list, want); err != nil {
			return err
		}
		x.w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	return x.sendManifest(list, warning)
}

// referrersOf is the list for a subject that passes.
func (x *exchange) referrersOf(subject string) (list *manifest, warning string, err error) {
	ctx := x.ctx
	var above permit
	if err = x.g.mayRead(ctx, x.p, subject); err == nil {
		above, _, err = x.g.decide(ctx, x.p, subject, 0)
	}
	if errors.Is(err, registry.ErrNotFound) {
		// The specification has no 404 here: an empty list, as a registry gives, but
		// only to who may know that there is nothing.
		if err = x.g.mayReadRepository(ctx, x.p); err == nil {
			list, err = indexOf(ctx, []v1.Descriptor{})
		}
		return list, "", err
	}
	if err != nil {
		return nil, "", err
	}
	if !above.Allowed {
		return nil, "", x.g.denial(above.denied, x.p.digest(subject).String())
	}
	list, err = x.g.referrers(ctx, x.p, subject)
	return list, above.Warning, err
}

// sendManifest answers with a manifest's bytes: those that were judged.
func (x *exchange) sendManifest(m *manifest, warning string) error {
	if !accepts(x.r.Header.Values("Accept"), m.mediaType) {
		return refuse(http.StatusNotFound, codeManifest, "%s is a %s, which the request's Accept header leaves out", x.image(), m.mediaType)
	}
	h := x.w.Header()
	warn(h, x.hidden(warning))
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
	if x.r.Method != http.MethodHead {
		x.send(m.digest, m.bytes)
	}
	return nil
}

var (
	apiVersion = []string{"registry/2.0"}
	noSniff    = []string{"nosniff"}
)

// warn marks what passes only because its rule does not enforce.
// Source: OCI Distribution Specification v1.1, "Warnings".
func warn(h http.Header, warning string) {
	if warning != "" {
		text := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(ascii(registry.SafeText("not verified, and let through by a rule that only warns: "+warning, 400)))
		h.Set("Warning", `299 - "`+text+`"`)
	}
}

// ascii leaves out what no header holds.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0x7e || r < ' ' {
			return -1
		}
		return r
	}, s)
}

// accepts reports whether a client takes a media type. Quality values are not
// looked at: there is one thing that can be sent.
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

// begin begins the answer, for which the client has time from now on: a deadline that
// the server has set began with the request.
func (x *exchange) begin(status int) {
	x.deadline()
	x.w.WriteHeader(status)
}

// deadline gives the client time for what is sent next.
func (x *exchange) deadline() {
	// A writer that has no deadlines is bounded by who made it.
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(x.g.c.WriteTimeout))
}

// waits says that it is not the client who keeps others waiting now: with HTTP/2 a
// deadline ends the answer while nothing is sent, too. deadline is called before more is.
func (x *exchange) waits() {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Time{})
}

// Handler is the gate as an http.Handler. It is safe for concurrent use.
type Handler struct {
	gate      *gate
	upstreams map[string]*upstream
	// client has the connections that all upstreams' and logins' clients share.
	client *remote.Client
	logins logins
}

// ServeHTTP answers the pull API; see the package documentation.
func (p *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client := partyOf(clientOf(r))
	if refused := p.gate.limits.enter(client); refused != nil {
		(&exchange{g: p.gate, w: w, r: r, began: p.gate.c.Now()}).refuse(refused)
		return
	}
	defer p.gate.limits.leave(client)
	l, about, refused := p.target(r)
	switch {
	case refused != nil:
		(&exchange{g: p.gate, w: w, r: r, l: l, p: about, began: p.gate.c.Now()}).refuse(refused)
	case l.at == atPing:
		(&exchange{g: p.gate, w: w}).ping()
	default:
		p.gate.serve(w, r, l, about)
	}
}

// ping says that this is a registry.
func (x *exchange) ping() {
	h := x.w.Header()
	h["Docker-Distribution-Api-Version"] = apiVersion
	h.Set("Content-Type", "application/json")
	x.begin(http.StatusOK)
	_, _ = x.w.Write([]byte("{}")) // the client has gone
}

// target says what a request is about.
func (p *Handler) target(r *http.Request) (location, pull, *refusal) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return location{}, pull{}, refuse(http.StatusMethodNotAllowed, codeUnsupported, "this gate is for pulling: only GET and HEAD are answered")
	}
	if r.URL.IsAbs() {
		return location{}, pull{}, refuse(http.StatusBadRequest, codeUnsupported, "this is no forward proxy; ask for a path")
	}
	l, refused := locate(r.URL)
	if refused != nil {
		return location{}, pull{}, refused
	}
	if l.at == atPing {
		return l, pull{}, p.greet(r)
	}
	up, repo, refused := p.route(l.repo, r.URL.Query())
	if refused != nil {
		return location{}, pull{}, refused
	}
	from, refused := p.origin(r, up)
	return l, pull{repo, from}, refused
}

// route finds the upstream and the name under which a repository is judged.
func (p *Handler) route(path string, query url.Values) (*upstream, name.Repository, *refusal) {
	namespaces := query["ns"]
	if len(namespaces) > 1 {
		return nil, name.Repository{}, refuse(http.StatusBadRequest, codeName, "ns is given more than once")
	}
	to := Target{Repository: path}
	if len(namespaces) == 1 {
		to.Namespace = namespaces[0]
	}
	choose := p.gate.c.Select
	if choose == nil {
		choose = p.choose
	}
	host, repository, err := choose(to)
	if err != nil {
		return nil, name.Repository{}, refuse(http.StatusNotFound, codeNameUnknown, "%s", safe(err.Error()))
	}
	known, err := name.NewRegistry(host)
	if err != nil {
		return nil, name.Repository{}, refuse(http.StatusBadRequest, codeName, "the registry's name is malformed")
	}
	up := p.upstreams[known.RegistryStr()]
	if up == nil {
		return nil, name.Repository{}, refuse(http.StatusNotFound, codeNameUnknown, "this gate does not stand before %s", safe(known.Name()))
	}
	// Written out in full and read again, so that one name has one form: Docker
	// Hub's short names get their "library/".
	repo, err := name.NewRepository(up.registry.Name() + "/" + repository)
	if err == nil {
		repo, err = name.NewRepository(up.registry.Name() + "/" + repo.RepositoryStr())
	}
	if err != nil || len(repo.RepositoryStr()) > maxRepository || !nameSyntax.MatchString(repo.RepositoryStr()) {
		return nil, name.Repository{}, refuse(http.StatusBadRequest, codeName, "the repository's name is malformed")
	}
	return up, repo, nil
}

// choose is Config.Select's default.
func (p *Handler) choose(t Target) (host, repository string, err error) {
	if t.Namespace != "" {
		return t.Namespace, t.Repository, nil
	}
	if first, rest, found := strings.Cut(t.Repository, "/"); found {
		if known, err := name.NewRegistry(first); err == nil && isHost(first) && p.upstreams[known.RegistryStr()] != nil {
			return first, rest, nil
		}
	}
	if len(p.upstreams) == 1 {
		for _, only := range p.upstreams {
			return only.registry.Name(), t.Repository, nil
		}
	}
	return "", "", errors.New("say which registry is meant: by the first part of the name, as in registry.example/team/app, or by ?ns=")
}

// isHost reports whether a first segment can be a host: a repository's cannot.
func isHost(s string) bool { return strings.ContainsAny(s, ".:") || s == "localhost" }
