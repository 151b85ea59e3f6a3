package remote

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/fair"
	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// Options say how a Client talks to registries. The zero value is safe and
// usable. For each number and duration, zero means the default.
type Options struct {
	// Keychain gives the logins. It is asked once for each registry, not for each
	// repository, and again after the registry or its token service refused what it
	// gave. Nil:
	// authn.DefaultKeychain, which reads what docker login, podman login and
	// credential helpers have stored.
	Keychain authn.Keychain
	// Transport sends requests. Nil: one of the client's own, with TLS 1.2 or
	// later, the system's roots or RootCAs, and the proxy that the environment
	// names, as net/http does it. A transport given here must not follow
	// redirects or decompress, and cannot be kept from dialling private
	// addresses by host name (see MaxRedirects). With it, only a registry that
	// is named by its address counts as having a private one.
	Transport http.RoundTripper
	// RootCAs verify registries' certificates. Nil: the system's. Not used with
	// a Transport of the caller's.
	RootCAs *x509.CertPool
	// UserAgent is sent with every request. Empty: "hallmark".
	UserAgent string
	// Logger gets one debug record for each request, without secrets. Nil: none.
	Logger *slog.Logger

	// MaxAttempts is how often a request is tried that fails in a way which may
	// pass: on 408, 429, 500 to 599 but for 501, and broken connections. A request
	// is sent again only where that does no harm: a tag that is being changed is
	// read again first (PushOptions.Once). Default 4.
	MaxAttempts int
	// RetryDelay is waited before the second attempt, and twice as long before
	// each further one, with jitter. Default 200 ms.
	RetryDelay time.Duration
	// MaxRetryDelay caps a wait. Where Retry-After asks for a longer one, the request
	// is not sent again; Error.RetryAfter has it. Default 10 s.
	MaxRetryDelay time.Duration

	// MaxInFlight is how many requests wait for an answer at once, small bodies (manifests,
	// lists, tokens) included. Bodies that are being streamed do not count, nor, in a gate,
	// those of more than 16 KiB, which its budget bounds. A gate (verify/gate) lets none of its
	// clients have more than a quarter of them. Default 64.
	MaxInFlight int
	// Timeout bounds each attempt of a small request (manifests, lists, tokens)
	// with its body, and the wait for the answer of a large one. Default 30 s.
	Timeout time.Duration
	// StallTimeout ends a download that delivers less than 16 KiB within it
	// although somebody is waiting. Default 30 s.
	StallTimeout time.Duration

	// MaxManifestBytes bounds a manifest, and each page of a list. Default 4 MiB.
	MaxManifestBytes int64
	// MaxBlobBytes bounds a blob that is read without a known size. Default 16 GiB.
	MaxBlobBytes int64
	// MaxReferrers bounds a referrers list. Default 10,000.
	MaxReferrers int
	// MaxReferrerPages bounds the pages of one that have no entry. Pages with entries
	// are bounded by MaxReferrers, and all of them by 64 MiB times this. Default 100.
	MaxReferrerPages int
	// MaxRedirects bounds the redirects of one request. They carry no
	// credentials to another host, never lead from HTTPS to HTTP, and never to
	// a loopback, private or link-local address unless the registry itself has
	// one. Default 5.
	MaxRedirects int

	// TokenRealms lists, by registry, further hosts whose token service may be
	// given the registry's login. By default that is the registry's own host and
	// port; by HTTPS from end to end, also its host on another port and a parent
	// domain of it; and Docker Hub's auth.docker.io. Other realms are asked
	// without a login.
	TokenRealms map[string][]string
	// TLSHosts are loopback registries (host:port, or host for all of its ports)
	// that speak HTTPS. Empty: all registries on localhost and loopback addresses are spoken to by
	// plain HTTP.
	TLSHosts []string
	// InsecurePlainHTTP are registries (host or host:port, as references name
	// them) that are spoken to by plain HTTP although they are elsewhere: anybody
	// on the way can read logins and change answers. An entry is about exactly
	// that registry: "registry.example" is the one named without a port, which is
	// then asked at port 80, and none of its neighbours on other ports. Empty:
	// none. HTTPS never falls back to HTTP.
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

// Client is a Store over any OCI registry. Make one for the life of a process:
// it keeps connections, logins and tokens, so that a registry is asked for each
// of them once. It is safe for concurrent use.
//
// Source: OCI Distribution Specification v1.1; Docker Registry v2 token
// authentication.
type Client struct {
	o       Options
	own     http.RoundTripper
	foreign http.RoundTripper // for redirects to other hosts
	slots   *fair.Pool
	// userAgent is the header that every request has.
	userAgent []string
	mu        sync.Mutex
	hosts     map[string]*host
	tags      keyLock // tags that Attach and Copy are changing
}

var (
	_ registry.Store     = (*Client)(nil)
	_ registry.TagWriter = (*Client)(nil)
	_ registry.Mounter   = (*Client)(nil)
	_ registry.Remover   = (*Client)(nil)
)

// New makes a Client. A malformed entry of TLSHosts or InsecurePlainHTTP
// is ErrReference.
func New(o Options) (*Client, error) {
	for _, h := range slices.Concat(o.TLSHosts, o.InsecurePlainHTTP) {
		if _, err := name.NewRegistry(h, name.StrictValidation); err != nil {
			return nil, &registry.Error{Op: "new client", Ref: safe(h), Kind: registry.ErrReference, Detail: "want HOST or HOST:PORT"}
		}
	}
	o = o.withDefaults()
	own, foreign := o.Transport, o.Transport
	if o.Transport == nil {
		plain := newTransport(o)
		own, foreign = plain, netguard.Guard(plain)
	}
	return newClient(o, own, foreign), nil
}

func newClient(o Options, own, foreign http.RoundTripper) *Client {
	return &Client{
		o: o, own: own, foreign: foreign, userAgent: []string{o.UserAgent},
		slots: fair.NewPool(int64(o.MaxInFlight)), hosts: make(map[string]*host),
	}
}

// WithKeychain is a Client with other logins (nil: authn.DefaultKeychain) that shares
// the connections of this one, and nothing else: it has its own tokens and its own
// MaxInFlight.
func (c *Client) WithKeychain(k authn.Keychain) *Client {
	o := c.o
	o.Keychain = k
	return newClient(o.withDefaults(), c.own, c.foreign)
}

// CloseIdleConnections closes the connections that wait for another request.
func (c *Client) CloseIdleConnections() {
	for _, t := range []http.RoundTripper{c.own, c.foreign} {
		if idle, ok := t.(interface{ CloseIdleConnections() }); ok {
			idle.CloseIdleConnections()
		}
	}
}

// MayLackReferrers implements TagWriter.
func (c *Client) MayLackReferrers(repo name.Repository) bool { return !c.host(repo).referrers.get() }

// LockTag implements TagWriter.
func (c *Client) LockTag(ctx context.Context, tag name.Tag) (unlock func(), err error) {
	return c.tags.lock(ctx, tag.String())
}

// host is what a client knows about one registry.
type host struct {
	name   string
	scheme string
	auth   session
	// referrers is set once the registry has shown that it has the referrers API.
	referrers sharedFlag
	// private is set once a connection showed that the registry has a private
	// address, or its name says so.
	private sharedFlag
	// direct says that a connection's peer is the registry, not a proxy.
	direct bool
}

// maxHosts bounds what is remembered about registries. One that is forgotten is
// learned anew.
const maxHosts = 1000

func (c *Client) host(repo name.Repository) *host {
	h := repo.RegistryStr()
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.hosts[h]
	if !ok {
		known = &host{name: h, scheme: c.scheme(h)}
		known.direct = c.dialsItself(&url.URL{Scheme: known.scheme, Host: h})
		if isLocal(h) {
			known.private.set()
		}
		if len(c.hosts) >= maxHosts {
			clear(c.hosts)
		}
		c.hosts[h] = known
	}
	return known
}

func (c *Client) scheme(h string) string {
	insecure := slices.ContainsFunc(c.o.InsecurePlainHTTP, func(l string) bool { return strings.EqualFold(l, h) })
	if insecure || isLoopback(h) && !listed(c.o.TLSHosts, h) {
		return "http"
	}
	return "https"
}

// listed reports whether hosts holds h, or h without its port.
func listed(hosts []string, h string) bool {
	bare := hostname(h)
	return slices.ContainsFunc(hosts, func(l string) bool { return strings.EqualFold(l, h) || strings.EqualFold(l, bare) })
}

// hostname is a host without port and brackets.
func hostname(h string) string {
	if bare, _, err := net.SplitHostPort(h); err == nil {
		return bare
	}
	return strings.Trim(h, "[]")
}

func isLoopback(h string) bool {
	bare := hostname(h)
	if strings.EqualFold(bare, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(bare)
	return err == nil && ip.Unmap().IsLoopback()
}

// isLocal reports whether a host, by its literal name, is this machine or in a
// private network.
func isLocal(h string) bool {
	bare := strings.TrimSuffix(strings.ToLower(hostname(h)), ".")
	if bare == "localhost" || strings.HasSuffix(bare, ".localhost") {
		return true
	}
	if ip, err := netip.ParseAddr(bare); err == nil {
		return netguard.IsPrivate(ip)
	}
	return endsInNumber(bare)
}

// endsInNumber reports whether a host that is not an address in its usual form
// may be read as one all the same, such as 127.1 or 0x7f000001 (WHATWG URL
// Standard, "ends in a number checker"). No name on the internet looks like this.
func endsInNumber(h string) bool {
	last := h[strings.LastIndexByte(h, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// url builds an address of the registry from its parts; nothing in a
// repository's name or a tag can change its shape.
func (h *host) url(repo name.Repository, parts ...string) *url.URL {
	path := "/v2/" + repo.RepositoryStr()
	for _, p := range parts {
		path += "/" + p
	}
	return &url.URL{Scheme: h.scheme, Host: h.name, Path: path}
}

// is reports whether an address is the registry's own: its scheme, host and port.
func (h *host) is(u *url.URL) bool {
	return u.Scheme == h.scheme && (strings.EqualFold(u.Host, h.name) || strings.EqualFold(withPort(u.Host, u.Scheme), withPort(h.name, h.scheme)))
}

func withPort(host, scheme string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := "443"
	if scheme == "http" {
		port = "80"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// checkRepo refuses what a caller may have put together without ParseReference.
func checkRepo(op string, repo name.Repository) error {
	if repo.RepositoryStr() == "" || repo.RegistryStr() == "" {
		return &registry.Error{Op: op, Kind: registry.ErrReference, Detail: "the repository has no name"}
	}
	return nil
}

// identifier is the tag or digest of a reference as the last part of a URL.
func identifier(op string, ref name.Reference) (string, error) {
	if err := checkRepo(op, ref.Context()); err != nil {
		return "", err
	}
	if d, ok := ref.(name.Digest); ok {
		h, err := registry.HashOf(d)
		return h.String(), err
	}
	tag := ref.Identifier()
	if !oci.IsTag(tag) {
		return "", &registry.Error{Op: op, Ref: safe(ref.String()), Kind: registry.ErrReference, Detail: "malformed tag"}
	}
	return tag, nil
}

// shown is a reference as errors and logs show it.
func text(ref fmt.Stringer) string { return safe(ref.String()) }

func safe(s string) string { return registry.SafeText(s, 512) }
