package remote

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/registry"
)

// Options say how a Client talks to registries. The zero value is safe and
// usable. For each number and duration, zero means the default.
type Options struct {
	// Keychain gives the credentials. It is asked once for each registry, not for
	// each repository, and again after the registry or its token service has
	// refused the credentials. Nil: authn.DefaultKeychain, which reads the
	// credentials of docker login, podman login and credential helpers.
	Keychain authn.Keychain
	// Wrap wraps the client's own transport, for example to trace or sign requests. The
	// client calls it twice: for requests to registries, and for those to where a
	// registry redirects. What it returns must not follow redirects or decompress, and
	// must send by what it was given: that has TLS 1.2 or later, RootCAs and the proxy of
	// the environment, and dials no private address for a redirect. Nil: nothing is
	// wrapped.
	Wrap func(http.RoundTripper) http.RoundTripper
	// InsecureTransport sends requests in place of the client's own transport. It must
	// not follow redirects or decompress. The client cannot keep it from dialling private
	// addresses by host name (see MaxRedirects). With it, only a registry that is named
	// by its address counts as having a private one. Wrap wraps it, too. Nil: the
	// client's own.
	InsecureTransport http.RoundTripper
	// RootCAs verify registries' certificates. Nil: the system's. Not used with an
	// InsecureTransport.
	RootCAs *x509.CertPool
	// UserAgent is sent with every request. Empty: "hallmark".
	UserAgent string
	// Logger gets one debug record for each request, without secrets. Nil: none.
	Logger *slog.Logger
	// Observe is told of each request once it has a response or has failed. It must be
	// quick and safe for concurrent use. A panic in it is ignored. Nil: nothing is told.
	Observe func(ctx context.Context, r Request)

	// MaxAttempts is how often a request is sent if it fails in a way that may
	// pass: with status 408, 429, or 500 to 599 other than 501, or by a broken
	// connection. A push with PushOptions.Once is sent once. Default 4.
	MaxAttempts int
	// RetryDelay is waited before the second attempt, and twice as long before
	// each further one, with jitter. Default 200 ms.
	RetryDelay time.Duration
	// MaxRetryDelay caps a wait. A registry asks for one by Retry-After or its RateLimit
	// headers. All requests of the client to the registry wait then, for up to a minute.
	// If the wait is longer than MaxRetryDelay, they fail with ErrRateLimited, and
	// Error.RetryAfter has the wait. Default 10 s.
	MaxRetryDelay time.Duration

	// MaxInFlight is how many requests wait for an answer at once, including its
	// small body (manifests, lists, tokens). Streamed bodies do not count. In a gate
	// (verify/gate), bodies of more than 16 KiB do not count either: its budget bounds
	// them. One client of a gate gets at most a quarter. Default 64.
	MaxInFlight int
	// Timeout bounds each attempt of a small request (manifests, lists, tokens),
	// with its body. For a large one it bounds the wait for the answer. Default 30 s.
	Timeout time.Duration
	// StallTimeout ends a download if less than 16 KiB arrive within it while a
	// caller waits. Default 30 s.
	StallTimeout time.Duration

	// MaxManifestBytes bounds a manifest, and each page of a list. Default 4 MiB.
	MaxManifestBytes int64
	// MaxBlobBytes bounds a blob that is read without a known size. Default 16 GiB.
	MaxBlobBytes int64
	// MaxReferrers bounds a referrers list. Default 10,000.
	MaxReferrers int
	// MaxReferrerPages bounds the pages of a referrers list that have no entry.
	// MaxReferrers bounds pages with entries, and 64 MiB times MaxReferrerPages
	// bounds the bytes of all pages. Default 100.
	MaxReferrerPages int
	// MaxRedirects bounds the redirects of one request. A redirect carries no
	// credentials to another host, and never leads from HTTPS to HTTP. It leads to
	// a loopback, private or link-local address only if the registry has such an
	// address itself. Default 5.
	MaxRedirects int

	// TokenRealms lists, by registry, further hosts whose token service may get
	// the registry's credentials. The client always sends them to:
	//
	//   - the registry's own host and port;
	//   - by HTTPS from end to end, its host on another port and its parent domains;
	//   - for Docker Hub, auth.docker.io.
	//
	// It asks other token services without credentials. Empty: no further hosts.
	TokenRealms map[string][]string
	// TLSHosts are loopback registries (host:port, or host for all of its ports)
	// that speak HTTPS. Empty: all registries on localhost and loopback addresses
	// speak plain HTTP.
	TLSHosts []string
	// InsecurePlainHTTP are other registries that speak plain HTTP (host or
	// host:port, as references name them). An attacker on the network can read their
	// credentials and change their answers. An entry is about exactly that registry:
	// "registry.example" is port 80, and no other port. Empty: none.
	InsecurePlainHTTP []string
}

