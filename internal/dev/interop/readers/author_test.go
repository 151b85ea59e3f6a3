package readers

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hallmark-oci/hallmark/registry"
)

// elsewhere is a server of the attacker's, which has what descriptors' urls name.
type elsewhere struct {
	url      string
	contents sync.Map // by path
}

func newElsewhere(t *testing.T) *elsewhere {
	e := &elsewhere{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		content, ok := e.contents.Load(req.URL.Path)
		if !ok {
			http.NotFound(w, req)
			return
		}
		_, _ = w.Write(content.([]byte)) // a client that has gone has nothing
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

// author writes manifests and lists at random.
type author struct {
	*target
	rand      *rand.Rand
	elsewhere *elsewhere
	kinds     []payload
	marker    string
	// payloads are the kinds of what must not arrive, by digest.
	payloads map[string]string
	// runnable are the digests of manifests that clients could run.
	runnable map[string]bool
	// refs are tags and digests that lead to what was written, and subjects
	// the digests about which there may be something.
	refs, subjects []string
	// lost are the places of good evidence that were overwritten.
	lost map[string]bool
}

func choose[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// chance is true in so many of a hundred cases.
func (a *author) chance(percent int) bool { return a.rand.IntN(100) < percent }

var (
	imageLayerTypes = []string{
		ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, "application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	}
	evidenceTypes = []string{
		"application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.dsse.envelope.v1+json", "application/vnd.in-toto+json",
		"application/vnd.dev.sigstore.bundle.v0.3+json", "application/json", "application/spdx+json", "text/spdx", "text/spdx+json",
		"application/vnd.cyclonedx+json", "application/jose+json", "application/cose", ocispec.MediaTypeEmptyJSON,
	}
	otherTypes  = []string{"application/octet-stream", "application/vnd.acme.tool", "text/plain", ""}
	configTypes = []string{ocispec.MediaTypeImageConfig, "application/vnd.docker.container.image.v1+json", ocispec.MediaTypeEmptyJSON, "application/vnd.acme.config.v1+json"}
)

// content chooses evidence or a payload.
func (a *author) content() []byte {
	if a.chance(40) {
		return choose(a.rand, statements(a.signed.DigestStr())).content
	}
	p := choose(a.rand, a.kinds)
	content := p.make(a.marker)
	a.payloads[digest.FromBytes(content).String()] = p.kind
	return content
}

func (a *author) mediaType() string {
	return choose(a.rand, choose(a.rand, [][]string{imageLayerTypes, evidenceTypes, evidenceTypes, otherTypes}))
}

// part describes content, and puts it inline, into a blob, both, or somewhere else.
func (a *author) part(mediaType string, content []byte) ocispec.Descriptor {
	d := describe(mediaType, content)
	switch a.rand.IntN(5) {
	case 0:
		d.Data = content
	case 1:
		d.Data = content
		a.putBlob(content)
	case 2:
		d.URLs = []string{a.elsewhere.url + "/" + d.Digest.Encoded()}
		a.elsewhere.contents.Store("/"+d.Digest.Encoded(), content)
	default:
		a.putBlob(content)
	}
	return a.decorate(d, 15)
}

// decorate adds what a descriptor may have, each with a chance in percent.
func (a *author) decorate(d ocispec.Descriptor, percent int) ocispec.Descriptor {
	if a.chance(percent) {
		d.Platform = choose(a.rand, []*ocispec.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "unknown", Architecture: "unknown"}, {}})
	}
	if a.chance(percent) {
		d.ArtifactType = a.mediaType()
	}
	if a.chance(percent) {
		content := a.content()
		subject := a.subject()
		d.Annotations = map[string]string{
			registry.AnnotationContent: fmt.Sprintf("%s %d %s %s", subject.MediaType, subject.Size, a.mediaType(), base64.StdEncoding.EncodeToString(content)),
		}
	}
	if a.chance(percent) {
		d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": a.signed.DigestStr()}
	}
	if a.chance(percent / 3) {
		d.Data = a.content() // other content
	}
	return d
}

// manifest writes an image or artifact manifest.
func (a *author) manifest(subject *ocispec.Descriptor) ocispec.Descriptor {
	configType := choose(a.rand, configTypes)
	config := []byte("{}")
	switch {
	case a.chance(15):
		config = a.content()
	case a.chance(50):
		config = []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	}
	m := ocispec.Manifest{
		Versioned: version(), MediaType: ocispec.MediaTypeImageManifest, Config: a.part(configType, config), Subject: subject,
	}
	if a.chance(15) {
		m.MediaType = "application/vnd.docker.distribution.manifest.v2+json"
	}
	if a.chance(40) {
		m.ArtifactType = a.mediaType()
	}
	runs := false
	for range 1 + a.rand.IntN(3) {
		layer := a.part(a.mediaType(), a.content())
		runs = runs || slices.Contains(imageLayerTypes, layer.MediaType)
		m.Layers = append(m.Layers, layer)
	}
	m.Annotations = a.decorate(ocispec.Descriptor{}, 15).Annotations
	text := encode(a.t, m)
	d := describe(m.MediaType, text)
	if runs && (configType == configTypes[0] || configType == configTypes[1]) {
		a.runnable[d.Digest.String()] = true
	}
	return a.written(d, text, m.ArtifactType)
}

// index writes a list of manifests, lists and blobs.
func (a *author) index(depth int, subject *ocispec.Descriptor, more ...ocispec.Descriptor) ocispec.Descriptor {
	list := ocispec.Index{Versioned: version(), MediaType: ocispec.MediaTypeImageIndex, Manifests: more, Subject: subject}
	for range 1 + a.rand.IntN(3) {
		var d ocispec.Descriptor
		switch {
		case a.chance(20):
			d = a.part(a.mediaType(), a.content())
		case a.chance(20) && depth < 2:
			d = a.index(depth+1, nil)
		case a.chance(30):
			d = a.manifest(a.subject())
		default:
			d = a.manifest(nil)
		}
		list.Manifests = append(list.Manifests, a.decorate(d, 30))
	}
	if a.chance(30) {
		list.ArtifactType = a.mediaType()
	}
	text := encode(a.t, list)
	return a.written(describe(list.MediaType, text), text, list.ArtifactType)
}

// written pushes a manifest or list by its digest, or describes it with its content
// inline, or does both.
func (a *author) written(d ocispec.Descriptor, text []byte, artifactType string) ocispec.Descriptor {
	if a.chance(50) {
		d.Data = text
	}
	if a.chance(80) || d.Data == nil {
		a.offer(d.Digest.String(), d.MediaType, text)
	}
	if a.chance(70) {
		d.ArtifactType = artifactType
	}
	a.elsewhere.contents.Store("/"+d.Digest.Encoded(), text)
	a.refs = append(a.refs, d.Digest.String())
	a.subjects = append(a.subjects, d.Digest.String())
	return d
}

// text is that of what was written.
func (a *author) text(d ocispec.Descriptor) []byte {
	content, _ := a.elsewhere.contents.Load("/" + d.Digest.Encoded())
	return content.([]byte)
}

// under puts what was written under a tag.
func (a *author) under(tag string, d ocispec.Descriptor) {
	if a.offer(tag, d.MediaType, a.text(d)) {
		a.lost[tag] = true
	}
	a.refs = append(a.refs, tag)
}

// write puts something at one of the places where evidence is.
func (a *author) write() {
	subject := a.subject()
	switch a.rand.IntN(7) {
	case 0, 1: // the entries that are there stay
		lost := a.lost[a.tag("")]
		a.under(a.tag(""), a.index(0, nil, a.listed()...))
		a.lost[a.tag("")] = lost
	case 2, 3:
		tag := a.tag(choose(a.rand, []string{"", ".sig", ".att", ".sbom"}))
		if a.chance(20) {
			a.under(tag, a.index(0, nil))
		} else {
			a.under(tag, a.manifest(nil))
		}
	case 4:
		a.list(a.manifest(subject))
	case 5:
		a.list(a.index(0, subject))
	default: // a chain
		d := a.manifest(subject)
		a.list(d)
		next := a.manifest(&ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size})
		a.list(next)
		a.under(strings.Replace(d.Digest.String(), ":", "-", 1)+".sig", next)
	}
}

// list names a referrer in the fallback tag, without the referrers API.
func (a *author) list(d ocispec.Descriptor) {
	if a.stage.listing {
		return
	}
	text := encode(a.t, ocispec.Index{Versioned: version(), MediaType: ocispec.MediaTypeImageIndex, Manifests: append(a.listed(), a.decorate(d, 20))})
	a.offer(a.tag(""), ocispec.MediaTypeImageIndex, text)
	a.refs = append(a.refs, a.tag(""), digest.FromBytes(text).String())
}

// statement is well-formed evidence of a media type.
type statement struct {
	mediaType string
	content   []byte
}

func statements(subject string) []statement {
	_, hex, _ := strings.Cut(subject, ":")
	intoto := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"app","digest":{"sha256":"` + hex + `"}}],"predicateType":"https://acme.example/p/v1","predicate":{}}`
	envelope, _ := json.Marshal(map[string]any{ // strings alone
		"payloadType": "application/vnd.in-toto+json", "payload": []byte(intoto), "signatures": []map[string]any{{"sig": []byte("none")}},
	})
	return []statement{
		{"application/vnd.in-toto+json", []byte(intoto)},
		{"application/vnd.dsse.envelope.v1+json", envelope},
		{"application/spdx+json", []byte(`{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"app","documentNamespace":"https://acme.example/` + hex +
			`","creationInfo":{"created":"2026-01-01T00:00:00Z","creators":["Tool: acme"]},"packages":[]}`)},
		{"application/vnd.cyclonedx+json", []byte(`{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"metadata":{"component":{"type":"container","name":"` + hex + `"}}}`)},
	}
}

// attach attaches well-formed evidence, and returns the digests that must arrive.
func (a *author) attach() []string {
	s := choose(a.rand, statements(a.signed.DigestStr()))
	a.putBlob(s.content)
	a.putBlob([]byte("{}"))
	m := encode(a.t, ocispec.Manifest{
		Versioned: version(), MediaType: ocispec.MediaTypeImageManifest, ArtifactType: s.mediaType, Subject: a.subject(),
		Config: describe(ocispec.MediaTypeEmptyJSON, []byte("{}")), Layers: []ocispec.Descriptor{describe(s.mediaType, s.content)},
	})
	d := describe(ocispec.MediaTypeImageManifest, m)
	d.ArtifactType = s.mediaType
	a.put(d.Digest.String(), d.MediaType, m)
	a.refer(d)
	return []string{d.Digest.String(), digest.FromBytes(s.content).String()}
}
