package gate_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// twoUpstreams are Docker Hub's name and another, each with an image of its own
// that is signed.
func twoUpstreams(t *testing.T, choose func(gate.Target) (string, string, error)) *scene {
	t.Helper()
	s := newScene(t, registrytest.Options{}, nil)
	hub := registrytest.New(registrytest.Options{})
	repo, err := name.NewRepository("library/nginx")
	must(t, err)
	image, err := registrytest.PushImage(t.Context(), hub.Store(), repo.Tag("v1"), registrytest.ImageOptions{Seed: "nginx"})
	must(t, err)
	signOn(t, hub, image, s.signer)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		c.Upstreams = append(c.Upstreams, gate.Upstream{Registry: "docker.io", Address: registrytest.Start(t, hub)})
		c.Select = choose
	})
	return s
}

func TestRequestsFindTheirUpstreamByPrefixOrNamespace(t *testing.T) {
	s := twoUpstreams(t, nil)
	for path, status := range map[string]int{
		"/v2/" + known + "/team/app/manifests/signed":             http.StatusOK,
		"/v2/team/app/manifests/signed?ns=" + known:               http.StatusOK,
		"/v2/docker.io/library/nginx/manifests/v1":                http.StatusOK,
		"/v2/docker.io/nginx/manifests/v1":                        http.StatusOK,
		"/v2/index.docker.io/library/nginx/manifests/v1":          http.StatusOK,
		"/v2/library/nginx/manifests/v1?ns=docker.io":             http.StatusOK,
		"/v2/nginx/manifests/v1?ns=docker.io":                     http.StatusOK,
		"/v2/team/app/manifests/signed?ns=docker.io":              http.StatusNotFound,
		"/v2/team/app/manifests/signed":                           http.StatusNotFound,
		"/v2/team/app/manifests/signed?ns=elsewhere.example":      http.StatusNotFound,
		"/v2/elsewhere.example/team/app/manifests/signed":         http.StatusNotFound,
		"/v2/docker.io/" + known + "/team/app/manifests/signed":   http.StatusNotFound,
		"/v2/" + known + "/team/app/manifests/unsigned":           http.StatusForbidden,
		"/v2/team/app/manifests/unsigned?ns=" + known:             http.StatusForbidden,
		"/v2/team/app/manifests/signed?ns=" + known + "&ns=" + "": http.StatusBadRequest,
	} {
		if r := s.get(path); r.status != status {
			t.Errorf("%s: %d %s, want %d", path, r.status, r.body, status)
		}
	}
	if r := s.get("/v2/nginx/manifests/v2?ns=docker.io"); !strings.Contains(r.message(), "index.docker.io/library/nginx:v2") {
		t.Errorf("%s", r.body)
	}
}

func TestAFunctionMaySelectTheUpstream(t *testing.T) {
	s := twoUpstreams(t, func(to gate.Target) (string, string, error) {
		switch team, app, _ := strings.Cut(to.Repository, "/"); team {
		case "mirror":
			return "docker.io", app, nil
		case "evil":
			return "evil.example", app, nil
		case "broken":
			return "a b", "../x", nil
		case "odd":
			return known, "../x", nil
		}
		return "", "", errors.New("there is no such team")
	})
	for path, status := range map[string]int{
		"/v2/mirror/nginx/manifests/v1": http.StatusOK,
		"/v2/evil/nginx/manifests/v1":   http.StatusNotFound,
		"/v2/broken/nginx/manifests/v1": http.StatusBadRequest,
		"/v2/odd/nginx/manifests/v1":    http.StatusBadRequest,
		"/v2/team/app/manifests/signed": http.StatusNotFound,
	} {
		if r := s.get(path); r.status != status {
			t.Errorf("%s: %d %s, want %d", path, r.status, r.body, status)
		}
	}
}

func TestBlobsThatNoManifestListsPassOnlyWhereThatIsOpened(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.InsecureOpenBlobs = true })
	digest := s.hosted.PutBlob("team/app", []byte("loose"))
	path := "/v2/team/app/blobs/" + digest
	if r := s.get(path); r.status != http.StatusOK || string(r.body) != "loose" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.ask(http.MethodHead, path); r.status != http.StatusOK {
		t.Errorf("%d", r.status)
	}
	s.hosted.PutBlobAs("team/app", digest, []byte("other"))
	if r := s.get(path); r.err == nil && r.status == http.StatusOK {
		t.Errorf("a blob that is not what its digest says: %q", r.body)
	}
	s.denied("/v2/team/app/manifests/unsigned", "no-signature")
}
