// Package netguard keeps requests out of private networks if another party has chosen
// their host, such as a registry that redirects.
package netguard

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Error says that a host is in a private network, and was not connected to.
type Error struct{ Address string }

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s is a private address", e.Address) }

// Transport sends requests, and dials no private address. Requests that go through a
// proxy are sent by the guarded transport: it dials the proxy, which decides what may be
// reached.
type Transport struct{ proxied, direct *http.Transport }

const dialTimeout = 10 * time.Second

// Guard makes a Transport with the settings of another.
func Guard(t *http.Transport) *Transport {
	guarded := t.Clone()
	guarded.DialContext = (&net.Dialer{Timeout: dialTimeout, ControlContext: refusePrivate}).DialContext
	guarded.Proxy = nil
	return &Transport{proxied: t, direct: guarded}
}

// RoundTrip implements http.RoundTripper. What is refused is an *Error.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if Direct(req.URL) {
		return t.direct.RoundTrip(req)
	}
	return t.proxied.RoundTrip(req)
}

// CloseIdleConnections closes those of its own.
func (t *Transport) CloseIdleConnections() { t.direct.CloseIdleConnections() }

// Direct reports whether the environment names no proxy for a URL. Then the peer of a
// connection is the host of the URL.
func Direct(u *url.URL) bool {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	return proxy == nil && err == nil
}

// WatchPeer calls found where a request with the context it returns is sent to a
// private address.
func WatchPeer(ctx context.Context, found func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if info.Conn == nil {
			return
		}
		if addr, err := netip.ParseAddrPort(info.Conn.RemoteAddr().String()); err == nil && IsPrivate(addr.Addr()) {
			found()
		}
	}})
}

// refusePrivate checks the address that a name has resolved to immediately before it is
// dialled. A second answer of the name server cannot differ from the one checked.
func refusePrivate(_ context.Context, _, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil || IsPrivate(addr.Addr()) {
		return &Error{address}
	}
	return nil
}

// reserved are the ranges beside those that net/netip knows that are not of the
// public internet (IANA special-purpose address registries).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),    // shared space, where clouds have their own services
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's own services, as seen from its machines
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("::ffff:0:0:0/96"), // IPv4-translated (RFC 2765)
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/32"), // Teredo, which holds IPv4 addresses too
	netip.MustParsePrefix("2002::/16"), // 6to4, which can hold any IPv4 address
	netip.MustParsePrefix("fec0::/10"),
}

// IsLoopback reports whether a host, without port and brackets, is this machine by its
// literal name.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// nat64 holds IPv4 addresses as networks without IPv4 see them (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// IsPrivate reports whether an address is not one of the public internet.
func IsPrivate(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	return !ip.IsValid() || ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsMulticast() ||
		slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) })
}
