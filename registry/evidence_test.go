package registry_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

const (
	bundleType   = "application/vnd.dev.sigstore.bundle.v0.3+json"
	simpleType   = "application/vnd.dev.cosign.simplesigning.v1+json"
	envelopeType = "application/vnd.dsse.envelope.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
)

func bundleItem(text string) registry.Item {
	return registry.Item{Format: registry.FormatBundle, Layer: v1.Descriptor{MediaType: bundleType}, Payload: []byte(text),
		ManifestAnnotations: map[string]string{"dev.sigstore.bundle.content": "dsse-envelope"}}
}

func simpleItem(text string) registry.Item {
	return registry.Item{Format: registry.FormatSimpleSigning, Payload: []byte(text),
		Layer: v1.Descriptor{MediaType: simpleType, Annotations: map[string]string{"dev.cosignproject.cosign/signature": "AQI="}}}
}

func envelopeItem(text string) registry.Item {
	return registry.Item{Format: registry.FormatEnvelope, Payload: []byte(text), Layer: v1.Descriptor{MediaType: envelopeType}}
}

// gather lists what Evidence yields, one word for each item or error.
func gather(ctx context.Context, r registry.Reader, subject name.Digest, l registry.Limits) (words []string, errs []error) {
	for item, err := range registry.Evidence(ctx, r, subject, l) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		words = append(words, fmt.Sprintf("%s/%s/%s", item.Place, item.Format, item.Payload))
	}
	return words, errs
}

func attach(t testing.TB, s registry.Store, subject name.Digest, items ...registry.Item) {
	t.Helper()
	for _, item := range items {
		if _, err := registry.Attach(context.Background(), s, subject, item); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEvidenceOfEveryFormatAndPlaceIsGathered(t *testing.T) {
	for name, ro := range map[string]registrytest.Options{
		"referrers API": {}, "fallback tag": {NoReferrers: true}, "pages": {ReferrersPageSize: 1}, "config as artifactType": {ConfigAsArtifactType: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := host(t, ro, remote.Options{})
			attach(t, h.client, h.image, bundleItem("b1"), bundleItem("b2"), simpleItem("s1"), simpleItem("s2"), envelopeItem("a1"))
			words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
			want := "[signature tag/simple-signing/s1 signature tag/simple-signing/s2 attestation tag/dsse-envelope/a1 referrers/bundle/b1 referrers/bundle/b2]"
			if ro.ReferrersPageSize == 0 && !ro.NoReferrers {
				// The API's order is the registry's own.
				if strings.Contains(fmt.Sprint(words), "b2 referrers/bundle/b1") {
					words[3], words[4] = words[4], words[3]
				}
			}
			if got := fmt.Sprint(words); got != want && got != strings.Replace(want, "b1 referrers/bundle/b2", "b2 referrers/bundle/b1", 1) || len(errs) > 0 {
				t.Errorf("got  %s, %v\nwant %s", got, errs, want)
			}
		})
	}
}

func TestNothingAttachedIsNoError(t *testing.T) {
	for _, ro := range []registrytest.Options{{}, {NoReferrers: true}} {
		h := host(t, ro, remote.Options{})
		if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{}); len(words)+len(errs) > 0 {
			t.Errorf("%v %v", words, errs)
		}
	}
}

func TestAbsentIsToldFromUnreadableForEachPlace(t *testing.T) {
	sigTag := func(r registrytest.Request) bool { return strings.HasSuffix(r.Ref, ".sig") }
	for name, f := range map[string]registrytest.Fault{
		"referrers":     {Kind: registrytest.KindReferrers, Do: registrytest.Status(500)},
		"signature tag": {Kind: registrytest.KindManifest, Match: sigTag, Do: registrytest.Status(503)},
		"forbidden tag": {Kind: registrytest.KindManifest, Match: sigTag, Do: registrytest.Status(403)},
		"payloads":      {Kind: registrytest.KindBlob, Do: registrytest.HangUp()},
	} {
		h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 2})
		attach(t, h.client, h.image, simpleItem(strings.Repeat("s", registry.MaxInlineBytes+1)), envelopeItem("a"))
		h.Inject(f)
		words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
		if len(errs) == 0 || !registry.Unreadable(errs[0]) {
			t.Errorf("%s: %v; want something unreadable", name, errs)
		}
		if name == "signature tag" && fmt.Sprint(words) != "[attestation tag/dsse-envelope/a]" {
			t.Errorf("%s: the other places were not read: %v", name, words)
		}
	}
}

