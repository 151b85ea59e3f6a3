package registry_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

func TestAttack_R9_RepositoryNamesAreCanonicalOrTypedErrors(t *testing.T) {
	for in, want := range map[string]string{
		"nginx":                     "index.docker.io/library/nginx:latest",
		"docker.io/library/nginx:1": "index.docker.io/library/nginx:1",
		"index.docker.io/nginx":     "index.docker.io/library/nginx:latest",
		"127.0.0.1:5000/a/b@sha256:" + strings.Repeat("a", 64):    "127.0.0.1:5000/a/b@sha256:" + strings.Repeat("a", 64),
		"registry.example/a:v1@sha256:" + strings.Repeat("a", 64): "registry.example/a@sha256:" + strings.Repeat("a", 64),
	} {
		if ref, err := registry.ParseReference(in); err != nil || ref.Name() != want {
			t.Errorf("%s: %v, %v; want %s", in, ref, err, want)
		}
	}
	for _, in := range []string{
		"", " ", "registry.example/UPPER", "registry.example/a/../b", "registry.example/a//b", "registry.example/a%2fb", "registry.example/ü",
		"registry.example/a:", "registry.example/a:-tag", "https://registry.example/a", "registry.example/a@sha256:abc", "registry.example/a@sha512:" + strings.Repeat("a", 128),
		"registry.example/a@sha256:" + strings.Repeat("A", 64), "registry.example/a\x1b[31m", "registry.example/a\nb", strings.Repeat("a", 10_000), "registry.example/" + strings.Repeat("a", 300), "/", "a/", "registry.example/a?x=y", "registry.example/a#b",
	} {
		if ref, err := registry.ParseReference(in); !errors.Is(err, registry.ErrReference) {
			t.Errorf("%.60q: %v, %v; want ErrReference", in, ref, err)
		} else if strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 2000 {
			t.Errorf("%.60q: the error is not fit to be printed: %q", in, err)
		}
	}
	client, err := remote.New(remote.Options{InsecureTransport: onInternet{}})
	if err != nil {
		t.Fatal(err)
	}
	var none name.Repository
	_, err = client.Manifest(context.Background(), none.Tag("v1"))
	wantError(t, "a zero repository", err, registry.ErrReference)
	_, err = client.Manifest(context.Background(), name.MustParseReference("registry.example/a:v1").Context().Tag("../../x"))
	wantError(t, "a tag that is a path", err, registry.ErrReference)
}
