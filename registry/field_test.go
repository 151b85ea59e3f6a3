package registry_test

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// product is an imitation with an image, by its name in registrytest.Products.
func product(t *testing.T, called string) *hosted {
	t.Helper()
	all := registrytest.Products()
	i := slices.IndexFunc(all, func(p registrytest.Product) bool { return p.Name == called })
	if i < 0 {
		t.Fatalf("no product %q", called)
	}
	h := &hosted{Registry: all[i].New()}
	h.host = registrytest.Start(t, h)
	h.client = newClient(t)
	h.repo = mustRepo(h.host + "/team/app")
	h.tag = h.repo.Tag("v1")
	var err error
	h.image, err = registrytest.PushImage(t.Context(), h.Store(), h.tag, registrytest.ImageOptions{})
	must(t, err)
	return h
}

// puts counts the requests to write a tag.
func (h *hosted) puts(tag string) (n int) {
	for _, q := range h.Requests() {
		if q.Method == http.MethodPut && q.Ref == tag {
			n++
		}
	}
	return n
}

func (h *hosted) fallback() string { return strings.Replace(h.image.DigestStr(), ":", "-", 1) }

// refuse answers reads of tags that are given, as Artifactory and others do about tags
// that do not exist.
func (h *hosted) refuse(do registrytest.Effect, match func(q registrytest.Request) bool) {
	h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: do, Match: func(q registrytest.Request) bool {
		return q.Method != http.MethodPut && !strings.Contains(q.Ref, ":") && match(q)
	}})
}

func refusal(status int, code string) registrytest.Effect {
	return registrytest.Reply(registrytest.Answer{
		Status: status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: fmt.Appendf(nil, `{"errors":[{"code":%q,"message":"no"}]}`, code),
	})
}

func TestGitLab_HoldsNoBundlesAndSaysSo(t *testing.T) {
	h := product(t, "GitLab")
	index, children, err := registrytest.PushIndex(t.Context(), h.Store(), h.repo.Tag("index"))
	must(t, err)
	if len(children) < 2 {
		t.Fatal("no index")
	}
	for label, subject := range map[string]name.Digest{"image": h.image, "index": index} {
		h.ResetRequests()
		start := time.Now()
		_, err := registry.Attach(t.Context(), h.client, subject, bundleItem("b"))
		wantError(t, label, err, registry.ErrNoBundles)
		tag := strings.Replace(subject.DigestStr(), ":", "-", 1)
		if n := h.puts(tag); n != 0 || time.Since(start) > 3*time.Second {
			t.Errorf("%s: the tag was written %d times in %v", label, n, time.Since(start))
		}
		if list := listReferrers(t, h.client, subject); len(list) != 0 {
			t.Errorf("%s: %d referrers, want none: %v", label, len(list), list)
		}
		attach(t, h.client, subject, simpleItem("s"), envelopeItem("e"))
		if words, errs := gather(t.Context(), h.client, subject, registry.Limits{}); len(words) != 2 || len(errs) != 0 {
			t.Errorf("%s: %v, %v", label, words, errs)
		}
	}
}

func TestGitLab_IsCopiedWithoutItsImagesAsReferrers(t *testing.T) {
	h := product(t, "GitLab")
	index, _, err := registrytest.PushIndex(t.Context(), h.Store(), h.repo.Tag("index"))
	must(t, err)
	attach(t, h.client, index, simpleItem("s"))
	dst, _ := newLayout(t)
	_, err = registry.Copy(t.Context(), h.client, index, dst, dst.Tag("v1"), registry.CopyOptions{Progress: func(e registry.CopyEvent) {
		if e.Action == registry.CopyIgnored {
			t.Errorf("ignored: %s", e.Detail)
		}
	}})
	must(t, err)
}

// Whatever a registry answers about tags that do not exist, evidence can be attached.
func TestAttach_TagsThatDoNotExistMayBeRefused(t *testing.T) {
	for label, do := range map[string]registrytest.Effect{
		"401":                  refusal(401, "UNAUTHORIZED"),
		"401 with a challenge": registrytest.Status(401, "WWW-Authenticate", `Basic realm="x"`),
		"403":                  refusal(403, "DENIED"),
		"403 unsupported":      refusal(403, "UNSUPPORTED"),
		"404 with a page":      registrytest.Reply(registrytest.Answer{Status: 404, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>")}),
		"400":                  registrytest.Status(400),
		"405":                  registrytest.Status(405),
		"406":                  registrytest.Status(406),
		"501":                  registrytest.Status(501),
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
			h.refuse(do, func(q registrytest.Request) bool { return !slices.Contains(h.Tags("team/app"), q.Ref) })
			attach(t, h.client, h.image, simpleItem("s"), envelopeItem("e"), bundleItem("b"))
			if words, errs := gather(t.Context(), h.client, h.image, registry.Limits{}); len(words) != 3 || len(errs) != 0 {
				t.Errorf("%v, %v", words, errs)
			}
			from := host(t, registrytest.Options{}, remote.Options{})
			attach(t, from.client, from.image, simpleItem("s"), envelopeItem("e"), bundleItem("b"))
			to := mustRepo(h.host + "/team/copy").Tag("v1")
			at, err := registry.Copy(t.Context(), from.client, from.tag, h.client, to, registry.CopyOptions{})
			must(t, err)
			if words, errs := gather(t.Context(), h.client, at, registry.Limits{}); len(words) != 3 || len(errs) != 0 {
				t.Errorf("copied: %v, %v", words, errs)
			}
		})
	}
}

