package verify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

type withoutLogin struct{}

func (withoutLogin) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.Anonymous, nil }

// over is a world whose store is a registry, by HTTP.
func over(t *testing.T, r *registrytest.Registry) *world {
	t.Helper()
	client, err := remote.New(remote.Options{Keychain: withoutLogin{}, RetryDelay: time.Millisecond, MaxAttempts: 2})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(registrytest.Start(t, r) + "/team/app")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: client, repo: repo, trusted: newPerson(t), other: newPerson(t)}
	w.image = w.push()
	return w
}

// Each place may be one that cannot be read.
func TestImage_APlaceThatCannotBeReadDeniesNothingThatOthersSatisfy(t *testing.T) {
	for label, do := range map[string]registrytest.Effect{
		"401": registrytest.Status(401), "403": registrytest.Status(403), "424": registrytest.Status(424), "500": registrytest.Status(500),
		"a page": registrytest.Reply(registrytest.Answer{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>")}),
	} {
		for place, format := range map[registry.Place]registry.Format{
			registry.PlaceReferrers: registry.FormatSimpleSigning, registry.PlaceSignatureTag: registry.FormatBundle,
		} {
			if label == "a page" && place == registry.PlaceReferrers {
				continue // so do registries that list no referrers (sigstore/sigstore-js#1187)
			}
			t.Run(fmt.Sprint(label, " ", place), func(t *testing.T) {
				t.Parallel()
				r := registrytest.New(registrytest.Options{})
				w := over(t, r)
				signed := w.sign(w.image, sign.ImageOptions{Formats: []registry.Format{format}}, w.trusted)
				unsigned := w.push()
				unreadable := func(q registrytest.Request) bool {
					if place == registry.PlaceReferrers {
						return q.Kind == registrytest.KindReferrers
					}
					return strings.HasSuffix(q.Ref, ".sig")
				}
				r.Inject(registrytest.Fault{Method: "GET", Match: unreadable, Do: do})
				v := w.verifier(policy.Signatures{})
				result, err := v.Image(t.Context(), w.store, signed.Digest)
				if err != nil || result.Requests == 0 {
					t.Errorf("%v", err)
				}
				_, err = v.Image(t.Context(), w.store, unsigned)
				var denied *verify.Error
				var undecided *verify.UndecidedError
				if errors.As(err, &denied) || !errors.As(err, &undecided) || !strings.Contains(err.Error(), string(place)) {
					t.Errorf("unsigned: %v, want *UndecidedError that names %q", err, place)
				}
			})
		}
	}
}

func TestImage_EveryProductIsVerified(t *testing.T) {
	for _, p := range registrytest.Products() {
		if strings.HasPrefix(p.Name, "Nexus") {
			continue // wants a login
		}
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			w := over(t, p.New())
			w.sign(w.image, sign.ImageOptions{}, w.trusted)
			w.verified(policy.Signatures{})
			unsigned := w.push()
			if res, err := w.verifier(policy.Signatures{}).Image(t.Context(), w.store, unsigned); err == nil {
				t.Errorf("an unsigned image is verified: %v", res)
			}
		})
	}
}

// Registries count requests for manifests and lists.
func TestImage_CountsItsRequests(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	w := over(t, r)
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	r.ResetRequests()
	result := w.verified(policy.Signatures{})
	if sent := len(r.Requests()); result.Requests != sent {
		t.Errorf("%d requests are told, %d were sent", result.Requests, sent)
	}
	text, err := json.Marshal(result)
	if err != nil || !strings.Contains(string(text), fmt.Sprintf(`"requests":%d`, result.Requests)) {
		t.Errorf("%s, %v", text, err)
	}
	unsigned := w.push()
	r.ResetRequests()
	_, err = w.verifier(policy.Signatures{}).Image(t.Context(), w.store, unsigned)
	var denied *verify.Error
	if !errors.As(err, &denied) || denied.Requests != len(r.Requests()) {
		t.Errorf("%v: %d requests are told, %d were sent", err, denied.Requests, len(r.Requests()))
	}
}

// All images of a batch wait for the pause that one of them was asked for.
func TestImages_HonourARegistrysPause(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	w := over(t, r)
	refs := []name.Reference{}
	for range 4 {
		image := w.push()
		w.sign(image, sign.ImageOptions{}, w.trusted)
		refs = append(refs, image)
	}
	r.ResetRequests()
	r.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Times: 1, Do: registrytest.Status(429, "Retry-After", "1")})
	for ref, out := range w.verifier(policy.Signatures{}).Images(t.Context(), w.store, slices.Values(refs), verify.BatchOptions{Concurrency: 1}) {
		if out.Err != nil {
			t.Errorf("%s: %v", ref, out.Err)
		}
	}
	refused := 0
	for _, q := range r.Requests() {
		if q.Status == 429 {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("refused %d times", refused)
	}
}
