package registrytest

import (
	"net/http"
	"testing"
)

// Start serves a Registry, or any other handler, as Serve does, until the test
// has ended.
func Start(tb testing.TB, h http.Handler) (host string) {
	tb.Helper()
	host, stop, err := Serve(h)
	if err != nil {
		tb.Fatalf("start registry: %v", err)
	}
	tb.Cleanup(stop)
	return host
}
