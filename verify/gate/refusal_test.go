package gate_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// bytesOf sends bytes as they are, and returns those of the answer.
func (s *scene) bytesOf(request string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	must(s.t, err)
	defer func() { _ = conn.Close() }()
	must(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = conn.Write([]byte(request))
	must(s.t, err)
	answer, err := io.ReadAll(conn)
	must(s.t, err)
	return string(answer)
}

// A sentence in a status line must not end it, nor hold what no header may.
func TestARefusalInAStatusLineIsOneLineOfASCII(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Help = "Hilfe für alle\r\nX-Injected: 1 → https://help.example" })
	line, rest, _ := strings.Cut(s.bytesOf("HEAD /v2/team/app/manifests/unsigned HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n"), "\r\n")
	if !strings.HasPrefix(line, "HTTP/1.1 403 DENIED: ") || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("%q", line)
	}
	if strings.Contains(rest, "\nX-Injected") {
		t.Errorf("%q", rest)
	}
}

// Neither HTTP/1.0 nor a writer that keeps its connection has a place
// for the sentence: the answer to HEAD is still a refusal.
func TestARefusalOfHEADNeedsNoStatusLineOfItsOwn(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	answer := s.bytesOf("HEAD /v2/team/app/manifests/unsigned HTTP/1.0\r\nHost: gate\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.0 403 Forbidden\r\n") || strings.Contains(answer, "no-signature") {
		t.Errorf("%q", answer)
	}
	w := httptest.NewRecorder()
	s.gate.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodHead, "/v2/team/app/manifests/unsigned", nil))
	if w.Code != http.StatusForbidden || w.Body.Len() != 0 || w.Header().Get("Docker-Content-Digest") != "" {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
}
