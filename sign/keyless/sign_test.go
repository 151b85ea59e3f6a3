package keyless_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
	"github.com/hallmark-oci/hallmark/verify"
)

func TestImagesSignedHereVerify(t *testing.T) {
	for name, c := range map[string]struct {
		logs    []int
		formats []registry.Format
	}{
		"bundle by Rekor v2":       {[]int{2}, []registry.Format{registry.FormatBundle}},
		"bundle by Rekor v1":       {[]int{1}, []registry.Format{registry.FormatBundle}},
		".sig tag":                 {[]int{1}, []registry.Format{registry.FormatSimpleSigning}},
		".sig tag beside v2":       {[]int{1, 2}, []registry.Format{registry.FormatSimpleSigning}},
		"both, each by its log":    {[]int{1, 2}, []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}},
		"what the zero value does": {[]int{1, 2}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			store, digest := w.image()
			signed, err := sign.Image(t.Context(), store, digest, sign.ImageOptions{Formats: c.formats}, w.signer(w.options(c.logs...)))
			if err != nil || len(signed.Signatures) != max(len(c.formats), 1) {
				t.Fatalf("%+v, %v", signed, err)
			}
			res, err := w.verifier(signedByRelease).Image(t.Context(), store, digest)
			if err != nil || len(res.Keys) != 1 || res.Keys[0].Name != "release" {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

func TestAttestationsSignedHereVerify(t *testing.T) {
	for _, format := range []registry.Format{registry.FormatBundle, registry.FormatEnvelope} {
		w := newWorld(t)
		store, digest := w.image()
		p, err := predicate.Parse("cyclonedx", []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := attest.Image(t.Context(), store, digest, p, attest.Options{Formats: []registry.Format{format}}, w.signer(w.options(1))); err != nil {
			t.Fatal(err)
		}
		require := `[{attestation: {type: cyclonedx, by: release}}]`
		if res, err := w.verifier(require).Image(t.Context(), store, digest); err != nil || len(res.Keys) != 1 {
			t.Errorf("%s: %+v, %v", format, res, err)
		}
	}
}

func TestFilesSignedHereVerify(t *testing.T) {
	for _, logs := range [][]int{{1}, {2}} {
		w := newWorld(t)
		bundle, err := sign.Blob(t.Context(), strings.NewReader("a file"), w.signer(w.options(logs...)))
		if err != nil {
			t.Fatal(err)
		}
		if res, err := w.verifier(signedByRelease).Blob(t.Context(), strings.NewReader("a file"), bundle); err != nil || len(res.Keys) != 1 {
			t.Errorf("%+v, %v", res, err)
		}
		var denied *verify.Error
		if _, err := w.verifier(signedByRelease).Blob(t.Context(), strings.NewReader("another"), bundle); !errors.As(err, &denied) {
			t.Errorf("another file: %v", err)
		}
	}
}

// zeros is a file that is larger than what is held in memory.
func zeros() io.Reader { return io.LimitReader(zeroReader{}, 65<<20) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestLargeFilesAreSignedByDigest(t *testing.T) {
	w := newWorld(t)
	bundle, err := sign.Blob(t.Context(), zeros(), w.signer(w.options(2)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := sigstore.ParseBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	root, err := sigstore.ParseRoot(w.Root())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := sigstore.ParseLeaf(b.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, zeros()); err != nil {
		t.Fatal(err)
	}
	e := &sigstore.Evidence{
		Message: sigkey.Hashed(sum.Sum(nil), nil, nil), Claimed: b.Message, Signature: b.Message.Signature, Entries: b.Entries, Timestamps: b.Timestamps,
	}
	if _, err := root.VerifyLeaf(leaf, e, sigstore.Demands{Logs: 1, CTLogs: 1, Times: 1, Timestamps: true}, w.now); err != nil {
		t.Error(err)
	}
}

func TestStatementsBundledHereVerify(t *testing.T) {
	w := newWorld(t)
	_, digest := w.image()
	p, err := predicate.Parse("cyclonedx", []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := attest.NewStatement(p, attest.Subject{Digest: map[string]string{"sha256": strings.TrimPrefix(digest.DigestStr(), "sha256:")}})
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := attest.Bundle(t.Context(), s, w.signer(w.options(2)))
	if err != nil {
		t.Fatal(err)
	}
	require := `[{attestation: {type: cyclonedx, by: release}}]`
	if _, err := w.verifier(require).Bundles(t.Context(), digest, bundle); err != nil {
		t.Error(err)
	}
	if text, err := attest.Envelope(t.Context(), s, w.signer(w.options(2))); err == nil || !errors.Is(err, sign.ErrOptions) {
		t.Errorf("an envelope has no place for a certificate: %s, %v", text, err)
	}
}

func TestOneCertificateSignsMany(t *testing.T) {
	w := newWorld(t)
	o := w.options(2)
	o.Identity = keyless.Token(w.IDToken(sigstoretest.Object{"sub": workflow, "exp": w.now.Add(time.Hour).Unix()}))
	s := w.signer(o)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := sign.Blob(t.Context(), strings.NewReader("a file"), s); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := w.Asked("POST /api/v2/signingCert"); n != 1 {
		t.Errorf("%d certificates", n)
	}
	w.now = w.now.Add(9*time.Minute + time.Second) // a certificate is valid for ten minutes
	if _, err := s.Identity(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.Asked("POST /api/v2/signingCert"); n != 2 {
		t.Errorf("%d certificates after one has ended", n)
	}
}

func TestIdentityTellsWhoSigns(t *testing.T) {
	w := newWorld(t)
	o := w.options(2)
	o.Identity = keyless.Token(w.IDToken(sigstoretest.Object{"sub": "4711", "email": "jane@acme.example"}))
	who, err := w.signer(o).Identity(t.Context())
	if err != nil || who.Issuer != issuer || who.SubjectType != "email" || who.Subject != "jane@acme.example" {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestAttack_T21_LogDownLeavesNothing(t *testing.T) {
	down := func(prefix string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, prefix) {
				return false
			}
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
	}
	both := []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}
	for name, path := range map[string]string{"log of bundles": "/api/v2/log", "log of tags": "/api/v1/log", "timestamps": "/api/v1/timestamp", "fulcio": "/api/v2/signingCert"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Handle = down(path)
			store := &counted{Store: registrytest.New(registrytest.Options{}).Store()}
			index, err := random.Index(16, 1, 2)
			if err != nil {
				t.Fatal(err)
			}
			tag, err := nameTag()
			if err != nil {
				t.Fatal(err)
			}
			_, err = sign.PushAndSign(t.Context(), store, tag, index, sign.ImageOptions{Formats: both, Recursive: true}, w.signer(w.options(1, 2)))
			var service *keyless.ServiceError
			if !errors.As(err, &service) || service.Status != http.StatusServiceUnavailable || !errors.Is(err, sign.ErrSigner) {
				t.Errorf("%v", err)
			}
			if len(store.tags) > 0 {
				t.Errorf("tags were set: %v", store.tags)
			}
			digest, err := index.Digest()
			if err != nil {
				t.Fatal(err)
			}
			for item, err := range registry.Evidence(t.Context(), store, tag.Context().Digest(digest.String()), registry.Limits{}) {
				t.Errorf("something is attached: %+v, %v", item, err)
			}
			if len(w.waits) < 3 {
				t.Errorf("waits: %v", w.waits)
			}
		})
	}
}

func nameTag() (name.Tag, error) { return name.NewTag("registry.example/acme/app:v1") }

// counted remembers which tags were set.
type counted struct {
	registry.Store
	tags []string
}

func (c *counted) PushManifest(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
	if tag, is := ref.(name.Tag); is {
		c.tags = append(c.tags, tag.TagStr())
	}
	return c.Store.PushManifest(ctx, ref, m, o)
}

func TestTheImagesTagComesLast(t *testing.T) {
	w := newWorld(t)
	store := &counted{Store: registrytest.New(registrytest.Options{}).Store()}
	img, err := random.Image(16, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := nameTag()
	if err != nil {
		t.Fatal(err)
	}
	both := []registry.Format{registry.FormatBundle, registry.FormatSimpleSigning}
	signed, err := sign.PushAndSign(t.Context(), store, tag, img, sign.ImageOptions{Formats: both}, w.signer(w.options(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(signed.Digest.DigestStr(), ":", "-", 1) + ".sig v1"
	if got := strings.Join(store.tags, " "); !strings.HasSuffix(got, want) {
		t.Errorf("tags were set in the order %q, want %q last", got, want)
	}
}

func TestBundlesHoldTheMaterial(t *testing.T) {
	w := newWorld(t)
	text, err := sign.Blob(t.Context(), bytes.NewReader([]byte("a file")), w.signer(w.options(2)))
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		VerificationMaterial struct {
			PublicKey, Certificate json.RawMessage
			TlogEntries            []struct {
				KindVersion      struct{ Kind, Version string }
				InclusionPromise json.RawMessage
				InclusionProof   json.RawMessage
				IntegratedTime   string
			}
			TimestampVerificationData struct{ RFC3161Timestamps []json.RawMessage }
		}
	}
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	m := b.VerificationMaterial
	if m.PublicKey != nil || m.Certificate == nil || len(m.TlogEntries) != 1 || len(m.TimestampVerificationData.RFC3161Timestamps) != 1 {
		t.Fatalf("%s", text)
	}
	if e := m.TlogEntries[0]; e.KindVersion.Kind != "hashedrekord" || e.KindVersion.Version != "0.0.2" || e.InclusionProof == nil || e.InclusionPromise != nil || e.IntegratedTime != "" {
		t.Errorf("%+v", e)
	}
}
