package keyless

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/limit"
	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/internal/pause"
	"github.com/hallmark-oci/hallmark/internal/safetext"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Bounds of requests.
const (
	attempts       = 4
	requestTimeout = 30 * time.Second
	firstPause     = 250 * time.Millisecond
	maxPause       = 30 * time.Second
	maxAnswerBytes = 1 << 20
	maxDetail      = 300
)

// ServiceError says that a service failed, refused a request, or could not be reached.
// It wraps [ErrService] and, where the request was not answered, why. It holds no
// identity token.
type ServiceError struct {
	// Service is "fulcio", "rekor", "timestamp authority" or "identity provider".
	Service string
	// URL is that of the request, without its query.
	URL string
	// Status is that of the answer; 0: there was none.
	Status int
	// Detail is what the service says, made fit to be shown.
	Detail string
	// Err says why there was no usable answer. Nil: Status says it.
	Err error
}

// Error implements error.
func (e *ServiceError) Error() string {
	text := e.Service + " " + e.URL
	if e.Status != 0 {
		text += fmt.Sprintf(": %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap makes errors.Is find ErrService and the cause.
func (e *ServiceError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrService}
	}
	return []error{ErrService, e.Err}
}

// client sends requests to services.
type client struct {
	http *http.Client
	wait func(context.Context, time.Duration) error
}

// proxyOf is the proxy of the environment for https alone. What goes by plain HTTP stays on
// loopback, or goes to a cloud's metadata, which must not be read on the way.
func proxyOf(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme != "https" {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

func newClient(transport http.RoundTripper) *client {
	if transport == nil {
		transport = &http.Transport{
			Proxy: proxyOf, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
			DialContext:     (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 256 << 10,
		}
	}
	return &client{wait: pause.For, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// call is a request to a service.
type call struct {
	service, method, url string
	header               http.Header
	body                 []byte
	// secrets are never shown, whatever the service answers.
	secrets []string
	// plain allows plain HTTP to a host that is not loopback: that of a cloud's metadata.
	plain bool
	// accept lists statuses beside 200 and 201 that are answers.
	accept []int
}

// answer is what a service has answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request, again where that may help: bounded in number and in time.
func (c *client) do(ctx context.Context, r call) (*answer, error) {
	u, err := url.Parse(r.url)
	if err != nil {
		return nil, &ServiceError{Service: r.service, URL: safetext.Of(r.url, 200), Err: errors.New("not a URL")}
	}
	shown := *u
	shown.RawQuery, shown.Fragment, shown.User = "", "", nil
	fail := &ServiceError{Service: r.service, URL: safetext.Of(shown.String(), 200)}
	if !r.plain {
		if err := secure(u); err != nil {
			fail.Err = err
			return nil, fail
		}
	}
	for n := 1; ; n++ {
		a, err := c.once(ctx, r)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		switch {
		case err != nil:
			fail.Status, fail.Detail, fail.Err = 0, "", hidden(err, r.secrets)
		case a.status == http.StatusOK, a.status == http.StatusCreated, slices.Contains(r.accept, a.status):
			return a, nil
		default:
			fail.Status, fail.Err = a.status, nil
			fail.Detail = a.detail(r.secrets)
		}
		d, again := again(n, a)
		if !again {
			return nil, fail
		}
		if err := c.wait(ctx, d); err != nil {
			return nil, err
		}
	}
}

func (c *client) once(ctx context.Context, r call) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "hallmark")
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // its URL may hold more than is to be shown
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := limit.ReadAll(resp.Body, maxAnswerBytes)
	if err != nil {
		return nil, err
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// again says whether a request is sent once more after the nth attempt, and when.
func again(n int, a *answer) (time.Duration, bool) {
	backoff := firstPause << (2 * (n - 1))
	backoff += time.Duration(rand.Int64N(int64(backoff) / 2))
	switch {
	case n == attempts:
		return 0, false
	case a == nil:
		return backoff, true
	case a.status != http.StatusTooManyRequests && a.status < 500:
		return 0, false
	}
	if wait, asked := pause.Asked(a.header.Get("Retry-After"), time.Now()); asked {
		return wait, wait <= maxPause
	}
	return backoff, true
}

// detail is what a refused request's answer says.
func (a *answer) detail(secrets []string) string {
	if a.status >= 300 && a.status < 400 {
		return "it redirects, which is not followed"
	}
	text := string(a.body)
	if v, err := strictjson.Parse(a.body); err == nil {
		for _, name := range []string{"message", "error_description", "error"} {
			if s, ok := v.Get(name).Str(); ok && s != "" {
				text = s
				break
			}
		}
	}
	return safetext.Of(strings.TrimSpace(hide(text, secrets)), maxDetail)
}

const hiddenText = "[secret]"

// hide takes secrets, the longer parts of tokens, and what looks like a token out of text.
func hide(text string, secrets []string) string {
	for _, s := range secrets {
		for _, part := range append([]string{s}, strings.Split(s, ".")...) {
			if len(part) >= 8 {
				text = strings.NewReplacer(part, hiddenText, url.QueryEscape(part), hiddenText).Replace(text)
			}
		}
	}
	return hideTokens(text)
}

// tokenStart is how the header of a JSON web token begins: it is base64 of an object.
const tokenStart = "eyJ"

// hideTokens takes tokens out of text, which the service itself may have made.
func hideTokens(text string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, tokenStart)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		out.WriteString(hiddenText)
		text = strings.TrimLeft(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
	}
}

// hiddenError is an error whose text had secrets.
type hiddenError struct {
	text string
	err  error
}

func (e hiddenError) Error() string        { return e.text }
func (e hiddenError) Is(target error) bool { return errors.Is(e.err, target) }

func hidden(err error, secrets []string) error {
	if text := hide(err.Error(), secrets); text != err.Error() {
		return hiddenError{text, err}
	}
	return err
}

// secure checks that a URL is one of https, or of http on loopback.
func secure(u *url.URL) error {
	switch {
	case u.Host == "" || u.User != nil:
		return errors.New("not the URL of a service")
	case u.Scheme == "https", u.Scheme == "http" && netguard.IsLoopback(u.Hostname()):
		return nil
	}
	return errors.New("https is required")
}

// decode reads JSON that a service has answered.
func (a *answer) decode(into any) error {
	v, err := strictjson.Parse(a.body)
	if err != nil {
		return err
	}
	return strictjson.Decode(v, into, strictjson.DecodeOptions{})
}

// badAnswer says that an answer is not one to the request.
func badAnswer(service, at string, err error) error {
	return &ServiceError{Service: service, URL: safetext.Of(at, 200), Err: fmt.Errorf("%w: %w", ErrUntrusted, err)}
}
