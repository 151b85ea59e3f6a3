package registry_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// wantCaught wants the error that says what has panicked, and that asking again may
// give another answer.
func wantCaught(t *testing.T, label string, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "internal failure: unforeseen") || !registry.Unreadable(err) {
		t.Errorf("%s: %v", label, err)
	}
}

// A Reader of the caller's panics in a goroutine that the caller knows nothing of.
func TestAReaderThatPanicsIsAnErrorOfItsPlace(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	large := strings.Repeat("x", 64<<10) // nothing of it stands in a descriptor
	attach(t, h.client, h.image, bundleItem("b1"+large), bundleItem("b2"+large), simpleItem("s1"+large))
	store := h.Store()
	for label, c := range map[string]struct {
		hooks registrytest.Hooks
		good  int // pieces that are still read
	}{
		"referrers": {registrytest.Hooks{Referrers: func(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] { panic("unforeseen") }}, 1},
		"in the list": {registrytest.Hooks{Referrers: func(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] {
			return func(func(v1.Descriptor, error) bool) { panic("unforeseen") }
		}}, 1},
		"manifests": {registrytest.Hooks{Manifest: func(context.Context, name.Reference) (registry.Manifest, error) { panic("unforeseen") }}, 0},
		"blobs":     {registrytest.Hooks{Blob: func(context.Context, name.Digest, int64) (io.ReadCloser, error) { panic("unforeseen") }}, 0},
	} {
		// One read at a time: what has panicked must make room for the next.
		words, errs := gather(t.Context(), registrytest.Faulty(store, c.hooks), h.image, registry.Limits{Concurrency: 1})
		if len(words) != c.good || len(errs) == 0 {
			t.Errorf("%s: %d pieces, %v", label, len(words), errs)
		}
		for _, err := range errs {
			wantCaught(t, label, err)
		}
	}
}

func TestAStoreThatPanicsWhileEvidenceIsAttachedIsAnError(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	_, err := registry.Attach(t.Context(), registrytest.Faulty(h.Store(), registrytest.Hooks{
		PushBlob: func(context.Context, name.Digest, int64, func() (io.ReadCloser, error)) error { panic("unforeseen") },
	}), h.image, bundleItem("b1"))
	wantCaught(t, "blobs", err)
}

type panics struct{}

func (panics) Resolve(authn.Resource) (authn.Authenticator, error) { panic("unforeseen") }

// panicsAt panics where a path begins so.
type panicsAt string

func (p panicsAt) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasPrefix(req.URL.Path, string(p)) {
		panic("unforeseen")
	}
	return http.DefaultTransport.RoundTrip(req)
}

// Credentials are asked for once for all who wait, in no goroutine of theirs.
func TestAKeychainOrTransportThatPanicsIsAnErrorOfThoseWhoWait(t *testing.T) {
	auth := &registrytest.TokenAuth{Users: map[string]string{"me": "secret"}}
	for label, o := range map[string]remote.Options{
		"keychain":  {Keychain: panics{}},
		"transport": {Keychain: credentials{user: "me", password: "secret"}, InsecureTransport: panicsAt("/token")},
	} {
		h := host(t, registrytest.Options{Auth: auth}, o)
		for range 2 {
			_, err := h.client.Resolve(t.Context(), h.tag)
			wantCaught(t, label, err)
			if !errors.Is(err, registry.ErrUnavailable) && !errors.Is(err, registry.ErrUnauthorized) {
				t.Errorf("%s: %v", label, err)
			}
		}
	}
}

func TestATransportThatLeavesThingsOutIsNoCrash(t *testing.T) {
	image := `{"schemaVersion":2,"config":{"mediaType":"text/plain","size":2,"digest":"` + hashOf("{}").String() + `"},"layers":[]}`
	for label, c := range map[string]struct {
		resp *http.Response
		want error
	}{
		"no request": {&http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {manifestType}}, Body: io.NopCloser(strings.NewReader(image))}, nil},
		"no body":    {&http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {manifestType}}, Request: &http.Request{}}, registry.ErrMalformed},
		"no header":  {&http.Response{StatusCode: 404}, registry.ErrNotFound},
		"nothing":    {nil, registry.ErrUnavailable},
	} {
		c2, err := remote.New(remote.Options{Keychain: credentials{}, MaxAttempts: 1, InsecureTransport: trip(func(*http.Request) (*http.Response, error) { return c.resp, nil })})
		must(t, err)
		if _, err = c2.Manifest(context.Background(), testRepo.Tag("v1")); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", label, err, c.want)
		}
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
