package remote_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// An error that names a host alone leaves open which address, proxy or redirect failed.
func TestErrorsNameTheAddressThatWasDialled(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nothing := closed.Addr().String()
	_ = closed.Close() // nothing listens there now
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	hangsUp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = c.Close() // in place of an answer
		}
	}))
	defer hangsUp.Close()
	for name, c := range map[string]struct{ host, want string }{
		"refused":          {nothing, nothing},
		"wrong authority":  {untrusted.Listener.Addr().String(), untrusted.Listener.Addr().String()},
		"plain HTTP":       {plain.Listener.Addr().String(), plain.Listener.Addr().String()},
		"no answer":        {hangsUp.Listener.Addr().String(), hangsUp.Listener.Addr().String()},
		"by name":          {strings.Replace(hangsUp.Listener.Addr().String(), "127.0.0.1", "localhost", 1), "127.0.0.1:"},
		"a name not found": {"registry.invalid", "registry.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			o := remote.Options{MaxAttempts: 1}
			if name == "wrong authority" || name == "plain HTTP" {
				o.TLSHosts = []string{c.host}
			}
			client, err := remote.New(o)
			if err != nil {
				t.Fatal(err)
			}
			ref, err := registry.ParseReference(c.host + "/team/app:v1")
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Resolve(t.Context(), ref)
			var e *registry.Error
			if !errors.As(err, &e) || e.Kind != registry.ErrUnavailable {
				t.Fatalf("%v", err)
			}
			e.Ref, e.Host = "", "" // what is left is from the attempt
			if !strings.Contains(e.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}
