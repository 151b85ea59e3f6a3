package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/budget"
	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/pause"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// maxRetryAfter bounds what a registry can ask others to wait.
const maxRetryAfter = 24 * time.Hour

// Bounds of what is read of an answer that is only explained or thrown away.
const (
	maxErrorBody = 16 << 10
	maxDrain     = 64 << 10
)

// request is one request to a registry, as often as it has to be sent.
type request struct {
	op     string
	ref    string
	repo   name.Repository
	method string
	url    *url.URL
	header http.Header
	push   bool            // needs the right to push
	from   name.Repository // a mount needs the right to pull from here
	// open gives a body that can be sent again, body one that can be sent once;
	// both nil: none. size is its length.
	open func() io.Reader
	body io.Reader
	size int64
	// stream leaves the answer's body to the caller, unbounded in time but for
	// StallTimeout.
	stream bool
	// list: the answer is a list, which is held while what it lists is read.
	list bool
	// consume reads the body of a list of referrers, of up to maxListBytes, in place of
	// answer.body; nil: it does not.
	consume func(body io.Reader) error
	// hurry shortens the time that is left for the attempt under way; nil: it has none of
	// its own.
	hurry func(time.Duration)
	// unplace gives back the place in flight of the attempt under way, once it waits for a
	// budget in place of that; nil: it has none of its own.
	unplace func()
	// once: what fails is not tried again here.
	once bool
	// accept lists further statuses that are no error. 200 to 299 are none.
	accept []int
}

func (r *request) fail(kind registry.Kind, err error, detail string) error {
	return &registry.Error{Op: r.op, Ref: r.ref, Kind: kind, Detail: detail, Err: err}
}

// stray is fail for what is no answer to the request, so that it says nothing
// about what was asked for.
func (r *request) stray(kind registry.Kind, err error, detail string) error {
	return &registry.Error{Op: r.op, Ref: r.ref, Kind: kind, Detail: detail, Err: err, Unanswered: true}
}

// answer is a response whose small body has been read.
type answer struct {
	status int
	header http.Header
	url    *url.URL
	body   []byte        // nil with request.stream
	stream io.ReadCloser // the body, with request.stream
	length int64
}

// send sends a request, again where that may help, and returns the answer or a
// typed error.
func (c *Client) send(ctx context.Context, r *request, maxBody int64) (*answer, error) {
	for attempt := 1; ; attempt++ {
		a, err := c.attempt(ctx, r, maxBody)
		if err == nil || r.body != nil || r.once {
			return a, err
		}
		if again, failed := c.pause(ctx, r, attempt, err); !again {
			return a, failed
		}
	}
}

// pause waits after some failed attempts, and reports whether to make another;
// otherwise it returns the error of them all.
func (c *Client) pause(ctx context.Context, r *request, attempts int, err error) (again bool, failed error) {
	wait, again := c.RetryDelay(attempts, err)
	if !again || ctx.Err() != nil {
		return false, err
	}
	if err := pause.For(ctx, wait); err != nil {
		return false, r.fail(registry.ErrUnavailable, err, "")
	}
	return true, nil
}

// RetryDelay implements TagWriter. It says how long to wait after some failed
// attempts, and whether another may help: where the error may go away by itself, and
// the registry does not ask for a longer wait than anybody would be kept waiting for.
func (c *Client) RetryDelay(attempts int, err error) (time.Duration, bool) {
	var e *registry.Error
	if attempts >= c.o.MaxAttempts || !errors.As(err, &e) || e.RetryAfter > c.o.MaxRetryDelay {
		return 0, false
	}
	if e.Kind != registry.ErrRateLimited && (e.Kind != registry.ErrUnavailable || e.Status == http.StatusNotImplemented) {
		return 0, false
	}
	d := c.o.RetryDelay << min(attempts-1, 16)
	d = d/2 + rand.N(d/2+1)
	return min(max(d, e.RetryAfter), c.o.MaxRetryDelay), true
}