// A refusal is "not found" only under the conditions that make it safe.
func TestAttack_S9_ARefusedTagIsNotOverwritten(t *testing.T) {
	denied := refusal(403, "DENIED")
	for label, prepare := range map[string]func(h *hosted, tag string){
		"a random tag is not found": func(h *hosted, tag string) {
			h.refuse(denied, func(q registrytest.Request) bool { return q.Ref == tag })
		},
		"a random tag gets another code": func(h *hosted, tag string) {
			h.refuse(denied, func(q registrytest.Request) bool { return q.Ref == tag })
			h.refuse(refusal(403, "UNAUTHORIZED"), func(q registrytest.Request) bool { return q.Ref != tag })
		},
		"a random tag gets another text": func(h *hosted, tag string) {
			h.refuse(registrytest.Reply(registrytest.Answer{Status: 403, Body: []byte(`{"errors":[{"code":"DENIED","message":"blocked by policy"}]}`)}), func(q registrytest.Request) bool { return q.Ref == tag })
			h.refuse(denied, func(q registrytest.Request) bool { return q.Ref != tag })
		},
		"nothing may be read": func(h *hosted, _ string) {
			h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Do: denied, Match: func(q registrytest.Request) bool {
				return q.Method == http.MethodGet && q.Ref != h.image.DigestStr()
			}})
		},
	} {
		for _, item := range []registry.Item{simpleItem("mine"), bundleItem("mine")} {
			t.Run(label+", "+string(item.Format), func(t *testing.T) {
				t.Parallel()
				h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
				others := item
				others.Payload = []byte("another's")
				attach(t, h.client, h.image, others)
				tag := h.fallback()
				if item.Format == registry.FormatSimpleSigning {
					tag += ".sig"
				}
				_, before, _ := h.Manifest("team/app", tag)
				prepare(h, tag)
				h.ResetRequests()
				_, err := registry.Attach(t.Context(), h.client, h.image, item)
				wantError(t, "attaching", err, registry.ErrDenied)
				if _, now, _ := h.Manifest("team/app", tag); string(now) != string(before) || h.puts(tag) != 0 {
					t.Errorf("the tag was written: %s", now)
				}
			})
		}
	}
}

// The tag exists, and neither it nor any other may be read by its name. A registry that
// knows conditions keeps it.
func TestAttack_S9_ATagThatMayNotBeReadIsKeptByACondition(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true, Conditional: true}, remote.Options{})
	attach(t, h.client, h.image, simpleItem("another's"))
	tag := h.fallback() + ".sig"
	_, before, _ := h.Manifest("team/app", tag)
	h.refuse(refusal(403, "DENIED"), func(registrytest.Request) bool { return true })
	_, err := registry.Attach(t.Context(), h.client, h.image, simpleItem("mine"))
	wantError(t, "attaching", err, registry.ErrDenied)
	if _, now, _ := h.Manifest("team/app", tag); string(now) != string(before) {
		t.Errorf("the tag was overwritten: %s", now)
	}
}

func TestAttack_E12_ARefusedTagIsNeverAbsentForReaders(t *testing.T) {
	h := product(t, "Artifactory (virtual repository)")
	attach(t, h.client, h.image, simpleItem("s"))
	dst, _ := newLayout(t)
	_, err := registry.Copy(t.Context(), h.client, h.tag, dst, dst.Tag("v1"), registry.CopyOptions{})
	wantError(t, "copying", err, registry.ErrDenied)
	item := envelopeItem("not there")
	item.Place = registry.PlaceAttestationTag
	wantError(t, "detaching", registry.Detach(t.Context(), h.client, h.image, item), registry.ErrDenied)
}

func TestReferrers_ThatAreRefusedComeFromTheFallbackTag(t *testing.T) {
	h := product(t, "Harbor 2.7")
	attach(t, h.client, h.image, bundleItem("b"))
	n, err := lastReferrer(h.client, h)
	if wantError(t, "listing", err, registry.ErrUnauthorized); n != 1 || !registry.Unreadable(err) {
		t.Errorf("%d referrers, %v", n, err)
	}
}

