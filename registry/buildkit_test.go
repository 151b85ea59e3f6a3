package registry_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

const (
	statementType   = "application/vnd.in-toto+json"
	attestationType = "application/vnd.docker.attestation.manifest.v1+json"
	spdxPredicate   = "https://spdx.dev/Document"
)

// Recorded from BuildKit v0.34.2; see testdata/buildkit/README.md.
var recordings = map[string]struct{ artifactType, provenance string }{
	"v1":   {attestationType, "https://slsa.dev/provenance/v1"},
	"v0.2": {"", "https://slsa.dev/provenance/v0.2"},
}

// recorded opens a copy of an index that BuildKit made.
func recorded(t testing.TB, which string) (*layout.Layout, name.Digest) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS("testdata/buildkit/"+which)))
	l := openLayout(t, dir, layout.Options{})
	d, err := l.Resolve(context.Background(), l.Tag("v1"))
	must(t, err)
	return l, l.Digest(d.Digest)
}

// statements lists what a sequence yields: items and errors apart.
func statements(all iter.Seq2[registry.Item, error]) (items []registry.Item, errs []error) {
	for item, err := range all {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		items = append(items, item)
	}
	return items, errs
}

func statementsOf(r registry.Reader, index name.Digest) ([]registry.Item, []error) {
	return statements(registry.IndexEvidence(context.Background(), r, index, registry.Limits{}))
}

// wantRecorded checks that the statements of a recorded index are all there.
func wantRecorded(t *testing.T, which string, r registry.Reader, index name.Digest) {
	t.Helper()
	items, errs := statementsOf(r, index)
	if len(items) != 4 || len(errs) > 0 {
		t.Fatalf("%d statements, %v; want 4", len(items), errs)
	}
	m, err := r.Manifest(context.Background(), index)
	must(t, err)
	parsed, err := v1.ParseIndexManifest(strings.NewReader(string(m.Bytes)))
	must(t, err)
	predicates := []string{spdxPredicate, recordings[which].provenance}
	for i, item := range items {
		entry := parsed.Manifests[2+i/2]
		if item.Place != registry.PlaceIndex || item.Format != registry.FormatStatement || item.Manifest.Digest != entry.Digest ||
			item.Describes != parsed.Manifests[i/2].Digest || item.Manifest.ArtifactType != recordings[which].artifactType {
			t.Errorf("statement %d: %s %s in %v about %v", i, item.Place, item.Format, item.Manifest, item.Describes)
		}
		if got := item.Layer.Annotations["in-toto.io/predicate-type"]; got != predicates[i%2] || !strings.Contains(string(item.Payload), predicates[i%2]) {
			t.Errorf("statement %d: predicate type %q, payload %.200q", i, got, item.Payload)
		}
	}
}

func TestIndexEvidenceReadsWhatBuildKitWrites(t *testing.T) {
	for which := range recordings {
		l, index := recorded(t, which)
		wantRecorded(t, which, l, index)
	}
}

func TestCopyKeepsTheAttestationManifestsOfAnIndex(t *testing.T) {
	for which := range recordings {
		for what, ro := range map[string]registrytest.Options{
			"referrers API": {RequireContent: true}, "fallback tag": {RequireContent: true, NoReferrers: true},
		} {
			l, index := recorded(t, which)
			h := host(t, ro, remote.Options{})
			at, err := registry.Copy(context.Background(), l, index, h.client, h.repo.Tag("copy"), registry.CopyOptions{})
			must(t, err)
			wantRecorded(t, which, h.client, at)
			back, _ := newLayout(t)
			at, err = registry.Copy(context.Background(), h.client, at, back, back.Tag("back"), registry.CopyOptions{})
			must(t, err)
			if at.DigestStr() != index.DigestStr() {
				t.Errorf("%s, %s: the copy is %s", which, what, at)
			}
			wantRecorded(t, which, back, at)
		}
	}
}

