package gate

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// Transport is the gate as an http.RoundTripper: its client reads only what passes. It is
// safe for concurrent use.
//
// GET and HEAD requests for manifests, blobs and referrers below /v2/ are judged, for any
// host:
//
//   - A denial by the policy is an error of RoundTrip: errors.As finds the *verify.Error in
//     the errors of net/http, go-containerregistry and registry/remote. errors.Is finds
//     registry.ErrDenied.
//   - Anything else that does not pass is an HTTP response with an OCI error body, which
//     clients turn into their own errors: a missing image, an upstream that fails, or one
//     that wants credentials.
//
// Credentials:
//
//   - Registries get the Authorization header of the request, or none if they refuse it,
//     and no others.
//   - If that is not enough, the response is 401 with the registry's challenge for the
//     repository.
//
// Redirects are followed by the Transport, and not into private networks, unless the
// registry itself is in one. With Config.Client.InsecureTransport only numeric addresses are
// checked: that transport must check the addresses of names.
//
// Passed on unchanged, and never judged, is what fetches no content of an image: other
// methods (pushes), the ping /v2/, lists of tags, the catalogue, uploads, and token
// services (paths outside /v2/, and those of one segment below it). A client that fetches
// images by other paths is not protected.
type Transport struct {
	gate *gate
	base http.RoundTripper
	// foreign sends to hosts that a registry chose. Nil: base does.
	foreign http.RoundTripper
	by      *origins
}

var _ http.RoundTripper = (*Transport)(nil)

// NewTransport makes the gate as an http.RoundTripper. Config.Client.InsecureTransport
// sends the requests; nil: one that is safe for registries. Config.Client.Wrap wraps it. Errors wrap ErrConfig.
func NewTransport(c Config) (*Transport, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if c.Credentials != Operator || len(c.Upstreams) > 0 || c.Select != nil {
		return nil, fmt.Errorf("%w: Upstreams, Select and Credentials must be empty for a Transport, whose requests name the registry", ErrConfig)
	}
	t := &Transport{base: c.Client.InsecureTransport, by: newOrigins()}
	if t.base == nil {
		plain := http.DefaultTransport.(*http.Transport).Clone()
		plain.DisableCompression = true
		plain.MaxIdleConnsPerHost = 64
		if c.Client.RootCAs != nil {
			plain.TLSClientConfig.RootCAs = c.Client.RootCAs
		}
		t.base, t.foreign = plain, netguard.Guard(plain)
	}
	if wrap := c.Client.Wrap; wrap != nil {
		t.base = wrap(t.base)
		if t.foreign != nil {
			t.foreign = wrap(t.foreign)
		}
	}
	t.gate = newGate(c)
	return t, nil
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !judged(req) {
		return t.base.RoundTrip(req)
	}
	l, refused := locate(req.URL)
	if refused == nil && (l.at == atPing || l.at == atTags) {
		return t.base.RoundTrip(req)
	}
	var p pull
	if refused == nil {
		p, refused = t.target(req, l)
	}
	// A RoundTripper must close the body.
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return t.answer(req, l, p, refused)
}

// judged reports whether a request can fetch content of an image.
func judged(req *http.Request) bool {
	if req.Method != "" && req.Method != http.MethodGet && req.Method != http.MethodHead {
		return false
	}
	// A path that encoding hides, or that URL.Opaque replaces, is judged, which refuses it.
	path := req.URL.Path
	if req.URL.Opaque != "" || req.URL.EscapedPath() != path && strings.HasPrefix(path, "/v2/") {
		return true
	}
	_, rest, below := strings.Cut(strings.ToLower(path), "/v2/")
	// One word names no content: the catalogue, and the token services that some
	// registries have there.
	if word := rest != "" && strings.Trim(rest, ".") != "" && !strings.Contains(rest, "/"); !below || word {
		return false
	}
	return !strings.HasPrefix(path, "/v2/") || !isUpload(path)
}

// isUpload reports whether a path is that of an upload session, which fetches no content.
// It is read from its end: "blobs/uploads" may also be part of a repository's name.
// Source: OCI Distribution Specification v1.1, "Pushing blobs".
func isUpload(path string) bool {
	front, session := cutLast(strings.TrimPrefix(path, "/v2/"))
	repo, found := strings.CutSuffix(front, "/blobs/uploads")
	return found && nameSyntax(repo) && strings.Trim(session, ".") != ""
}

// target says what a request is about, and where that is read.
func (t *Transport) target(req *http.Request, l location) (pull, *refusal) {
	host := req.URL.Host
	reg, err := name.NewRegistry(host)
	if err != nil || host == "" {
		return pull{}, refuse(http.StatusBadRequest, codeName, "the registry's name is malformed")
	}
	repo, err := name.NewRepository(reg.Name() + "/" + l.repo)
	if err != nil || repo.RepositoryStr() != l.repo {
		return pull{}, refuse(http.StatusBadRequest, codeName, "the repository's name is malformed")
	}
	from, err := t.origin(req, repo)
	if err != nil {
		return pull{}, failure(err, codeName)
	}
	return pull{repo, from}, nil
}

