package remote

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/hallmark-oci/hallmark/internal/netguard"
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
	return netguard.Direct(u)
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