func TestAttach_ImmutableTagsAreToldInOneAttempt(t *testing.T) {
	for label, no := range map[string]struct {
		status        int
		code, message string
	}{
		"Harbor":            {412, "PRECONDITION", "configured as immutable"},
		"ECR":               {400, "TAG_INVALID", "cannot be overwritten"},
		"Quay":              {409, "TAG_IMMUTABLE", ""},
		"Docker Hub":        {403, "DENIED", "the tag is immutable"},
		"412 without text":  {412, "DENIED", ""},
		"409 without text":  {409, "CONFLICT", ""},
		"no OCI error body": {412, "", ""},
	} {
		for _, conditional := range []bool{false, true} {
			t.Run(fmt.Sprint(label, conditional), func(t *testing.T) {
				t.Parallel()
				h := host(t, registrytest.Options{NoReferrers: true, Conditional: conditional}, remote.Options{})
				attach(t, h.client, h.image, simpleItem("first"))
				tag := h.fallback() + ".sig"
				body := fmt.Appendf(nil, `{"errors":[{"code":%q,"message":%q}]}`, no.code, no.message)
				if no.code == "" {
					body = []byte("<html>")
				}
				h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindManifest, Ref: tag, Do: registrytest.Reply(registrytest.Answer{Status: no.status, Body: body})})
				h.ResetRequests()
				start := time.Now()
				_, err := registry.Attach(t.Context(), h.client, h.image, simpleItem("second"))
				e := wantError(t, "attaching", err, registry.ErrImmutable)
				if n := h.puts(tag); n != 1 || time.Since(start) > 5*time.Second {
					t.Errorf("sent %d times in %v", n, time.Since(start))
				}
				if text := err.Error(); !strings.Contains(text, "sha256-*") || strings.Contains(text, "writer") || !strings.Contains(text, no.message) || registry.HostOf(err) != h.host {
					t.Errorf("%q, host %q", text, e.Host)
				}
			})
		}
	}
}

func TestCopy_ListsWhatARegistryLosesAgain(t *testing.T) {
	from := host(t, registrytest.Options{}, remote.Options{})
	const n = 40
	for i := range n {
		_, err := registrytest.PushReferrer(t.Context(), from.Store(), from.image, "application/vnd.example", fmt.Append(nil, i), nil)
		must(t, err)
	}
	h := product(t, "olareg")
	to := mustRepo(h.host + "/team/copy").Tag("v1")
	at, err := registry.Copy(t.Context(), from.client, from.tag, h.client, to, registry.CopyOptions{Concurrency: 8})
	must(t, err)
	if got := len(listReferrers(t, h.client, at)); got != n {
		t.Errorf("%d referrers are listed, want %d", got, n)
	}
	puts := 0
	for _, q := range h.Requests() {
		if q.Method == http.MethodPut && q.Kind == registrytest.KindManifest {
			puts++
		}
	}
	if puts <= n+2 {
		t.Error("nothing was lost: this test tests nothing")
	}
}

func TestAttach_PushesAgainWhatARegistryLoses(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindManifest, Times: 1, Do: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("OCI-Subject", h.image.DigestStr())
			registrytest.Swallow()(next).ServeHTTP(w, req)
		})
	}})
	attach(t, h.client, h.image, bundleItem("b"))
	if n := len(listReferrers(t, h.client, h.image)); n != 1 {
		t.Errorf("%d referrers", n)
	}
}

func TestCopy_ARegistryThatOnlyClaimsToIndexGetsAFallbackTag(t *testing.T) {
	s := newScene(t)
	h := product(t, "Amazon ECR (2024)")
	dst := &located{h.client, mustRepo(h.host + "/team/copy")}
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	attach(t, h.client, h.image, bundleItem("b"))
	for _, subject := range []name.Digest{h.image, dst.repo.Digest(s.root.Descriptor.Digest.String())} {
		if len(listReferrers(t, h.client, subject)) == 0 {
			t.Errorf("%s has no referrers", subject)
		}
	}
}

func TestHostOf_IsTheRegistryThatWasAsked(t *testing.T) {
	asked := &registry.Error{Kind: registry.ErrDenied, Host: "registry.example:5000"}
	for label, err := range map[string]error{
		"itself": asked, "a cause": &registry.Error{Op: "copy", Ref: "sha256:" + strings.Repeat("a", 64), Err: asked},
		"wrapped": fmt.Errorf("x: %w", asked), "joined": errors.Join(errors.New("x"), asked),
	} {
		if got := registry.HostOf(err); got != asked.Host {
			t.Errorf("%s: %q", label, got)
		}
	}
	if got := registry.HostOf(errors.Join(errors.New("registry.example:5000"), nil)); got != "" {
		t.Errorf("guessed %q", got)
	}
}