func TestRoundTripsDoNotGrowWithTheEvidence(t *testing.T) {
	const latency = 30 * time.Millisecond
	h := host(t, registrytest.Options{}, remote.Options{})
	large := strings.Repeat("x", registry.MaxInlineBytes+1) // has to be fetched
	for i := range 20 {
		attach(t, h.client, h.image, bundleItem(fmt.Sprint(i, large)))
	}
	h.ResetRequests()
	h.Inject(registrytest.Fault{Do: registrytest.Delay(latency)}) // whatever can overlap does
	words, errs := gather(context.Background(), h.client, h.image, registry.Limits{Concurrency: 64})
	if len(words) != 20 || len(errs) > 0 {
		t.Fatal(words, errs)
	}
	// The list, a manifest, its payload; a busy machine may start one late. One
	// after another they would be 41.
	if n := inSequence(h.Requests()); n < 3 || n > 6 {
		t.Errorf("%d requests had to follow one another, want 3", n)
	}
}

// inSequence is the length of the longest chain of requests that each began
// after the one before had ended.
func inSequence(all []registrytest.Request) int {
	depth, deepest := make([]int, len(all)), 0
	for i, r := range all {
		depth[i] = 1
		for j, before := range all[:i] {
			if !before.End.IsZero() && !before.End.After(r.Start) {
				depth[i] = max(depth[i], depth[j]+1)
			}
		}
		deepest = max(deepest, depth[i])
	}
	return deepest
}

func TestTheFallbackTagIsReadWhileTheManifestIsSent(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	h.ResetRequests()
	h.Inject(registrytest.Fault{Do: registrytest.Delay(100 * time.Millisecond)})
	attach(t, h.client, h.image, bundleItem("a"))
	// A blob begun and sent, the manifest, the tag, a look at the tag, and all read back.
	if n := inSequence(h.Requests()); n != 6 {
		t.Errorf("%d requests had to follow one another, want 6", n)
	}
	words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
	if fmt.Sprint(words) != "[referrers/bundle/a]" || len(errs) > 0 {
		t.Error(words, errs)
	}
}

func TestWhatIsWrongWithTheFallbackTagIsNoErrorWhereItIsNotNeeded(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 1})
	tag := strings.Replace(h.image.DigestStr(), ":", "-", 1)
	h.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: tag, Do: registrytest.Status(http.StatusInternalServerError)})
	attach(t, h.client, h.image, bundleItem("a"))
	if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{}); fmt.Sprint(words) != "[referrers/bundle/a]" || len(errs) > 0 {
		t.Error(words, errs)
	}
}

func TestNothingIsListedThatWasNotStored(t *testing.T) {
	for _, status := range []int{http.StatusPreconditionFailed, http.StatusConflict, http.StatusForbidden, http.StatusInternalServerError} {
		h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{MaxAttempts: 1})
		isManifest := func(r registrytest.Request) bool { return strings.HasPrefix(r.Ref, "sha256:") }
		h.Inject(registrytest.Fault{Method: http.MethodPut, Kind: registrytest.KindManifest, Match: isManifest, Do: registrytest.Status(status)})
		at, err := registry.Attach(context.Background(), h.client, h.image, bundleItem("a"))
		if err == nil || at.DigestStr() != "" {
			t.Errorf("%d: attached as %v, %v", status, at, err)
		}
		for _, r := range h.Requests() {
			if r.Method == http.MethodPut && r.Kind == registrytest.KindManifest && !isManifest(r) && strings.HasPrefix(r.Ref, "sha256-") {
				t.Errorf("%d: %s was written", status, r.Ref)
			}
		}
	}
}