// attempt sends a request once, and once more for each thing that the registry
// wants to know about who asks.
func (c *Client) attempt(ctx context.Context, r *request, maxBody int64) (*answer, error) {
	h := c.host(r.repo)
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.o.Timeout, func() { cancel(errTimeout) })
	end := time.Now().Add(c.o.Timeout)
	sent := *r
	sent.hurry = func(most time.Duration) { timer.Reset(min(most, time.Until(end))) }
	if r.body != nil {
		// As long as the registry takes bytes, an upload may go on.
		sent.body = &watched{r.body, func() { timer.Reset(c.o.Timeout) }}
	}
	r = &sent
	done := func() { timer.Stop(); cancel(nil) }
	a, err := c.authenticated(ctx, h, r, maxBody)
	if err == nil && r.stream {
		if timer.Stop() {
			a.stream = newSteadyBody(ctx, a.stream, c.o.StallTimeout, cancel)
			return a, nil
		}
		err = r.fail(registry.ErrStalled, errTimeout, "")
		_ = a.stream.Close()
	}
	done()
	return a, stalled(ctx, r, err)
}

// watched tells of each read.
type watched struct {
	io.Reader
	told func()
}

func (w *watched) Read(p []byte) (int, error) {
	w.told()
	return w.Reader.Read(p)
}

var (
	errTimeout = errors.New("no answer in time")
	errStalled = errors.New("too little arrived in time")
)

// stalled gives an error the kind ErrStalled where our own timer caused it.
func stalled(ctx context.Context, r *request, err error) error {
	cause := context.Cause(ctx)
	if err != nil && (errors.Is(cause, errTimeout) || errors.Is(cause, errStalled)) {
		return r.fail(registry.ErrStalled, cause, "")
	}
	return err
}

func (c *Client) authenticated(ctx context.Context, h *host, r *request, maxBody int64) (*answer, error) {
	for try := 0; ; try++ {
		login, err := c.login(ctx, h, r)
		if err != nil {
			return nil, err
		}
		a, err := c.follow(ctx, h, r, login.header, maxBody)
		refused, ok := err.(*unauthorized)
		if !ok {
			return a, err
		}
		if r.body != nil || try >= 2 || !c.challenged(h, r, login, refused.challenges) {
			return nil, refused.Unwrap()
		}
	}
}

// follow sends a request and follows its redirects.
func (c *Client) follow(ctx context.Context, h *host, r *request, authorization string, maxBody int64) (*answer, error) {
	target := r.url
	for hop := 0; ; hop++ {
		local := h.is(target)
		header := authorization
		if !local {
			header = ""
		}
		a, location, err := c.exchange(ctx, h, r, target, local, header, maxBody)
		if location == "" {
			if refused, ok := err.(*unauthorized); ok && !local {
				return nil, refused.Unwrap() // what another host asks for is not the registry's wish
			}
			return a, err
		}
		if hop >= c.o.MaxRedirects {
			return nil, r.stray(registry.ErrTooMany, nil, fmt.Sprintf("more than %d redirects", c.o.MaxRedirects))
		}
		if target, err = c.redirect(h, r, target, location); err != nil {
			return nil, err
		}
	}
}

// exchange sends a request and reads its answer, or where it leads. It has a place
// among the requests in flight until a small body has been read, or is found to be so
// large that a budget bounds it.
func (c *Client) exchange(ctx context.Context, h *host, r *request, target *url.URL, local bool, authorization string, maxBody int64) (a *answer, location string, err error) {
	leave, err := c.slots.Take(ctx, 1)
	if err != nil {
		return nil, "", r.fail(registry.ErrUnavailable, err, "")
	}
	placed := *r
	placed.unplace = sync.OnceFunc(leave)
	defer placed.unplace()
	r = &placed
	resp, err := c.roundTrip(ctx, h, r, target, local, authorization)
	if err != nil {
		return nil, "", err
	}
	location = resp.Header.Get("Location")
	if isRedirect(resp.StatusCode) && location != "" && (r.method == http.MethodGet || r.method == http.MethodHead) {
		drain(resp)
		return nil, location, nil
	}
	a, err = c.read(ctx, r, resp, maxBody)
	return a, "", err
}

func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

