package gate

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/netguard"
	"github.com/hallmark-oci/hallmark/verify"
)

// A registry of the internet cannot send a client that uses the Transport to a host
// whose name resolves to a private address; one that is in a private network can.
func TestAttack_R3_TransportDialsNoPrivateAddress(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	transport, err := NewTransport(Config{Verifier: &verify.Verifier{}})
	if err != nil {
		t.Fatal(err)
	}
	a := &authorized{base: transport.base, foreign: transport.foreign, scheme: "http", host: strings.TrimPrefix(server.URL, "http://"), authorization: "Basic secret"}
	ask := func(url string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := a.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	elsewhere := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	if private := (*netguard.Error)(nil); !errors.As(ask(elsewhere), &private) {
		t.Error("it was sent into a private network")
	}
	if err := ask(server.URL); err != nil {
		t.Fatal(err)
	}
	if err := ask(elsewhere); err != nil {
		t.Errorf("the registry is in a private network itself: %v", err)
	}
}