func TestSmallPayloadsAreReadFromTheirManifest(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, bundleItem("small"))
	h.ResetRequests()
	words, _ := gather(context.Background(), h.client, h.image, registry.Limits{})
	for _, r := range h.Requests() {
		if r.Kind == registrytest.KindBlob {
			t.Errorf("a blob was fetched: %+v", r)
		}
	}
	if fmt.Sprint(words) != "[referrers/bundle/small]" {
		t.Error(words)
	}
}

// manifestWith stores an evidence manifest of these layers for the image, as an
// attacker may write it.
func (h *hosted) manifestWith(t testing.TB, subject v1.Hash, layers ...v1.Descriptor) v1.Descriptor {
	t.Helper()
	config := h.PutBlob("team/app", []byte("{}"))
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":%q},"layers":%s,"subject":{"mediaType":%q,"size":1,"digest":%q}}`,
		manifestType, bundleType, config, jsonOf(t, layers), manifestType, subject)
	digest := h.Put("team/app", "", manifestType, []byte(text))
	hash, err := v1.NewHash(digest)
	if err != nil {
		t.Fatal(err)
	}
	return v1.Descriptor{MediaType: manifestType, ArtifactType: bundleType, Size: int64(len(text)), Digest: hash}
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func hashOf(text string) v1.Hash {
	h, _, _ := v1.SHA256(strings.NewReader(text))
	return h
}

func imageHash(h *hosted) v1.Hash {
	d, _ := v1.NewHash(h.image.DigestStr())
	return d
}

func TestAttack_E4_AReferrerOfAnotherSubjectIsMalformed(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	h.PutBlob("team/app", []byte("stolen"))
	layer := v1.Descriptor{MediaType: bundleType, Size: 6, Digest: hashOf("stolen")}
	other := h.manifestWith(t, hashOf("another image"), layer)
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(other)})
	words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
	if len(words) != 0 || len(errs) != 1 || !errors.Is(errs[0], registry.ErrMalformed) {
		t.Errorf("%v %v", words, errs)
	}
}

func TestAttack_E5_OneMalformedReferrerHidesNoOther(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, bundleItem("good"))
	shouting := bundleItem("case variants")
	shouting.ManifestAnnotations = map[string]string{"k": "", "K": ""}
	attach(t, h.client, h.image, shouting)
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Rewrite(func(a *registrytest.Answer) {
		a.Body = bytes.Replace(a.Body, []byte(`"manifests":[`), []byte(`"manifests":[{"mediaType":1},{},7,{"mediaType":"x","size":1,"digest":"sha512:00","size":2},`), 1)
	})})
	words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
	if len(words) != 2 || len(errs) > 0 {
		t.Errorf("%v %v; want both pieces of evidence", words, errs)
	}
}

func TestAttack_E9_LoopingEndlessAndHugeListsAreBounded(t *testing.T) {
	for name, do := range map[string]registrytest.Effect{"loop": registrytest.LoopPage(), "endless": registrytest.EndlessReferrers(100)} {
		h := host(t, registrytest.Options{}, remote.Options{})
		h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: do})
		_, errs := gather(context.Background(), h.client, h.image, registry.Limits{MaxReferrers: 300})
		if last := errs[len(errs)-1]; !errors.Is(last, registry.ErrTooMany) {
			t.Errorf("%s: %v", name, last)
		}
	}
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, simpleItem("good"))
	huge := h.manifestWith(t, imageHash(h), v1.Descriptor{MediaType: bundleType, Size: 10 << 30, Digest: hashOf("huge")})
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(huge)})
	h.ResetRequests()
	words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
	if fmt.Sprint(words) != "[signature tag/simple-signing/good]" || len(errs) != 1 || !errors.Is(errs[0], registry.ErrTooLarge) {
		t.Errorf("an item of 10 GB by its descriptor hides nothing: %v %v", words, errs)
	}
	for _, r := range h.Requests() {
		if r.Kind == registrytest.KindBlob && strings.Contains(r.Ref, hashOf("huge").Hex) {
			t.Error("it was asked for")
		}
	}
}