// redirect checks where a registry sends us.
func (c *Client) redirect(h *host, r *request, from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil {
		return nil, r.stray(registry.ErrMalformed, nil, "the registry redirects to a malformed address")
	}
	refuse := func(why string) (*url.URL, error) {
		return nil, r.fail(registry.ErrInsecure, nil, "the registry redirects to "+registry.SafeText(to.Host, 100)+", "+why)
	}
	switch {
	case to.Scheme != "https" && to.Scheme != "http":
		return refuse("by the scheme " + registry.SafeText(to.Scheme, 20))
	case to.Scheme == "http" && from.Scheme == "https":
		return refuse("away from HTTPS")
	case to.User != nil:
		return refuse("with a login in the address")
	case !h.is(to) && isLocal(to.Host) && !h.private.get():
		return refuse("a private address")
	}
	to.Fragment = ""
	return to, nil
}

// roundTrip sends one HTTP request with the authorization given. local says that
// the target is the registry itself, not a place of its choosing.
func (c *Client) roundTrip(ctx context.Context, h *host, r *request, target *url.URL, local bool, authorization string) (*http.Response, error) {
	transport := c.own
	if local {
		ctx = noticePeer(ctx, h)
	} else if !h.private.get() {
		transport = c.foreign
	}
	body := r.body
	if r.open != nil {
		body = r.open()
	}
	start := time.Now()
	sent := c.wire(ctx, r, target, body, authorization)
	resp, err := transport.RoundTrip(sent)
	c.logged(ctx, r, target, resp, err, start)
	if err != nil {
		return nil, r.transportError(ctx, err)
	}
	return r.complete(resp, sent)
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

// wire is the request as it is sent. Its parts have been checked.
func (c *Client) wire(ctx context.Context, r *request, target *url.URL, body io.Reader, authorization string) *http.Request {
	req := &http.Request{
		Method: r.method, URL: target, Host: target.Host, Header: make(http.Header, len(r.header)+2),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	maps.Copy(req.Header, r.header)
	req.Header["User-Agent"] = c.userAgent
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

func (c *Client) logged(ctx context.Context, r *request, target *url.URL, resp *http.Response, err error, start time.Time) {
	if !c.o.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	status := 0
	if resp != nil {
		status = resp.StatusCode
	}
	c.o.Logger.DebugContext(ctx, "registry request", "op", r.op, "method", r.method, "host", target.Host,
		"path", safe(target.Path), "status", status, "failed", err != nil, "duration", time.Since(start))
}

func (r *request) transportError(ctx context.Context, err error) error {
	if private := (*netguard.Error)(nil); errors.As(err, &private) {
		return r.fail(registry.ErrInsecure, nil, "the registry redirects into a private network: "+private.Error())
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return r.fail(registry.ErrUnavailable, err, "")
}

// read turns a response into an answer or an error.
func (c *Client) read(ctx context.Context, r *request, resp *http.Response, maxBody int64) (*answer, error) {
	ok := resp.StatusCode/100 == 2
	for _, s := range r.accept {
		ok = ok || resp.StatusCode == s
	}
	if !ok {
		return nil, c.statusError(r, resp)
	}
	a := &answer{status: resp.StatusCode, header: resp.Header, url: resp.Request.URL, length: resp.ContentLength}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		_ = resp.Body.Close()
		return nil, r.stray(registry.ErrMalformed, nil, "the answer is compressed, which was not asked for")
	}
	if r.stream {
		a.stream = resp.Body
		return a, nil
	}
	defer drain(resp)
	if r.consume != nil && resp.StatusCode == http.StatusOK && contentType(resp.Header) == oci.MediaTypeIndex {
		return a, r.consumed(ctx, resp)
	}
	body, err := readMessage(ctx, r, resp, maxBody)
	switch {
	case errors.Is(err, budget.ErrLater):
		return nil, err
	case errors.Is(err, limit.ErrExceeded) && !oci.IsManifestType(contentType(resp.Header)):
		return nil, r.stray(registry.ErrTooLarge, err, "")
	case errors.Is(err, limit.ErrExceeded):
		return nil, r.fail(registry.ErrTooLarge, err, "")
	case err != nil:
		return nil, r.transportError(resp.Request.Context(), err)
	}
	a.body = body
	return a, nil
}

// drain empties a body within reason, so that the connection can be used again.
func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxDrain))
	_ = resp.Body.Close()
}

