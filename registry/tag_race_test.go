package registry_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// Another process signs while an image is copied: it has read the tag, which was
// not there, and writes 50 ms after the copy did.
func TestAttack_R11_ACopyWhoseSignaturesAreOverwrittenNotices(t *testing.T) {
	s := newScene(t)
	r, dst := registryFor(t, false)
	sig := evidenceTag(s.root, ".sig")
	at := dst.repo.Digest(s.root.Descriptor.Digest.String())
	other := newClient(t)
	read, mine, gone := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once, told sync.Once
	slow := registrytest.Faulty(other, registrytest.Hooks{PushManifest: func(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
		once.Do(func() { close(read); <-mine; time.Sleep(50 * time.Millisecond) })
		return other.PushManifest(ctx, ref, m, o)
	}})
	must(t, s.copyTo(t, dst, registry.CopyOptions{NoEvidence: true}))
	go func() {
		_, err := registry.Attach(context.Background(), slow, at, simpleItem("another's"))
		gone <- err
	}()
	<-read
	w := registrytest.Faulty(dst.Client, registrytest.Hooks{PushManifest: func(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
		report, err := dst.Client.PushManifest(ctx, ref, m, o)
		if ref.Identifier() == sig {
			told.Do(func() { close(mine) })
		}
		return report, err
	}})
	_, copied := registry.Copy(context.Background(), s.src, s.src.Tag("v1"), w, dst.repo.Tag("v1"), registry.CopyOptions{})
	must(t, errors.Join(copied, <-gone))
	_, data, _ := r.Manifest("team/app", sig)
	for _, want := range []string{"of signature 1", hashOf("another's").Hex} {
		if !strings.Contains(string(data), want) {
			t.Errorf("both have succeeded, and the tag holds %s", data)
		}
	}
}

// The first PUT of the tag is answered with "later" while another writer writes it.
func TestAttack_R11_AWriteThatIsTriedAgainOverwritesNothing(t *testing.T) {
	for label, o := range map[string]registrytest.Options{"plain": {NoReferrers: true}, "conditional": {NoReferrers: true, Conditional: true}} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			h := host(t, o, remote.Options{})
			tag := "sha256-" + imageHash(h).Hex + ".sig"
			refused := make(chan struct{})
			h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindManifest, Ref: tag, Times: 1, Do: func(next http.Handler) http.Handler {
				later := registrytest.Status(503, "Retry-After", "2")(next)
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { later.ServeHTTP(w, r); close(refused) })
			}})
			slow, quick := newClient(t), newClient(t)
			done := make(chan error, 1)
			go func() {
				_, err := registry.Attach(context.Background(), slow, h.image, simpleItem("slow"))
				done <- err
			}()
			<-refused
			_, err := registry.Attach(context.Background(), quick, h.image, simpleItem("quick"))
			must(t, errors.Join(err, <-done))
			if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{}); len(words) != 2 || len(errs) != 0 {
				t.Errorf("both writers have succeeded; what is there is %v, %v", words, errs)
			}
		})
	}
}

func TestATagThatIsNeverTakenIsAnErrorSoon(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 3})
	tag := "sha256-" + imageHash(h).Hex + ".sig"
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindManifest, Ref: tag, Do: registrytest.Status(503)})
	h.ResetRequests()
	_, err := registry.Attach(context.Background(), h.client, h.image, simpleItem("a"))
	wantError(t, "always 503", err, registry.ErrUnavailable)
	n := 0
	for _, q := range h.Requests() {
		if q.Method == "PUT" && q.Ref == tag {
			n++
		}
	}
	if n != 3 {
		t.Errorf("sent %d times, want MaxAttempts", n)
	}
}

func TestAnSBOMThatSomebodyWroteMeanwhileIsKept(t *testing.T) {
	s := newScene(t)
	dst, _ := newLayout(t)
	tag := evidenceTag(s.root, ".sbom")
	raced := registrytest.Faulty(dst, registrytest.Hooks{PushManifest: func(ctx context.Context, ref name.Reference, m registry.Manifest, o registry.PushOptions) (registry.PushReport, error) {
		if ref.Identifier() == tag {
			pushLayers(t, dst, tag, "other components")
		}
		return dst.PushManifest(ctx, ref, m, o)
	}})
	ignored := 0
	_, err := registry.Copy(t.Context(), s.src, s.src.Tag("v1"), raced, dst.Tag("v1"), registry.CopyOptions{Progress: func(e registry.CopyEvent) {
		if e.Action == registry.CopyIgnored && strings.Contains(e.Detail, tag) {
			ignored++
		}
	}})
	must(t, err)
	if d, err := dst.Resolve(t.Context(), dst.Tag(tag)); err != nil || d.Digest == s.tags[tag] || ignored != 1 {
		t.Errorf("the tag is %v, %v; told %d times", d.Digest, err, ignored)
	}
}

// A proxy in front makes entity tags weak; If-Match never holds for a weak one (RFC
// 9110, section 13.1.1).
func TestWeakETagsAreNotUsedForConditions(t *testing.T) {
	r := registrytest.New(registrytest.Options{NoReferrers: true, Conditional: true})
	front := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if v := q.Header.Get("If-Match"); strings.HasPrefix(v, "W/") {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		r.ServeHTTP(weak{w}, q)
	})
	c := newClient(t)
	image := pushTagged(t, c, registrytest.Start(t, front)+"/team/app:v1")
	attach(t, c, image, simpleItem("a"), simpleItem("b"))
	if m, err := c.Manifest(context.Background(), image); err != nil || m.ETag != "" {
		t.Errorf("ETag %q, %v", m.ETag, err)
	}
}

type weak struct{ http.ResponseWriter }

func (w weak) WriteHeader(status int) {
	if e := w.Header().Get("ETag"); e != "" {
		w.Header().Set("ETag", "W/"+e)
	}
	w.ResponseWriter.WriteHeader(status)
}
