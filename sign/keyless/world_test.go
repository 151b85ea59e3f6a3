package keyless_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

const (
	issuer   = "https://issuer.example"
	workflow = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
)

// world is a Sigstore instance by HTTP, and a time at which all it says is past.
type world struct {
	*testing.T
	*sigstoretest.Services
	now time.Time
	// waits are how long the signer would have waited before it asked again.
	waits []time.Duration
	mu    sync.Mutex
}

func newWorld(t *testing.T) *world {
	t.Helper()
	i := sigstoretest.New(t, sigstoretest.Options{})
	return &world{T: t, Services: i.Serve(), now: i.Now.Add(3 * time.Minute)}
}

// options sign by logs of the versions.
func (w *world) options(logVersions ...int) keyless.Options {
	return keyless.Options{
		SigningConfig: w.Config(logVersions...), TrustedRoot: w.Root(),
		Identity: keyless.Token(w.IDToken(sigstoretest.Object{"sub": workflow})),
		Now:      func() time.Time { return w.now },
	}
}

func (w *world) signer(o keyless.Options) *keyless.Signer {
	w.Helper()
	s, err := keyless.New(o)
	if err != nil {
		w.Fatal(err)
	}
	s.SetWait(func(ctx context.Context, d time.Duration) error {
		w.mu.Lock()
		w.waits = append(w.waits, d)
		w.mu.Unlock()
		return ctx.Err()
	})
	return s
}

// refuses checks that a message is not signed, for a reason.
func (w *world) refuses(o keyless.Options, want error, text string) {
	w.Helper()
	message := []byte("app")
	sig, material, err := w.signer(o).SignWithMaterial(context.Background(), sign.Message{Bytes: message, SHA256: sha256.Sum256(message)})
	if err == nil || !errors.Is(err, want) || !strings.Contains(err.Error(), text) || sig != nil || material != nil {
		w.Errorf("%v, %v, %v; want %v: ...%s...", sig, material, err, want, text)
	}
	if err != nil && strings.Contains(err.Error(), "eyJ") {
		w.Errorf("the error shows a token: %v", err)
	}
}

// image pushes an image to a new store.
func (w *world) image() (registry.Store, name.Digest) {
	w.Helper()
	store := registrytest.New(registrytest.Options{}).Store()
	repo, err := name.NewRepository("registry.example/acme/app")
	if err != nil {
		w.Fatal(err)
	}
	img, err := random.Image(16, 1)
	if err != nil {
		w.Fatal(err)
	}
	digest, err := registry.Push(w.Context(), store, repo, img)
	if err != nil {
		w.Fatal(err)
	}
	return store, digest
}

const policyText = `version: 1
identities:
  release:
    authority: sigstore
    settings: {issuer: ISSUER, uri: "SUBJECT"}
roles:
  release: {identities: [release]}
files: [{signature: {by: release}}]
rules:
  - images: ["**"]
    require: REQUIRE
`

// verifier judges by verify/sigstore with its strictest demands.
func (w *world) verifier(requirement string) *verify.Verifier {
	w.Helper()
	authority, err := sigstore.New(map[string]sigstore.Instance{"private": {Root: w.Root()}})
	if err != nil {
		w.Fatal(err)
	}
	linked := map[string]policy.Authority{"sigstore": authority}
	text := strings.NewReplacer("ISSUER", issuer, "SUBJECT", workflow, "REQUIRE", requirement).Replace(policyText)
	p, err := policy.Parse([]byte(text), policy.ParseOptions{Authorities: linked})
	if err != nil {
		w.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked, Now: func() time.Time { return w.now.Add(time.Hour) }})
	if err != nil {
		w.Fatal(err)
	}
	return v
}

const signedByRelease = "[{signature: {by: release}}]"