func TestAttack_E3_UnsignedStatementsAreNoEvidenceAboutTheirImage(t *testing.T) {
	for what, ro := range map[string]registrytest.Options{"specified": {}, "config as artifactType": {ConfigAsArtifactType: true}} {
		l, index := recorded(t, "v1")
		h := host(t, ro, remote.Options{})
		at, err := registry.Copy(context.Background(), l, index, h.client, h.repo.Tag("copy"), registry.CopyOptions{})
		must(t, err)
		listed, _ := statementsOf(h.client, at)
		seen := 0
		for item, err := range registry.Evidence(context.Background(), h.client, h.repo.Digest(listed[0].Describes.String()), registry.Limits{}) {
			if seen++; err != nil || item.Format != registry.FormatOther || item.Payload != nil {
				t.Errorf("%s: %s, %v", what, item.Format, err)
			}
		}
		if seen == 0 {
			t.Errorf("%s: the attestation manifest is not a referrer: nothing was tested", what)
		}
	}
}

// attested is a store with two images, to make indexes as an attacker may.
type attested struct {
	testing.TB
	*registrytest.Registry
	store  registry.Store
	repo   name.Repository
	images [2]v1.Descriptor
}

func newAttested(t testing.TB) *attested {
	t.Helper()
	a := &attested{TB: t, Registry: registrytest.New(registrytest.Options{}), repo: mustRepo("registry.example.test/team/app")}
	a.store = a.Store()
	for i := range a.images {
		tag := a.repo.Tag(fmt.Sprint("image-", i))
		_, err := registrytest.PushImage(context.Background(), a.store, tag, registrytest.ImageOptions{Seed: fmt.Sprint(i)})
		must(t, err)
		a.images[i], err = a.store.Resolve(context.Background(), tag)
		must(t, err)
		a.images[i].Platform = &v1.Platform{OS: "linux", Architecture: fmt.Sprint("arch", i)}
	}
	return a
}

// statement stores a statement about image i, and describes it as a layer.
func (a *attested) statement(i int) v1.Descriptor {
	return a.layer(fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v0.1","predicateType":%q,"subject":[{"name":"_","digest":{"sha256":%q}}],"predicate":{}}`,
		spdxPredicate, a.images[i].Digest.Hex))
}

func (a *attested) statementAboutBoth() v1.Descriptor {
	return a.layer(fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[{"digest":{"sha256":%q}},{"name":"again","digest":{"sha256":%q}}]}`,
		spdxPredicate, a.images[0].Digest.Hex, a.images[1].Digest.Hex))
}

func (a *attested) layer(text string) v1.Descriptor {
	d := blobDescriptor(statementType, []byte(text))
	d.Annotations = map[string]string{"in-toto.io/predicate-type": spdxPredicate}
	a.PutBlob("team/app", []byte(text))
	return d
}

// attestation stores an attestation manifest with the subject image i (-1: none)
// and describes it as an entry that says it is about that image (-1: the first).
func (a *attested) attestation(i int, layers ...v1.Descriptor) v1.Descriptor {
	config := a.PutBlob("team/app", []byte("{}"))
	configType := "application/vnd.oci.image.config.v1+json"
	if i >= 0 { // BuildKit 0.32 writes an artifact with a subject and an empty config
		configType = "application/vnd.oci.empty.v1+json"
	}
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"size":2,"digest":%q},"layers":%s`,
		manifestType, configType, config, jsonOf(a, layers))
	if i >= 0 {
		text += fmt.Sprintf(`,"artifactType":%q,"subject":{"mediaType":%q,"size":%d,"digest":%q}`, attestationType, manifestType, a.images[i].Size, a.images[i].Digest)
	}
	d := mustManifest(a, manifestType, []byte(text+"}")).Descriptor
	a.Put("team/app", "", manifestType, []byte(text+"}"))
	return a.about(d, a.images[max(i, 0)].Digest.String())
}