func TestAttack_E9_TheByteLimitCountsInOrder(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	for i := range 10 {
		attach(t, h.client, h.image, simpleItem(strings.Repeat(fmt.Sprint(i), 100)))
	}
	for range 20 { // whatever is fetched first
		words, errs := gather(context.Background(), h.client, h.image, registry.Limits{MaxTotalBytes: 450})
		if len(words) != 4 || len(errs) != 1 || !errors.Is(errs[0], registry.ErrTooMany) {
			t.Fatalf("%d items, %v; want the first four", len(words), errs)
		}
	}
	if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{MaxTotalBytes: 1000}); len(words) != 10 || len(errs) > 0 {
		t.Errorf("%d items, %v; want all ten", len(words), errs)
	}
}

// heavy answers with referrers whose manifests are all as large as they may be.
type heavy struct {
	registry.Reader
	subject name.Digest
	texts   map[string]int // which of them, by digest
	list    []v1.Descriptor
	read    atomic.Int64
}

func newHeavy(t *testing.T, n int) *heavy {
	t.Helper()
	h := &heavy{Reader: registrytest.New(registrytest.Options{}).Store(), texts: make(map[string]int)}
	var err error
	if h.subject, err = name.NewDigest("registry.example/team/app@sha256:" + strings.Repeat("ab", 32)); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		text := h.text(i)
		d := v1.Descriptor{MediaType: manifestType, ArtifactType: bundleType, Size: int64(len(text)), Digest: hashOf(string(text))}
		h.texts[d.Digest.String()], h.list = i, append(h.list, d)
	}
	return h
}

