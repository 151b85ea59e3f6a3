package gate_test

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

// It has no credentials.
type nobody struct{}

func (nobody) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// replaceable is a source whose policy changes.
type replaceable struct {
	mu sync.Mutex
	v  *verify.Verifier
}

func (r *replaceable) Verifier(context.Context) (*verify.Verifier, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.v, nil
}

func (r *replaceable) set(v *verify.Verifier) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.v = v
}

func itoa(n int) string { return strconv.Itoa(n) }

func registryDigest(t *testing.T, content []byte) string {
	t.Helper()
	m, err := registry.NewManifest("", content)
	must(t, err)
	return m.Descriptor.Digest.String()
}

func signOn(t *testing.T, hosted *registrytest.Registry, image name.Digest, signer sign.Signer) {
	t.Helper()
	_, err := sign.Image(context.Background(), hosted.Store(), image, sign.ImageOptions{}, signer)
	must(t, err)
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