// about describes a manifest as an entry that says what it is about.
func (a *attested) about(d v1.Descriptor, digest string) v1.Descriptor {
	d.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
	d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest}
	return d
}

// index stores an index of the images and these entries.
func (a *attested) index(entries ...v1.Descriptor) name.Digest {
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":%s}`, indexType, jsonOf(a, append(slices.Clone(a.images[:]), entries...)))
	return a.repo.Digest(a.Put("team/app", "", indexType, []byte(text)))
}

func TestIndexEvidenceOfAnyLawfulShape(t *testing.T) {
	a := newAttested(t)
	bare := a.statement(1)
	bare.Annotations = nil
	two := a.statementAboutBoth()
	inline := a.statement(0)
	var there bool
	inline.Data, there = a.Blob("team/app", inline.Digest.String())
	if !there {
		t.Fatal("there is no statement")
	}
	other := a.about(a.images[0], a.images[1].Digest.String())
	other.Annotations["vnd.docker.reference.type"] = "something-else"
	for what, c := range map[string]struct {
		entries []v1.Descriptor
		want    []int // the images that the statements are about, in order
	}{
		"none":                             {nil, nil},
		"no statements":                    {[]v1.Descriptor{a.attestation(0)}, []int{-1}},
		"with a subject":                   {[]v1.Descriptor{a.attestation(1, a.statement(1))}, []int{1}},
		"without a subject":                {[]v1.Descriptor{a.attestation(-1, a.statement(0))}, []int{0}},
		"without predicate type":           {[]v1.Descriptor{a.attestation(1, bare)}, []int{1}},
		"one of its subjects":              {[]v1.Descriptor{a.attestation(1, two)}, []int{1}},
		"two in one manifest":              {[]v1.Descriptor{a.attestation(0, a.statement(0), two)}, []int{0, 0}},
		"of both images":                   {[]v1.Descriptor{a.attestation(1, a.statement(1)), a.attestation(0, a.statement(0))}, []int{1, 0}},
		"two manifests for one image":      {[]v1.Descriptor{a.attestation(0, a.statement(0)), a.attestation(-1, a.statement(0))}, []int{0, 0}},
		"repeated":                         {slices.Repeat([]v1.Descriptor{a.attestation(0, a.statement(0))}, 5), []int{0}},
		"an entry of another kind":         {[]v1.Descriptor{other}, nil},
		"no subject, listed for both":      {[]v1.Descriptor{a.attestation(-1, two), a.about(a.attestation(-1, two), a.images[1].Digest.String())}, []int{0, 1}},
		"a layer of another type is other": {[]v1.Descriptor{a.attestation(0, a.images[0], a.statement(0))}, []int{-1, 0}},
		"layers of other types are one":    {[]v1.Descriptor{a.attestation(0, a.images[0], a.statement(0), a.images[1])}, []int{-1, 0}},
		"a statement in its descriptor":    {[]v1.Descriptor{a.attestation(0, inline)}, []int{0}},
	} {
		items, errs := statementsOf(a.store, a.index(c.entries...))
		var got []int
		for _, item := range items {
			which := slices.IndexFunc(a.images[:], func(d v1.Descriptor) bool { return d.Digest == item.Describes })
			if item.Format == registry.FormatOther && item.Payload == nil {
				which = -1
			}
			got = append(got, which)
		}
		if !slices.Equal(got, c.want) || len(errs) > 0 {
			t.Errorf("%s: statements about %v, errors %v; want %v", what, got, errs, c.want)
		}
	}
}