func (h *heavy) text(i int) []byte {
	text := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[],"subject":{"mediaType":%[1]q,"digest":%q,"size":1},"annotations":{"n":"%d"}}`,
		manifestType, h.subject.DigestStr(), i)
	return append(text, bytes.Repeat([]byte(" "), 4<<20-len(text))...)
}

func (h *heavy) Referrers(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] {
	return func(yield func(v1.Descriptor, error) bool) {
		for _, d := range h.list {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func (h *heavy) Manifest(ctx context.Context, ref name.Reference) (registry.Manifest, error) {
	i, there := h.texts[ref.Identifier()]
	if !there {
		return h.Reader.Manifest(ctx, ref)
	}
	h.read.Add(1)
	return registry.NewManifest(manifestType, h.text(i))
}

func TestAttack_E9_TheManifestsOfEvidenceAreBoundedInAll(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	within, beyond := newHeavy(t, 32), newHeavy(t, 100)
	if _, errs := gather(context.Background(), within, within.subject, registry.Limits{}); len(errs) > 0 {
		t.Errorf("128 MiB: %v", errs)
	}
	_, errs := gather(context.Background(), beyond, beyond.subject, registry.Limits{})
	if len(errs) != 1 || !errors.Is(errs[0], registry.ErrTooMany) {
		t.Errorf("400 MiB: %v, want ErrTooMany", errs)
	}
	if n := beyond.read.Load(); n > 80 { // those that were counted, and those under way at once
		t.Errorf("%d manifests were read", n)
	}
}

func TestAttack_E18_InlineContentThatIsNotTheBlobIsNotUsed(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	h.PutBlob("team/app", []byte("real"))
	lying := h.manifestWith(t, imageHash(h), v1.Descriptor{MediaType: bundleType, Size: 4, Digest: hashOf("real"), Data: []byte("evil")})
	h.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers(lying)})
	if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{}); fmt.Sprint(words) != "[referrers/bundle/real]" || len(errs) > 0 {
		t.Errorf("%v %v", words, errs)
	}
}

func TestAttack_E18_PayloadsAndManifestsThatChangeAreIgnored(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	large := strings.Repeat("payload", registry.MaxInlineBytes/4) // has to be fetched
	attach(t, h.client, h.image, simpleItem(large))
	h.PutBlobAs("team/app", hashOf(large).String(), []byte(strings.ToUpper(large)))
	words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
	if len(words) != 0 || len(errs) != 1 || !errors.Is(errs[0], registry.ErrDigestMismatch) || registry.Unreadable(errs[0]) {
		t.Errorf("%v %v", words, errs)
	}
}

func TestAttack_E19_AFallbackTagOfAnythingIsBoundedAndIgnored(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	tag := "sha256-" + imageHash(h).Hex
	inner := h.Put("team/app", "", indexType, []byte(`{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[]}`))
	for what, c := range map[string]struct {
		entry string
		told  int
	}{
		"an index of indexes": {fmt.Sprintf(`{"mediaType":%q,"size":1,"digest":%q}`, indexType, inner), 1},
		"the image itself":    {fmt.Sprintf(`{"mediaType":%q,"size":1,"digest":%q}`, manifestType, h.image.DigestStr()), 0},
		"a platform":          {fmt.Sprintf(`{"mediaType":%q,"size":1,"digest":%q,"platform":{"os":"linux","architecture":"amd64"}}`, manifestType, hashOf("child")), 0},
		"nothing there":       {fmt.Sprintf(`{"mediaType":%q,"size":1,"digest":%q}`, manifestType, hashOf("gone")), 1},
	} {
		h.Put("team/app", tag, indexType, []byte(`{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[`+c.entry+`]}`))
		words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
		if len(words) != 0 || len(errs) != c.told || c.told > 0 && registry.Unreadable(errs[0]) {
			t.Errorf("%s: %v %v", what, words, errs)
		}
	}
}

func TestAttack_E20_ForeignLayersAreIgnoredAndNeverFetched(t *testing.T) {
	elsewhere, got := foreign(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, simpleItem("good"))
	_, data, _ := h.Manifest("team/app", "sha256-"+imageHash(h).Hex+".sig")
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	m.Layers = append(m.Layers,
		v1.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar", Size: 1, Digest: hashOf("tar")},
		v1.Descriptor{MediaType: simpleType, Size: 1, Digest: hashOf("x"), URLs: []string{"http://" + elsewhere + "/x"}},
	)
	h.Put("team/app", "sha256-"+imageHash(h).Hex+".sig", manifestType, []byte(jsonOf(t, m)))
	h.ResetRequests()
	words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
	if len(words) != 2 || words[0] != "signature tag/simple-signing/good" || words[1] != "signature tag/other/" ||
		len(errs) != 1 || !errors.Is(errs[0], registry.ErrNotFound) {
		t.Errorf("%v %v", words, errs)
	}
	for _, r := range h.Requests() {
		if strings.Contains(r.Ref, hashOf("tar").Hex) {
			t.Error("a foreign layer was fetched")
		}
	}
	if len(got()) > 0 {
		t.Error("a URL was followed")
	}
	for i := range 10_000 {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: simpleType, Size: 1, Digest: hashOf(fmt.Sprint(i))})
	}
	h.Put("team/app", "sha256-"+imageHash(h).Hex+".sig", manifestType, []byte(jsonOf(t, m)))
	_, errs = gather(context.Background(), h.client, h.image, registry.Limits{MaxItems: 50})
	if last := errs[len(errs)-1]; !errors.Is(last, registry.ErrTooMany) {
		t.Errorf("10,000 layers: %v", last)
	}
}

func TestOtherReferrersAreListedButNotFetched(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	for i := range 20 {
		if _, err := registrytest.PushReferrer(context.Background(), h.Store(), h.image, "application/spdx+json", []byte{byte(i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	attach(t, h.client, h.image, bundleItem("b"))
	h.ResetRequests()
	words, errs := gather(context.Background(), h.client, h.image, registry.Limits{})
	if len(words) != 21 || len(errs) > 0 || len(h.Requests()) > 5 {
		t.Errorf("%d items, %v, %d requests; want 21 and at most 5 (list, fallback tag, one manifest, two tags)", len(words), errs, len(h.Requests()))
	}
}

func TestBreakingOffLeavesNothingBehind(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	for i := range 10 {
		attach(t, h.client, h.image, bundleItem(fmt.Sprint(i)))
	}
	for range 20 {
		for range registry.Evidence(context.Background(), h.client, h.image, registry.Limits{Concurrency: 2}) {
			break
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, errs := gather(ctx, h.client, h.image, registry.Limits{})
	if len(errs) == 0 || !errors.Is(errs[len(errs)-1], context.Canceled) {
		t.Errorf("%v", errs)
	}
}

func TestAttachWritesTheBundleReferrerOfTheFormat(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	at, err := registry.Attach(context.Background(), h.client, h.image, bundleItem("text"))
	if err != nil {
		t.Fatal(err)
	}
	_, data, _ := h.Manifest("team/app", at.DigestStr())
	_, image, _ := h.Manifest("team/app", "v1")
	want := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%[1]q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},`+
		`"layers":[{"mediaType":%[2]q,"size":4,"digest":%[3]q,"data":%[4]q}],"annotations":{"dev.sigstore.bundle.content":"dsse-envelope","io.github.hallmark-oci.content":"%[1]s %[5]d %[2]s %[4]s"},`+
		`"subject":{"mediaType":%[1]q,"size":%[5]d,"digest":%[6]q},"artifactType":%[2]q}`,
		manifestType, bundleType, hashOf("text"), base64.StdEncoding.EncodeToString([]byte("text")), len(image), h.image.DigestStr())
	if string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
}

