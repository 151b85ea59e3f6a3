package command

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

func TestHints_OfTheTransportHelpInTheirCase(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer plain.Close()
	host := plain.Listener.Addr().String()
	newCLI(t).run("inspect", "--tls-host", host, host+"/team/app:v1").exits(exitUndecided).says("hint: the registry speaks plain HTTP", "--insecure-http "+host)
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	host = untrusted.Listener.Addr().String()
	newCLI(t).run("inspect", "--tls-host", host, host+"/team/app:v1").exits(exitUndecided).says("certificate", host, "hint: the registry's certificate is not trusted here")
}

func TestHints_OfMalformedTrustRoots(t *testing.T) {
	for _, text := range []string{"", "{", `{"mediaType":"x"}`, "text", "[]"} {
		file := writeFile(t, filepath.Join(t.TempDir(), "root.json"), []byte(text))
		for _, command := range []string{"show", "check", "pin"} {
			newCLI(t).run("trusted-root", command, file).exits(exitUndecided).says("hint: ", "hallmark trusted-root fetch --help")
		}
	}
	newCLI(t).must("trusted-root", "check", "--help")
}
