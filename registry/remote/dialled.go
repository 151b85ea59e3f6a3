package remote

import (
	"context"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"github.com/hallmark-oci/hallmark/registry"
)

// dialled is the address that a request was sent to: that of the registry, of a proxy, or
// of where the registry redirects.
type dialled struct{ addr atomic.Pointer[string] }

// watch notes the addresses that are dialled with a context. A dial may outlast its
// request.
func (d *dialled) watch(ctx context.Context) context.Context {
	note := func(addr string) { d.addr.Store(&addr) }
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart: func(_, addr string) { note(addr) },
		GotConn: func(i httptrace.GotConnInfo) {
			if i.Conn != nil && i.Conn.RemoteAddr() != nil {
				note(i.Conn.RemoteAddr().String())
			}
		},
	})
}

// missingIn says which host was asked, at which address, or nothing if an error names
// them.
func (d *dialled) missingIn(err error, host string) string {
	text := err.Error()
	addr := d.addr.Load()
	switch {
	case addr != nil && strings.Contains(text, *addr):
		return ""
	case addr != nil && *addr != host:
		return registry.SafeText(host+" at "+*addr, maxHost)
	case strings.Contains(text, host):
		return ""
	}
	return registry.SafeText(host, maxHost)
}

// maxHost bounds the text of a host and an address.
const maxHost = 300
