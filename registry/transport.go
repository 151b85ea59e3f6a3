package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
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

// throughProxy sends what a proxy carries to the transport that knows proxies:
// there the address dialled is the proxy's own, and the proxy decides what may
// be reached.
type throughProxy struct{ proxied, direct *http.Transport }

func (t *throughProxy) RoundTrip(req *http.Request) (*http.Response, error) {
	if proxy, err := http.ProxyFromEnvironment(req); proxy != nil || err != nil {
		return t.proxied.RoundTrip(req)
	}
	return t.direct.RoundTrip(req)
}

func (t *throughProxy) CloseIdleConnections() { t.direct.CloseIdleConnections() }

// errPrivate says that a host of somebody else's choosing is in a private
// network.
type errPrivate struct{ address string }

func (e errPrivate) Error() string { return fmt.Sprintf("%s is a private address", e.address) }

// refusePrivate looks at the address that a name has resolved to, at the last
// moment before it is dialled, so that no second answer of the name server can
// differ from the one that was checked.
func refusePrivate(_ context.Context, _, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil || isPrivate(addr.Addr()) {
		return errPrivate{SafeText(address, 64)}
	}
	return nil
}

// reserved are the ranges beside those that net/netip knows that are not of the
// public internet (IANA special-purpose address registries).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // shared space, where clouds have their own services
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), // 6to4, which can hold any IPv4 address
	netip.MustParsePrefix("fec0::/10"),
}

// nat64 holds IPv4 addresses as networks without IPv4 see them (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// isPrivate reports whether an address is not one of the public internet.
func isPrivate(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	return !ip.IsValid() || ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() ||
		slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// sharedFlag is set once and read from many goroutines.
type sharedFlag struct{ v atomic.Bool }

func (f *sharedFlag) set()      { f.v.Store(true) }
func (f *sharedFlag) get() bool { return f.v.Load() }

// dialsItself reports whether the client's own transport connects to an address
// without a proxy, so that the peer of the connection is the host of the URL.
func (c *Client) dialsItself(u *url.URL) bool {
	if c.o.Transport != nil {
		return false
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	return proxy == nil && err == nil
}

// noticePeer remembers that a registry turned out to have a private address:
// one that is itself in a private network may redirect within it. Where a proxy
// may stand between, its address says nothing about the registry's.
func noticePeer(ctx context.Context, h *host) context.Context {
	if h.private.get() || !h.direct {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if info.Conn == nil {
			return
		}
		if addr, err := netip.ParseAddrPort(info.Conn.RemoteAddr().String()); err == nil && isPrivate(addr.Addr()) {
			h.private.set()
		}
	}})
}