// statusError explains an answer that is an error.
func (c *Client) statusError(r *request, resp *http.Response) error {
	defer drain(resp)
	e := &registry.Error{Op: r.op, Ref: r.ref, Status: resp.StatusCode, Kind: kindOfStatus(resp.StatusCode)}
	if body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)); err == nil {
		e.Detail = explanation(body)
	}
	e.RetryAfter = min(retryAfter(resp.Header.Get("Retry-After"), time.Now()), maxRetryAfter)
	if e.Status == http.StatusUnauthorized {
		return &unauthorized{e, resp.Header.Values("WWW-Authenticate")}
	}
	return e
}

// guarded returns what f returns, where f calls what was plugged in (a keychain, a
// transport) in a goroutine of this package's: a panic there is an error of the request.
func caught[T any](op, ref string, f func() (T, error)) (v T, err error) {
	err = panics.Caught(func() (err error) {
		v, err = f()
		return err
	})
	if _, ok := err.(*panics.Error); ok {
		err = &registry.Error{Op: op, Ref: ref, Kind: registry.ErrUnavailable, Err: err}
	}
	return v, err
}

// unauthorized is a 401 with what the registry wants to see. It does not leave this
// package.
type unauthorized struct {
	err        *registry.Error
	challenges []string
}

func (u *unauthorized) Error() string { return u.err.Error() }

func (u *unauthorized) Unwrap() error { return u.err }

func kindOfStatus(status int) registry.Kind {
	switch {
	case status == http.StatusUnauthorized:
		return registry.ErrUnauthorized
	case status == http.StatusForbidden:
		return registry.ErrDenied
	case status == http.StatusNotFound:
		return registry.ErrNotFound
	case status == http.StatusTooManyRequests:
		return registry.ErrRateLimited
	case status == http.StatusPreconditionFailed:
		return registry.ErrConflict
	case status == http.StatusRequestEntityTooLarge:
		return registry.ErrTooLarge
	case status == http.StatusRequestTimeout || status >= 500:
		return registry.ErrUnavailable
	case status == http.StatusBadRequest || status == http.StatusUnprocessableEntity:
		return registry.ErrMalformed
	case status/100 == 4:
		return registry.ErrUnsupported
	}
	return registry.ErrMalformed
}

// explanation reads the OCI error body (distribution specification, "Error
// codes"). Anything else, such as a page of HTML, explains nothing.
func explanation(body []byte) string {
	root, err := strictjson.Parse(body)
	if err != nil {
		return ""
	}
	var parts []string
	for e := range root.Get("errors").Elems() {
		code, _ := e.Get("code").Str()
		message, _ := e.Get("message").Str()
		if p := strings.TrimSpace(code + " " + message); p != "" && len(parts) < 4 {
			parts = append(parts, p)
		}
	}
	return safe(redact(strings.Join(parts, "; ")))
}

// redact removes what may be secret from text of a registry's: the login and
// the query of every URL.
func redact(s string) string {
	parts := strings.Split(strings.Join(strings.Fields(s), " "), "://")
	for i := 1; i < len(parts); i++ {
		parts[i] = withoutSecrets(parts[i])
	}
	return strings.Join(parts, "://")
}

// withoutSecrets is a URL after its scheme, and the text behind it, without login
// and query.
func withoutSecrets(s string) string {
	authority, tail := cutToken(s, `/?#<>" `)
	s = authority[strings.LastIndex(authority, "@")+1:]
	path, rest := cutToken(tail, `?#<>" `)
	if rest == "" || rest[0] != '?' && rest[0] != '#' {
		return s + tail
	}
	_, rest = cutToken(rest, `<>" `)
	return s + path + "?…" + rest
}

// retryAfter reads the header (RFC 9110, section 10.2.3): seconds or a date.
// What is malformed or in the past is no wait.
func retryAfter(v string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(v, 10, 64); err == nil {
		return time.Duration(max(0, min(seconds, 1<<30))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
