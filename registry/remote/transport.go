package remote

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/internal/httpcount"
	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/registry"
)

const (
	dialTimeout     = 10 * time.Second
	maxIdlePerHost  = 64
	maxHeaderBytes  = 256 << 10
	idleConnTimeout = 90 * time.Second
)

func newTransport(o Options) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    dialTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxIdleConns:           4 * maxIdlePerHost,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		// Compressed manifests are refused, so none is asked for; a compressed
		// body could grow without bound.
		DisableCompression: true,
	}
}

// line sends single HTTP requests, by the transport that their target calls for.
type line struct {
	own     http.RoundTripper // to registries
	foreign http.RoundTripper // to where they redirect
	// slots are the places of requests in flight.
	slots     *fair.Pool
	userAgent []string // the header that every request has
	logger    *slog.Logger
	observe   func(context.Context, Request) // nil: none
}

// Request is what Options.Observe is told of an HTTP request, for metrics. A call of the
// client may send several: for tokens, attempts and redirects. It holds no path, no
// credentials and no text of a registry.
type Request struct {
	// Registry is the host of the registry, as references name it.
	Registry string
	// Operation is what the client does, such as "read manifest".
	Operation string
	// Method is that of HTTP.
	Method string
	// Redirected says that the request went to where the registry redirected, and not to
	// the registry or its token service.
	Redirected bool
	// Status is that of the response. Zero: there is none.
	Status int
	// Duration is the time until the headers of the response, or until the failure.
	Duration time.Duration
}

// told logs a request and tells of it.
func (l *line) told(ctx context.Context, r *request, target *url.URL, local bool, resp *http.Response, err error, start time.Time) {
	l.log(ctx, r, target, resp, err, start)
	if l.observe == nil {
		return
	}
	told := Request{Registry: r.repo.RegistryStr(), Operation: r.op, Method: r.method, Redirected: !local, Duration: time.Since(start)}
	if resp != nil {
		told.Status = resp.StatusCode
	}
	_ = panics.Caught(func() error { l.observe(ctx, told); return nil }) // an observer has no say
}

func newLine(o Options, own, foreign http.RoundTripper) *line {
	return &line{own: own, foreign: foreign, slots: fair.NewPool(int64(o.MaxInFlight)), userAgent: []string{o.UserAgent}, logger: o.Logger, observe: o.Observe}
}

// exchange sends a request, and reads its answer or the target of its redirect. Its
// place among the requests in flight is free again once it has read a small body, or
// found a large one, which a budget bounds.
func (l *line) exchange(ctx context.Context, h *host, r *request, target *url.URL, local bool, authorization string, maxBody int64) (a *answer, location string, err error) {
	leave, err := l.slots.Take(ctx, 1)
	if err != nil {
		return nil, "", r.fail(registry.ErrUnavailable, err, "")
	}
	placed := *r
	placed.unplace = sync.OnceFunc(leave)
	defer placed.unplace()
	r = &placed
	resp, err := l.roundTrip(ctx, h, r, target, local, authorization)
	if err != nil {
		return nil, "", err
	}
	location = resp.Header.Get("Location")
	if isRedirect(resp.StatusCode) && location != "" && (r.method == http.MethodGet || r.method == http.MethodHead) {
		drain(resp)
		return nil, location, nil
	}
	a, err = r.read(ctx, resp, maxBody)
	return a, "", err
}

// roundTrip sends one HTTP request with the authorization given. local says that
// the target is the registry itself, not a place of its choosing.
func (l *line) roundTrip(ctx context.Context, h *host, r *request, target *url.URL, local bool, authorization string) (*http.Response, error) {
	transport := l.own
	if local {
		ctx = noticePeer(ctx, h)
	} else if !h.private.get() {
		transport = l.foreign
	}
	body := r.body
	if r.open != nil {
		body = r.open()
	}
	start := time.Now()
	httpcount.Add(ctx)
	var peer dialled
	sent := l.request(peer.watch(ctx), r, target, body, authorization)
	resp, err := transport.RoundTrip(sent)
	l.told(ctx, r, target, local, resp, err, start)
	if err != nil {
		return nil, r.transportError(ctx, err, peer.missingIn(err, target.Host))
	}
	if local && resp != nil {
		h.quota.learn(resp, time.Now())
	}
	return r.complete(resp, sent)
}

// request is the request as it is sent. Its parts have been checked.
func (l *line) request(ctx context.Context, r *request, target *url.URL, body io.Reader, authorization string) *http.Request {
	req := &http.Request{
		Method: r.method, URL: target, Host: target.Host, Header: make(http.Header, len(r.header)+2),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	maps.Copy(req.Header, r.header)
	req.Header["User-Agent"] = l.userAgent
	if authorization != "" {
		req.Header["Authorization"] = []string{authorization}
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(body), r.size
		if r.open != nil {
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(r.open()), nil }
		}
	}
	return req.WithContext(ctx)
}

// complete makes sure of an answer's parts, which a transport of the caller's may
// leave out.
func (r *request) complete(resp *http.Response, sent *http.Request) (*http.Response, error) {
	if resp == nil {
		return nil, r.fail(registry.ErrUnavailable, nil, "the transport gave no answer")
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Request == nil || resp.Request.URL == nil {
		resp.Request = sent
	}
	return resp, nil
}

func (l *line) log(ctx context.Context, r *request, target *url.URL, resp *http.Response, err error, start time.Time) {
	if !l.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	l.logger.DebugContext(ctx, "registry request", "op", r.op, "method", r.method, "host", target.Host,
		"path", safe(target.Path), "status", status, "failed", err != nil, "duration", time.Since(start))
}