// origin reads a repository with the authorization of a request. Each repository has its
// own: registries ask for different credentials for each.
func (t *Transport) origin(req *http.Request, repo name.Repository) (*origin, error) {
	authorization := req.Header.Get("Authorization")
	return t.by.of(func() (*origin, error) { return t.open(req.URL, repo, authorization) }, req.URL.Scheme, repo.Name(), authorization)
}

// open makes an origin.
func (t *Transport) open(at *url.URL, repo name.Repository, authorization string) (*origin, error) {
	reg := repo.Registry
	options := t.gate.c.Client
	options.Keychain = onlyFor{reg.RegistryStr(), authn.Anonymous}
	// The base follows no redirects and asks for no compression; the client on
	// top of it does what there is to do.
	sender := &authorized{base: t.base, foreign: t.foreign, scheme: at.Scheme, host: at.Host, repo: repo.RepositoryStr(), authorization: authorization}
	options.InsecureTransport, options.Wrap = sender, nil
	options.TLSHosts, options.InsecurePlainHTTP = nil, nil
	if at.Scheme == "http" {
		options.InsecurePlainHTTP = []string{reg.RegistryStr()}
	} else {
		options.TLSHosts = []string{reg.RegistryStr()}
	}
	client, err := remote.New(options)
	if err != nil {
		return nil, err
	}
	return &origin{client: client, manifests: t.gate.manifests, registry: reg, address: reg, personal: true, challenge: sender.wanted}, nil
}

// authorized adds a request's own authorization to what is asked of the same host.
type authorized struct {
	base, foreign                     http.RoundTripper
	scheme, host, repo, authorization string
	// challenge is what the registry asked for last; nil: nothing.
	challenge atomic.Pointer[[]string]
	// private is set once the registry has shown that it is in a private network.
	private atomic.Bool
}

// wanted is the registry's challenge, for the client to answer. That is so, too, where
// a token service then had nothing for clients without credentials: it may say so by 401 or by 403.
func (a *authorized) wanted(int) []string {
	if asked := a.challenge.Load(); asked != nil {
		return *asked
	}
	return nil
}

// maxChallenge bounds what is remembered of a challenge.
const maxChallenge = 8 << 10

// note remembers what a registry asks for. Token services may be on the same host: what
// they ask for is not about the repository.
func (a *authorized) note(asked *url.URL, headers []string) {
	if l, refused := locate(asked); refused != nil || l.repo != a.repo {
		return
	}
	size := 0
	for _, h := range headers {
		size += len(h)
	}
	if 0 < size && size <= maxChallenge {
		a.challenge.Store(&headers)
	}
}

func (a *authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	same := req.URL.Scheme == a.scheme && req.URL.Host == a.host
	if same && a.authorization != "" && req.Header.Get("Authorization") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", a.authorization)
	}
	sender := a.base
	switch {
	case same && netguard.Direct(req.URL):
		req = req.WithContext(netguard.WatchPeer(req.Context(), func() { a.private.Store(true) }))
	case !same && a.foreign != nil && !a.private.Load():
		sender = a.foreign
	}
	resp, err := sender.RoundTrip(req)
	if err == nil && same && resp.StatusCode == http.StatusUnauthorized {
		a.note(req.URL, resp.Header.Values("WWW-Authenticate"))
	}
	return resp, err
}

// answer runs the handler's code, and gives its answer as a response whose body is
// read while it is written.
func (t *Transport) answer(req *http.Request, l location, p pull, refused *refusal) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	w := newResponse(req, cancel)
	// As with net/http's own transport, the end of a request's context is the end of its
	// answer, whether or not the client closes that.
	stop := context.AfterFunc(req.Context(), func() { _ = w.body.CloseWithError(req.Context().Err()) }) // it never fails
	go func() {
		defer cancel()
		defer stop()
		defer w.end()
		inner := req.WithContext(ctx)
		if inner.Method == "" {
			inner.Method = http.MethodGet
		}
		x := t.gate.exchange(w, inner, l, p)
		if refused != nil {
			x.refuse(refused)
			return
		}
		x.serve()
	}()
	select {
	case <-w.begun:
		if w.failed != nil {
			return nil, w.failed
		}
		return w.resp, nil
	case <-req.Context().Done():
		// The answer has no reader any more: who writes it must not wait for one.
		_ = w.resp.Body.Close() // it never fails, and cancels
		return nil, req.Context().Err()
	}
}