// An entry that an attacker adds to a list does not make the list another thing.
func TestAttack_E12_AnEntryWithAPlatformKeepsNoBundleOut(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	attach(t, h.client, h.image, bundleItem("first"))
	_, data, _ := h.Manifest("team/app", h.fallback())
	var index v1.IndexManifest
	must(t, json.Unmarshal(data, &index))
	child := index.Manifests[0]
	child.Digest, child.ArtifactType, child.Platform = hashOf("child"), "", &v1.Platform{OS: "linux", Architecture: "amd64"}
	index.Manifests = append([]v1.Descriptor{child}, index.Manifests...)
	planted, err := json.Marshal(index)
	must(t, err)
	h.Put("team/app", h.fallback(), indexType, planted)
	attach(t, h.client, h.image, bundleItem("second"))
	if words, _ := gather(context.Background(), h.client, h.image, registry.Limits{}); len(words) != 2 {
		t.Errorf("%v", words)
	}
}

// Every byte of a blob counts, whatever the algorithm of its digest.
func TestCopy_BlobsMayHaveSHA512Digests(t *testing.T) {
	from := host(t, registrytest.Options{}, remote.Options{})
	layer, config := []byte("a layer"), []byte("{}")
	sum := sha512.Sum512(layer)
	digest := "sha512:" + hex.EncodeToString(sum[:])
	must(t, from.client.PushBlob(t.Context(), from.repo.Digest(digest), int64(len(layer)), opener(layer)))
	pushBlob(t, from.client, from.repo, config)
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":%q},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","size":%d,"digest":%q}]}`,
		manifestType, hashOf("{}"), len(layer), digest)
	push(t, from.client, from.repo.Tag("sha512"), mustManifest(t, manifestType, []byte(text)))
	dst, _ := newLayout(t)
	_, err := registry.Copy(t.Context(), from.client, from.repo.Tag("sha512"), dst, dst.Tag("v1"), registry.CopyOptions{})
	must(t, err)
	got, err := registry.ReadBlob(t.Context(), dst, dst.Repository().Digest(digest), int64(len(layer)))
	if err != nil || string(got) != string(layer) {
		t.Errorf("%q, %v", got, err)
	}
	from.PutBlobAs("team/app", digest, []byte("A layer"))
	other, _ := newLayout(t)
	_, err = registry.Copy(t.Context(), from.client, from.repo.Tag("sha512"), other, other.Tag("v1"), registry.CopyOptions{})
	wantError(t, "another layer", err, registry.ErrDigestMismatch)
}

// A registry that refuses all reads of tags for a moment, and then no more, holds what it
// held before.
func TestAttack_S9_ATagRefusedForAMomentIsKept(t *testing.T) {
	moment := func(h *hosted) {
		var refused atomic.Int64
		h.refuse(refusal(403, "DENIED"), func(q registrytest.Request) bool { return strings.HasPrefix(q.Ref, "sha256-") && refused.Add(1) <= 2 })
	}
	for _, make := range []func(string) registry.Item{simpleItem, envelopeItem, bundleItem} {
		h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
		attach(t, h.client, h.image, make("another's"))
		moment(h)
		attach(t, h.client, h.image, make("mine"))
		if words, errs := gather(t.Context(), h.client, h.image, registry.Limits{}); len(words) != 2 || len(errs) != 0 {
			t.Errorf("%v, %v", words, errs)
		}
	}
	s := newScene(t)
	h := host(t, registrytest.Options{}, remote.Options{})
	to := h.repo.Tag("copy")
	for _, suffix := range []string{".sbom", ".sig"} {
		pushLayers(t, &located{h.client, h.repo}, evidenceTag(s.root, suffix), "the destination's")
	}
	_, before, _ := h.Manifest("team/app", evidenceTag(s.root, ".sbom"))
	var refused sync.Map // by tag: the copy reads each, and a random one beside
	h.refuse(refusal(403, "DENIED"), func(q registrytest.Request) bool {
		if !strings.HasPrefix(q.Ref, "sha256-") {
			return false
		}
		_, again := refused.LoadOrStore(q.Ref, true)
		return !again
	})
	_, err := registry.Copy(t.Context(), s.src, s.src.Tag("v1"), h.client, to, registry.CopyOptions{})
	must(t, err)
	if _, now, _ := h.Manifest("team/app", evidenceTag(s.root, ".sbom")); string(now) != string(before) {
		t.Errorf(".sbom was overwritten: %s", now)
	}
	if _, now, _ := h.Manifest("team/app", evidenceTag(s.root, ".sig")); strings.Count(string(now), "signature\":\"of ") != 3 {
		t.Errorf(".sig has lost a layer: %s", now)
	}
}