func TestAttachWritesTheSignatureTagOfTheFormat(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, simpleItem("one"), simpleItem("two"), simpleItem("one"))
	_, data, ok := h.Manifest("team/app", "sha256-"+imageHash(h).Hex+".sig")
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil || !ok || len(m.Layers) != 2 || m.Subject != nil {
		t.Fatalf("%s %v", data, err)
	}
	config, _ := h.Blob("team/app", m.Config.Digest.String())
	want := fmt.Sprintf(`{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{"created":"0001-01-01T00:00:00Z"},{"created":"0001-01-01T00:00:00Z"}],"os":"","rootfs":{"type":"layers","diff_ids":[%q,%q]},"config":{}}`,
		hashOf("one"), hashOf("two"))
	if string(config) != want {
		t.Errorf("got  %s\nwant %s", config, want)
	}
}

func TestAttack_R11_ConcurrentWritersLoseNothing(t *testing.T) {
	for what, ro := range map[string]registrytest.Options{
		"no conditions": {NoReferrers: true}, "conditions": {NoReferrers: true, Conditional: true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := host(t, ro, remote.Options{})
			const writers = 6
			errs := make(chan error, 2*writers)
			for i := range writers {
				client := h.client
				if i%2 == 0 { // as another process would
					client = newClient(t)
				}
				go func() {
					_, err := registry.Attach(context.Background(), client, h.image, bundleItem(fmt.Sprint("b", i)))
					errs <- err
				}()
				go func() {
					_, err := registry.Attach(context.Background(), client, h.image, simpleItem(fmt.Sprint("s", i)))
					errs <- err
				}()
			}
			for range 2 * writers {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			if words, errs := gather(context.Background(), h.client, h.image, registry.Limits{}); len(words) != 2*writers || len(errs) > 0 {
				t.Errorf("%d of %d are there: %v %v", len(words), 2*writers, words, errs)
			}
		})
	}
}