func TestIndexEvidenceOfWhatIsNoIndex(t *testing.T) {
	a := newAttested(t)
	if items, errs := statementsOf(a.store, a.repo.Digest(a.images[0].Digest.String())); len(items)+len(errs) > 0 {
		t.Errorf("an image: %v %v", items, errs)
	}
	for what, c := range map[string]struct {
		ref  name.Digest
		kind registry.Kind
	}{
		"nothing":           {a.repo.Digest(hashOf("nothing").String()), registry.ErrNotFound},
		"no digest":         {a.repo.Digest("sha512:00"), registry.ErrReference},
		"no JSON":           {a.repo.Digest(a.Put("team/app", "", indexType, []byte("{"))), registry.ErrMalformed},
		"another digest":    {a.repo.Digest(a.Put("team/app", hashOf("claimed").String(), indexType, []byte("{}"))), registry.ErrNotFound},
		"tampered with":     {tampered(a), registry.ErrDigestMismatch},
		"index and image":   {a.repo.Digest(a.Put("team/app", "", indexType, []byte(`{"schemaVersion":2,"manifests":[],"layers":[]}`))), registry.ErrMalformed},
		"bad digest inside": {a.repo.Digest(a.Put("team/app", "", indexType, []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"x","size":1,"digest":"sha512:00"}]}`))), registry.ErrMalformed},
	} {
		items, errs := statementsOf(a.store, c.ref)
		if len(items) != 0 || len(errs) != 1 || !errors.Is(errs[0], c.kind) {
			t.Errorf("%s: %v %v; want %v", what, items, errs, c.kind)
		}
	}
}

func tampered(a *attested) name.Digest {
	ref := a.index()
	a.Put("team/app", ref.DigestStr(), indexType, []byte(`{"schemaVersion":2,"manifests":[]}`))
	return ref
}

// wantIgnored checks that of an index with a good statement about image 1 and
// something wrong, the good one alone is yielded, beside one error of a kind.
func (a *attested) wantIgnored(what string, kind registry.Kind, entries ...v1.Descriptor) {
	a.Helper()
	entries = append(entries, a.attestation(1, a.statement(1)))
	items, errs := statementsOf(a.store, a.index(entries...))
	if len(items) != 1 || items[0].Describes != a.images[1].Digest || len(errs) != 1 || !errors.Is(errs[0], kind) || registry.Unreadable(errs[0]) {
		a.Errorf("%s: %d statements, %v; want the good one and an error of kind %q", what, len(items), errs, kind)
	}
}

func TestAttack_I6_EntryDescribingSomethingElseIsIgnored(t *testing.T) {
	a := newAttested(t)
	good := a.attestation(0, a.statement(0))
	both := good
	both.Annotations, both.Platform = nil, a.images[0].Platform
	runnable, nowhere := good, good
	runnable.Platform, nowhere.Platform = &v1.Platform{OS: "linux", Architecture: "amd64"}, nil
	for what, entry := range map[string]v1.Descriptor{
		"an image that is not in the index":  a.about(good, hashOf("elsewhere").String()),
		"itself":                             a.about(good, good.Digest.String()),
		"another child than its subject":     a.about(a.attestation(0, a.statementAboutBoth()), a.images[1].Digest.String()),
		"another child than its statement":   a.about(a.attestation(-1, a.statement(0)), a.images[1].Digest.String()),
		"nothing":                            a.about(good, ""),
		"a digest of another algorithm":      a.about(good, "sha512:"+strings.Repeat("0", 128)),
		"a digest in upper case":             a.about(good, "sha256:"+strings.ToUpper(a.images[0].Digest.Hex)),
		"a short digest":                     a.about(good, "sha256:"+a.images[0].Digest.Hex[:62]),
		"an image, as something to be run":   runnable,
		"an image, for no platform":          nowhere,
		"an image, with its statement wrong": a.attestation(0, a.statement(1)),
	} {
		a.wantIgnored(what, registry.ErrMalformed, entry)
	}
	// What is listed as an image and as an attestation is no image.
	items, errs := statementsOf(a.store, a.index(both, good, a.about(a.attestation(-1), good.Digest.String())))
	if len(items) != 1 || items[0].Describes != a.images[0].Digest || len(errs) != 1 || !errors.Is(errs[0], registry.ErrMalformed) {
		t.Errorf("an image that is an attestation: %v %v", items, errs)
	}
}

func TestAttack_I6_AStatementThatContradictsItsPlaceIsIgnored(t *testing.T) {
	a := newAttested(t)
	hex := a.images[0].Digest.Hex
	statement := func(subject string) string {
		return `{"_type":"https://in-toto.io/Statement/v1","predicateType":"` + spdxPredicate + `","subject":` + subject + `,"predicate":{}}`
	}
	for what, text := range map[string]string{
		"another image":          statement(`[{"digest":{"sha256":"` + a.images[1].Digest.Hex + `"}}]`),
		"no subject":             statement(`[]`),
		"no digest":              statement(`[{"name":"sha256:` + hex + `"}]`),
		"a digest in upper case": statement(`[{"digest":{"sha256":"` + strings.ToUpper(hex) + `"}}]`),
		"another algorithm":      statement(`[{"digest":{"sha512":"` + hex + hex + `"}}]`),
		"another predicate type": strings.Replace(statement(`[{"digest":{"sha256":"`+hex+`"}}]`), spdxPredicate, "https://example.test/other", 1),
		"two subjects":           `{"subject":[],` + statement(`[{"digest":{"sha256":"` + hex + `"}}]`)[1:],
		"case variants":          `{"Subject":[],` + statement(`[{"digest":{"sha256":"` + hex + `"}}]`)[1:],
		"more after the end":     statement(`[{"digest":{"sha256":"`+hex+`"}}]`) + "{}",
		"deep":                   statement(`[{"digest":{"sha256":"` + hex + `"},"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}]`),
		"no statement":           `{"predicateType":"` + spdxPredicate + `"}`,
		"an envelope":            `{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AQI="}]}`,
		"empty":                  "",
	} {
		a.wantIgnored(what, registry.ErrMalformed, a.attestation(0, a.layer(text)))
	}
}

func TestAttack_I5_AttestationsThatAreNotAsDescribedAreIgnored(t *testing.T) {
	a := newAttested(t)
	good := a.attestation(0, a.statement(0))
	change := func(f func(*v1.Descriptor)) v1.Descriptor {
		d := good
		f(&d)
		return d
	}
	inner, err := a.store.Resolve(context.Background(), a.index())
	must(t, err)
	lying := a.statement(0)
	lying.Size++
	long := a.statement(0)
	long.Size = 10 << 30
	gone := blobDescriptor(statementType, []byte("gone"))
	for what, c := range map[string]struct {
		kind  registry.Kind
		entry v1.Descriptor
	}{
		"size of the manifest":   {registry.ErrMalformed, change(func(d *v1.Descriptor) { d.Size++ })},
		"media type":             {registry.ErrMalformed, change(func(d *v1.Descriptor) { d.MediaType = "application/vnd.docker.distribution.manifest.v2+json" })},
		"foreign media type":     {registry.ErrMalformed, change(func(d *v1.Descriptor) { d.MediaType = "application/vnd.in-toto+json" })},
		"an index":               {registry.ErrMalformed, change(func(d *v1.Descriptor) { d.MediaType, d.Digest, d.Size = inner.MediaType, inner.Digest, inner.Size })},
		"no manifest":            {registry.ErrNotFound, change(func(d *v1.Descriptor) { d.Digest = hashOf("gone") })},
		"size of a statement":    {registry.ErrDigestMismatch, a.attestation(0, lying)},
		"10 GB by its size":      {registry.ErrTooLarge, a.attestation(0, long)},
		"a statement that is no": {registry.ErrNotFound, a.attestation(0, gone)},
	} {
		a.wantIgnored(what, c.kind, c.entry)
	}
}

func TestAttack_E20_UrlsOfStatementsAreNeverFetched(t *testing.T) {
	a := newAttested(t)
	elsewhere, got := foreign(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	layer := blobDescriptor(statementType, []byte("x"))
	layer.URLs = []string{"http://" + elsewhere + "/x"}
	entry := a.attestation(0, layer)
	entry.URLs = []string{"http://" + elsewhere + "/manifest"}
	a.wantIgnored("urls", registry.ErrNotFound, entry)
	if len(got()) > 0 {
		t.Error("a URL was followed")
	}
}

func TestAttack_I2_IndexEvidenceIsBounded(t *testing.T) {
	race.Skip(t, "one goroutine reads some MiB")
	a := newAttested(t)
	good := a.attestation(0, a.statement(0))
	var many, broken []v1.Descriptor
	for i := range 100_000 {
		d := a.about(good, a.images[0].Digest.String())
		d.Digest = hashOf(fmt.Sprint(i))
		many = append(many, d)
	}
	for i := range 200 {
		d := blobDescriptor(statementType, []byte(fmt.Sprint(i)))
		broken = append(broken, d)
	}
	for what, c := range map[string]struct {
		index  name.Digest
		limits registry.Limits
		kinds  []error
		errs   int
	}{
		"10^5 entries":         {a.index(many...), registry.Limits{}, []error{registry.ErrTooMany, registry.ErrMalformed}, 1},
		"entries":              {a.index(many[:100]...), registry.Limits{MaxReferrers: 101}, []error{registry.ErrTooMany}, 1},
		"as many as may be":    {a.index(many[:100]...), registry.Limits{MaxReferrers: 102}, []error{registry.ErrNotFound}, 100},
		"layers of a manifest": {a.index(a.attestation(0, slices.Repeat([]v1.Descriptor{a.statement(0)}, 200)...)), registry.Limits{MaxItems: 50}, []error{registry.ErrTooMany}, 1},
		"broken layers":        {a.index(a.attestation(0, broken...)), registry.Limits{MaxItems: 50}, []error{registry.ErrTooMany}, 51},
		"bytes":                {a.index(good), registry.Limits{MaxTotalBytes: 10}, []error{registry.ErrTooMany}, 1},
		"bytes of one":         {a.index(good), registry.Limits{MaxPayloadBytes: 10}, []error{registry.ErrTooLarge}, 1},
	} {
		_, errs := statements(registry.IndexEvidence(t.Context(), a.store, c.index, c.limits))
		if len(errs) != c.errs || !slices.ContainsFunc(c.kinds, func(k error) bool { return errors.Is(errs[len(errs)-1], k) }) {
			t.Errorf("%s: %d errors %.300v; want %d, the last %v", what, len(errs), errs, c.errs, c.kinds)
		}
	}
}

func TestAttack_R1_MisbehavingRegistriesLoseTheirStatementsAlone(t *testing.T) {
	truncate := registrytest.Truncate(50)
	for what, c := range map[string]struct {
		fault      registrytest.Fault
		unreadable bool
		kind       registry.Kind
	}{
		"other statement":     {registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.FlipByte()}, false, registry.ErrDigestMismatch},
		"truncated statement": {registrytest.Fault{Kind: registrytest.KindBlob, Do: truncate}, true, registry.ErrUnavailable},
		"endless statement":   {registrytest.Fault{Kind: registrytest.KindBlob, Do: registrytest.Endless()}, false, registry.ErrTooLarge},
		"other manifest":      {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.FlipByte()}, false, registry.ErrDigestMismatch},
		"truncated manifest":  {registrytest.Fault{Kind: registrytest.KindManifest, Do: truncate}, true, registry.ErrUnavailable},
		"forbidden manifest":  {registrytest.Fault{Kind: registrytest.KindManifest, Do: registrytest.Status(403)}, true, registry.ErrDenied},
	} {
		l, index := recorded(t, "v1")
		h := host(t, registrytest.Options{}, remote.Options{MaxAttempts: 2})
		at, err := registry.Copy(context.Background(), l, index, h.client, h.repo.Tag("copy"), registry.CopyOptions{})
		must(t, err)
		all, _ := statementsOf(h.client, at)
		c.fault.Ref = all[1].Layer.Digest.String()
		left := 3
		if c.fault.Kind == registrytest.KindManifest {
			c.fault.Ref, left = all[0].Manifest.Digest.String(), 2
		}
		h.Inject(c.fault)
		items, errs := statementsOf(h.client, at)
		if len(items) != left || len(errs) != 1 || registry.Unreadable(errs[0]) != c.unreadable || !errors.Is(errs[0], c.kind) {
			t.Errorf("%s: %d statements, %v; want %d and %v", what, len(items), errs, left, c.kind)
		}
	}
}

func TestIndexEvidenceTakesThreeRoundTrips(t *testing.T) {
	l, index := recorded(t, "v1")
	h := host(t, registrytest.Options{}, remote.Options{})
	at, err := registry.Copy(context.Background(), l, index, h.client, h.repo.Tag("copy"), registry.CopyOptions{})
	must(t, err)
	h.ResetRequests()
	h.Inject(registrytest.Fault{Do: registrytest.Delay(30 * time.Millisecond)})
	wantIn := registry.Limits{Concurrency: 16}
	if items, errs := statements(registry.IndexEvidence(t.Context(), newClient(t), at, wantIn)); len(items) != 4 || len(errs) > 0 {
		t.Fatal(items, errs)
	}
	// The index, a manifest, its statements; a busy machine may start one late.
	if n := inSequence(h.Requests()); n < 3 || n > 5 {
		t.Errorf("%d requests had to follow one another, want 3", n)
	}
}

func TestIndexEvidenceEndsWithItsContext(t *testing.T) {
	a := newAttested(t)
	index := a.index(a.attestation(0, a.statement(0)), a.attestation(1, a.statement(1)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if items, errs := statements(registry.IndexEvidence(ctx, a.store, index, registry.Limits{})); len(items) > 0 || len(errs) == 0 || !errors.Is(errs[len(errs)-1], context.Canceled) {
		t.Errorf("%v %v", items, errs)
	}
	var layers []v1.Descriptor
	for i := range 20 {
		layers = append(layers, a.layer(fmt.Sprint(i)))
	}
	for _, index := range []name.Digest{index, a.index(a.attestation(0, layers...)), a.index(a.attestation(0, layers[0], layers[1], a.images[0]))} {
		for range 20 {
			for range registry.IndexEvidence(t.Context(), a.store, index, registry.Limits{Concurrency: 1}) {
				break
			}
		}
	}
}

func TestStatementsCannotBeAttached(t *testing.T) {
	a := newAttested(t)
	_, err := registry.Attach(t.Context(), a.store, a.repo.Digest(a.images[0].Digest.String()), registry.Item{Format: registry.FormatStatement, Payload: []byte("{}")})
	wantKind(t, err, registry.ErrUnsupported)
}

func TestStatementsMayBeLeftUnread(t *testing.T) {
	a := newAttested(t)
	var entries []v1.Descriptor
	for i := range 60 {
		entries = append(entries, a.attestation(0, a.layer(fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[{"digest":{"sha256":%q}}],"predicate":{"n":%d}}`,
			spdxPredicate, a.images[0].Digest.Hex, i))))
	}
	index := a.index(entries...)
	if items, errs := statementsOf(a.store, index); len(items) != len(entries) || len(errs) > 0 {
		t.Fatalf("%d statements, %v", len(items), errs)
	}
	for range 20 { // leaving nothing behind, which is looked for at the end of all tests
		n := 0
		for _, err := range registry.IndexEvidence(t.Context(), a.store, index, registry.Limits{Concurrency: 2}) {
			if n++; err != nil || n > 1 {
				t.Fatalf("item %d: %v", n, err)
			}
			break
		}
	}
}
