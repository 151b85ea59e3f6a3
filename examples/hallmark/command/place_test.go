package command

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

func TestALayoutStandsForTheRepositoryThatItIsGiven(t *testing.T) {
	c, k := newCLI(t), newKey(t)
	layout, registry := layoutTarget(t), registryTarget(t, registrytest.Options{})
	layout.push("v1")
	c.must("sign", "--key", k.private, "--format", "sig", "--layout-name", registry.image, layout.tag("v1"))
	c.run("verify", "--key", k.public, "--same-repository", layout.tag("v1")).exits(exitDenied).prints("wrong-repository")
	c.must("verify", "--key", k.public, "--same-repository", "--layout-name", registry.image, layout.tag("v1"))
	c.must("copy", layout.tag("v1"), registry.tag("v1"))
	c.must("verify", "--key", k.public, "--same-repository", registry.tag("v1"))
	c.run("verify", "--key", k.public, "--layout-name", "UPPER CASE", layout.tag("v1")).exits(exitUndecided)
}

func TestLoopbackIsSpokenToByHTTPSWhereAsked(t *testing.T) {
	server := httptest.NewTLSServer(registrytest.New(registrytest.Options{}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "https://")
	c, k := newCLI(t), newKey(t)
	c.run("verify", "--key", k.public, "--tls-host", host, host+"/app:v1").exits(exitUndecided).prints("certificate")
	c.run("verify", "--key", k.public, "--tls-host", "https://"+host, host+"/app:v1").exits(exitUndecided).says("--tls-host")
}
