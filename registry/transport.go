package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
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

// carrierGrade is the shared address space of RFC 6598, which some clouds use
// for their own services.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

// isPrivate reports whether an address is not one of the public internet.
func isPrivate(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() ||
		ip.IsMulticast() || ip.IsInterfaceLocalMulticast() || carrierGrade.Contains(ip) || !ip.IsValid()
}

// sharedFlag is set once and read from many goroutines.
type sharedFlag struct{ v atomic.Bool }

func (f *sharedFlag) set()      { f.v.Store(true) }
func (f *sharedFlag) get() bool { return f.v.Load() }

// noticePeer remembers that a registry turned out to have a private address:
// one that is itself in a private network may redirect within it.
func noticePeer(ctx context.Context, h *host) context.Context {
	if h.private.get() {
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