func (o Options) withDefaults() Options {
	number(&o.MaxAttempts, 4)
	number(&o.RetryDelay, 200*time.Millisecond)
	number(&o.MaxRetryDelay, 10*time.Second)
	number(&o.MaxInFlight, 64)
	number(&o.Timeout, 30*time.Second)
	number(&o.StallTimeout, 30*time.Second)
	number(&o.MaxManifestBytes, 4<<20)
	number(&o.MaxBlobBytes, 16<<30)
	number(&o.MaxReferrers, 10_000)
	number(&o.MaxReferrerPages, 100)
	number(&o.MaxRedirects, 5)
	// One byte more is read to see that there is too much; it must be countable.
	o.MaxManifestBytes = min(o.MaxManifestBytes, math.MaxInt64-1)
	o.MaxBlobBytes = min(o.MaxBlobBytes, math.MaxInt64-1)
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.UserAgent == "" {
		o.UserAgent = "hallmark"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func number[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Client is a registry.Store over OCI registries. It is safe for concurrent use. Make
// one for the life of a process.
type Client struct {
	o     Options
	hosts *hosts
	send  *sender
	tags  keyLock // tags that Attach and Copy are changing
}

var (
	_ registry.Store     = (*Client)(nil)
	_ registry.TagWriter = (*Client)(nil)
	_ registry.Mounter   = (*Client)(nil)
	_ registry.Remover   = (*Client)(nil)
)

// New makes a Client. A malformed entry of TLSHosts or InsecurePlainHTTP is
// ErrReference, and a Wrap that returns nil is ErrUnsupported.
func New(o Options) (*Client, error) {
	for _, h := range slices.Concat(o.TLSHosts, o.InsecurePlainHTTP) {
		if _, err := name.NewRegistry(h, name.StrictValidation); err != nil {
			return nil, &registry.Error{Op: "new client", Ref: safe(h), Kind: registry.ErrReference, Detail: "want HOST or HOST:PORT"}
		}
	}
	o = o.withDefaults()
	own, foreign := o.InsecureTransport, o.InsecureTransport
	if o.InsecureTransport == nil {
		plain := newTransport(o)
		own, foreign = plain, netguard.Guard(plain)
	}
	if o.Wrap != nil {
		first, second := wrapped{o.Wrap(own), own}, wrapped{o.Wrap(foreign), foreign}
		if first.RoundTripper == nil || second.RoundTripper == nil {
			return nil, &registry.Error{Op: "new client", Kind: registry.ErrUnsupported, Detail: "Options.Wrap returned no transport"}
		}
		own, foreign = first, second
	}
	return newClient(o, own, foreign), nil
}

// wrapped is a transport that Options.Wrap returned, and what it wraps.
type wrapped struct {
	http.RoundTripper
	inner http.RoundTripper
}

// CloseIdleConnections closes those of the inner transport, which has them.
func (w wrapped) CloseIdleConnections() { closeIdle(w.inner) }

func closeIdle(t http.RoundTripper) {
	if idle, ok := t.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
}

func newClient(o Options, own, foreign http.RoundTripper) *Client {
	hosts, line := newHosts(o), newLine(o, own, foreign)
	auth := &authorizer{keychain: o.Keychain, realms: o.TokenRealms, clientID: o.UserAgent, timeout: o.Timeout, line: line}
	return &Client{o: o, hosts: hosts, send: &sender{o: o, hosts: hosts, line: line, auth: auth}}
}

// WithKeychain returns a Client with other credentials (nil: authn.DefaultKeychain). It
// shares the connections of c, and has its own tokens and its own MaxInFlight.
func (c *Client) WithKeychain(k authn.Keychain) *Client {
	o := c.o
	o.Keychain = k
	return newClient(o.withDefaults(), c.send.line.own, c.send.line.foreign)
}

// CloseIdleConnections closes connections that no request uses.
func (c *Client) CloseIdleConnections() {
	closeIdle(c.send.line.own)
	closeIdle(c.send.line.foreign)
}

// MayLackReferrers implements TagWriter.
func (c *Client) MayLackReferrers(repo name.Repository) bool {
	return !c.hosts.of(repo).referrers.get()
}

// LockTag implements TagWriter.
func (c *Client) LockTag(ctx context.Context, tag name.Tag) (unlock func(), err error) {
	return c.tags.lock(ctx, tag.String())
}

// shown is a reference as errors and logs show it.
func text(ref fmt.Stringer) string { return safe(ref.String()) }

func safe(s string) string { return registry.SafeText(s, 512) }

// RetryDelay implements TagWriter. Another attempt may help if the error may pass, and
// the registry does not ask for a longer wait than MaxRetryDelay.
func (c *Client) RetryDelay(attempts int, err error) (time.Duration, bool) {
	return c.send.retryDelay(attempts, err)
}