func newClient(t testing.TB) *remote.Client {
	t.Helper()
	client, err := remote.New(remote.Options{Keychain: credentials{}})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAttack_R11_AWriterWhoseEntryIsLostIsTold(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	fallback := "sha256-" + imageHash(h).Hex
	h.Inject(registrytest.Fault{Method: "PUT", Kind: registrytest.KindManifest, Ref: fallback, Do: registrytest.Swallow()})
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := registry.Attach(ctx, h.client, h.image, bundleItem("b"))
	if err == nil {
		t.Error("the registry forgot the entry, and Attach did not notice")
	}
}

func TestAttachOverwritesNothingThatIsNoEvidence(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{})
	mediaType, image, _ := h.Manifest("team/app", "v1")
	index := []byte(`{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[]}`)
	h.Put("team/app", "sha256-"+imageHash(h).Hex, mediaType, image)
	h.Put("team/app", "sha256-"+imageHash(h).Hex+".sig", indexType, index)
	if _, err := registry.Attach(context.Background(), h.client, h.image, bundleItem("b")); !errors.Is(err, registry.ErrNoBundles) {
		t.Errorf("the tag holds the image: %v, want ErrNoBundles", err)
	}
	if _, err := registry.Attach(context.Background(), h.client, h.image, simpleItem("s")); !errors.Is(err, registry.ErrMalformed) {
		t.Errorf("the tag holds an index: %v, want ErrMalformed", err)
	}
	platforms := []byte(`{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[{"mediaType":"` + manifestType + `","size":1,"digest":"` + hashOf("child").String() + `","platform":{"os":"linux","architecture":"amd64"}}]}`)
	for _, other := range [][]byte{platforms, []byte(strings.Replace(string(image), "{", "{ ", 1))} {
		held := map[bool]string{true: indexType, false: mediaType}[strings.Contains(string(other), "manifests")]
		h.Put("team/app", "sha256-"+imageHash(h).Hex, held, other)
		if _, err := registry.Attach(context.Background(), h.client, h.image, bundleItem("b")); !errors.Is(err, registry.ErrMalformed) {
			t.Errorf("the tag holds another image: %v, want ErrMalformed", err)
		}
	}
	if _, err := registry.Attach(context.Background(), h.client, h.image, registry.Item{Format: registry.FormatOther}); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	if _, err := registry.Attach(context.Background(), h.client, h.repo.Digest("sha256:00"), bundleItem("b")); !errors.Is(err, registry.ErrReference) {
		t.Errorf("%v", err)
	}
}

func TestEvidenceIsLookedForOnlyWhereThatIsAsked(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, bundleItem("b"), simpleItem("s"), envelopeItem("a"))
	for want, places := range map[string][]registry.Place{
		"[b]": {registry.PlaceReferrers}, "[s]": {registry.PlaceSignatureTag}, "[a]": {registry.PlaceAttestationTag},
		"[a s]": {registry.PlaceAttestationTag, registry.PlaceSignatureTag}, "[]": {registry.PlaceIndex}, "[s a b]": nil,
	} {
		h.ResetRequests()
		got := []string{}
		for item, err := range registry.Evidence(t.Context(), h.client, h.image, registry.Limits{}, places...) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(item.Payload))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v: %v, want %s", places, got, want)
		}
		if len(places) == 1 && places[0] == registry.PlaceSignatureTag && len(h.Requests()) != 1 {
			t.Errorf("%d requests for one tag", len(h.Requests()))
		}
	}
}

// A reader that has seen enough costs no connection: what was sent at the same time
// is answered, not cancelled.
func TestBreakingOffKeepsConnections(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	attach(t, h.client, h.image, simpleItem("s"))
	var mu sync.Mutex
	connections := make(map[string]bool)
	remove := h.Inject(registrytest.Fault{Do: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			connections[r.RemoteAddr] = true
			mu.Unlock()
			next.ServeHTTP(w, r)
		})
	}})
	defer remove()
	for range 20 {
		for range registry.Evidence(t.Context(), h.client, h.image, registry.Limits{}) {
			break
		}
	}
	if len(connections) == 0 || len(connections) > 12 {
		t.Errorf("%d connections for three or four requests at a time, twenty times over", len(connections))
	}
}
