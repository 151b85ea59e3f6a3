package remote

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
	"github.com/hallmark-oci/hallmark/registry"
)

// hosts are the registries that a client has met.
type hosts struct {
	tls       []string // Options.TLSHosts
	plainHTTP []string // Options.InsecurePlainHTTP
	// dials: the client's own transport connects to them.
	dials bool

	mu    sync.Mutex
	known map[string]*host
}

func newHosts(o Options) *hosts {
	return &hosts{
		tls: o.TLSHosts, plainHTTP: o.InsecurePlainHTTP, dials: o.InsecureTransport == nil, known: make(map[string]*host),
	}
}

// maxHosts bounds what is remembered about registries. One that is forgotten is
// learned again.
const maxHosts = 1000

// of is what is known about a repository's registry.
func (s *hosts) of(repo name.Repository) *host {
	h := repo.RegistryStr()
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.known[h]; ok {
		return known
	}
	fresh := &host{name: h, scheme: s.scheme(h)}
	fresh.direct = s.dials && netguard.Direct(&url.URL{Scheme: fresh.scheme, Host: h})
	if isLocal(h) {
		fresh.private.set()
	}
	if len(s.known) >= maxHosts {
		clear(s.known)
	}
	s.known[h] = fresh
	return fresh
}

func (s *hosts) scheme(h string) string {
	insecure := slices.ContainsFunc(s.plainHTTP, func(l string) bool { return strings.EqualFold(l, h) })
	if insecure || isLoopback(h) && !listed(s.tls, h) {
		return "http"
	}
	return "https"
}

// host is what a client knows about one registry.
type host struct {
	name   string
	scheme string
	auth   session
	quota  quota
	// referrers is set once the registry has shown that it has the referrers API.
	referrers sharedFlag
	// private is set once a connection showed that the registry has a private
	// address, or its name says so.
	private sharedFlag
	// direct says that a connection's peer is the registry: the client's own transport
	// dials it, and no proxy stands between.
	direct bool
}

// sharedFlag is set once and read from many goroutines.
type sharedFlag struct{ v atomic.Bool }

func (f *sharedFlag) set()      { f.v.Store(true) }
func (f *sharedFlag) get() bool { return f.v.Load() }

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

func isLoopback(h string) bool { return netguard.IsLoopback(hostname(h)) }

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

// endsInNumber reports whether a host may be read as an address in an unusual form,
// such as 127.1 or 0x7f000001. No name on the internet looks like this.
//
// Source: WHATWG URL Standard, "ends in a number checker".
func endsInNumber(h string) bool {
	last := h[strings.LastIndexByte(h, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// noticePeer remembers that a registry turned out to have a private address:
// one that is itself in a private network may redirect within it. Where a proxy
// may stand between, its address says nothing about the registry's.
func noticePeer(ctx context.Context, h *host) context.Context {
	if h.private.get() || !h.direct {
		return ctx
	}
	return netguard.WatchPeer(ctx, h.private.set)
}

// redirect checks where a registry sends us.
func (h *host) redirect(r *request, from *url.URL, location string) (*url.URL, error) {
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
		return refuse("with credentials in the address")
	case !h.is(to) && isLocal(to.Host) && !h.private.get():
		return refuse("a private address")
	}
	to.Fragment = ""
	return to, nil
}

func isRedirect(status int) bool {
	switch status {
	case 301, 302, 303, 307, 308:
		return true
	}
	return false
}

func (s *hosts) manifestRequest(op, method string, ref name.Reference) (*request, error) {
	id, err := identifier(op, ref)
	if err != nil {
		return nil, err
	}
	repo := ref.Context()
	_, byDigest := ref.(name.Digest)
	return &request{
		op: op, ref: text(ref), repo: repo, method: method, tag: !byDigest,
		url: s.of(repo).url(repo, "manifests", id), header: http.Header{"Accept": manifestTypes},
	}, nil
}

func (s *hosts) blobRequest(op, method string, ref name.Digest) (*request, v1.Hash, error) {
	if err := checkRepo(op, ref.Context()); err != nil {
		return nil, v1.Hash{}, err
	}
	h, err := registry.BlobHashOf(ref)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	repo := ref.Context()
	return &request{
		op: op, ref: text(ref), repo: repo, method: method,
		url: s.of(repo).url(repo, "blobs", h.String()), header: http.Header{},
	}, h, nil
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
