package readers

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// unsigned is an image without a signature.
type unsigned struct {
	manifest, config, layer []byte
	// inline is true where lists that name its manifest hold that, too.
	inline bool
}

// digests are those of all that must not arrive.
func (u unsigned) digests() []string {
	var all []string
	for _, content := range [][]byte{u.manifest, u.config, u.layer} {
		all = append(all, digest.FromBytes(content).String())
	}
	return all
}

// forms say what of an unsigned image is inline, and what is in blobs.
var forms = []struct {
	name          string
	config, layer bool // inline
	layerType     string
}{
	{"inline", true, true, ocispec.MediaTypeImageLayerGzip},
	{"layer-inline", false, true, ocispec.MediaTypeImageLayerGzip},
	{"layer-inline-as-statement", false, true, "application/vnd.in-toto+json"},
	{"blobs", false, false, ocispec.MediaTypeImageLayerGzip},
}

// archive is a layer with one file. Its content can be read in the compressed
// bytes.
func archive(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	must(t, err)
	files := tar.NewWriter(zip)
	must(t, files.WriteHeader(&tar.Header{Name: "bin/sh", Mode: 0o755, Size: int64(len(text))}))
	_, err = files.Write([]byte(text))
	must(t, err)
	must(t, files.Close())
	must(t, zip.Close())
	return out.Bytes()
}

// build makes an unsigned image, and pushes what of it is a blob.
func (a *target) build(form int, subject *ocispec.Descriptor) unsigned {
	a.t.Helper()
	f := forms[form]
	text := "unsigned for " + a.repo.RepositoryStr()
	u := unsigned{
		layer:  archive(a.t, text),
		config: []byte(`{"architecture":"amd64","os":"linux","author":"` + text + `","config":{"Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:` + fmt.Sprintf("%064d", 1) + `"]}}`),
		inline: f.config || f.layer,
	}
	part := func(mediaType string, content []byte, inline bool) ocispec.Descriptor {
		d := describe(mediaType, content)
		if inline {
			d.Data = content
		} else {
			a.putBlob(content)
		}
		return d
	}
	u.manifest = encode(a.t, ocispec.Manifest{
		Versioned: version(), MediaType: ocispec.MediaTypeImageManifest, Subject: subject,
		Config: part(ocispec.MediaTypeImageConfig, u.config, f.config),
		Layers: []ocispec.Descriptor{part(f.layerType, u.layer, f.layer)},
	})
	return u
}

// entry is that of an unsigned image in a list, for a platform.
func (a *target) entry(u unsigned) ocispec.Descriptor {
	d := describe(ocispec.MediaTypeImageManifest, u.manifest)
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	if u.inline {
		d.Data = u.manifest
	}
	a.put(d.Digest.String(), d.MediaType, u.manifest) // some registries ask for it
	return d
}

// lure is what the attacker wants others to pull.
type lure struct {
	unsigned
	// refs lead to the unsigned image. Of these, refused are those that nothing may
	// be had by at all.
	refs, refused []string
}

// places are where an attacker puts an unsigned image.
var places = []struct {
	name string
	put  func(a *target, form int) lure
}{
	{"fallback-tag", func(a *target, form int) lure {
		u := a.build(form, nil)
		list := encode(a.t, ocispec.Index{Versioned: version(), MediaType: ocispec.MediaTypeImageIndex, Manifests: append(a.listed(), a.entry(u))})
		a.put(a.tag(""), ocispec.MediaTypeImageIndex, list)
		image := digest.FromBytes(u.manifest).String()
		return lure{u, []string{a.tag(""), digest.FromBytes(list).String(), image}, []string{digest.FromBytes(list).String(), image}}
	}},
	{"fallback-tag-as-image", func(a *target, form int) lure { return a.putUnder("", form) }},
	{"sig-tag", func(a *target, form int) lure { return a.putUnder(".sig", form) }},
	{"att-tag", func(a *target, form int) lure { return a.putUnder(".att", form) }},
	{"sbom-tag", func(a *target, form int) lure { return a.putUnder(".sbom", form) }},
	{"referrer", func(a *target, form int) lure {
		u := a.build(form, a.subject())
		d := describe(ocispec.MediaTypeImageManifest, u.manifest)
		a.put(d.Digest.String(), d.MediaType, u.manifest)
		a.refer(d)
		return lure{u, []string{d.Digest.String()}, []string{d.Digest.String()}}
	}},
	{"referring-index", func(a *target, form int) lure {
		u := a.build(form, nil)
		list := encode(a.t, ocispec.Index{
			Versioned: version(), MediaType: ocispec.MediaTypeImageIndex, Subject: a.subject(), Manifests: []ocispec.Descriptor{a.entry(u)},
		})
		d := describe(ocispec.MediaTypeImageIndex, list)
		a.put(d.Digest.String(), d.MediaType, list)
		a.refer(d)
		refs := []string{d.Digest.String(), digest.FromBytes(u.manifest).String()}
		return lure{u, refs, refs}
	}},
}

// putUnder puts an unsigned image under one of the tags for the signed one.
func (a *target) putUnder(suffix string, form int) lure {
	a.t.Helper()
	u := a.build(form, nil)
	a.put(a.tag(suffix), ocispec.MediaTypeImageManifest, u.manifest)
	refs := []string{a.tag(suffix), digest.FromBytes(u.manifest).String()}
	if suffix == "" {
		return lure{u, refs, refs[1:]} // what holds a list for those who ask for it
	}
	return lure{u, refs, refs}
}

// refer adds a referrer to the fallback tag, without the referrers API.
func (a *target) refer(d ocispec.Descriptor) {
	a.t.Helper()
	if a.stage.listing {
		return
	}
	a.put(a.tag(""), ocispec.MediaTypeImageIndex, encode(a.t, ocispec.Index{
		Versioned: version(), MediaType: ocispec.MediaTypeImageIndex, Manifests: append(a.listed(), d),
	}))
}

// An attacker who may push to a repository with one signed image puts an unsigned
// one where evidence of the signed one is: whole in descriptors' data, in blobs, and
// half and half. Nothing of it reaches a client, by tag, by digest or through the
// list of referrers, and the signed image goes on to be pulled.
func TestAttack_P15_ContainerdPullsNoInlineImage(t *testing.T) {
	pullsNothingUnsigned(t, readerCalled(t, "containerd"))
}

func TestAttack_P15_GoContainerRegistryPullsNoInlineImage(t *testing.T) {
	pullsNothingUnsigned(t, readerCalled(t, "go-containerregistry"))
}

func TestAttack_P15_ORASPullsNoInlineImage(t *testing.T) {
	pullsNothingUnsigned(t, readerCalled(t, "oras-go"))
}

func pullsNothingUnsigned(t *testing.T, r reader) {
	for _, u := range upstreams {
		s := newStage(t, u.make(), u.listing)
		for _, p := range places {
			for form, f := range forms {
				for way := range s.ways("") {
					t.Run(u.name+"/"+p.name+"/"+f.name+"/"+way, func(t *testing.T) {
						t.Parallel()
						a := s.newTarget(t, "team/"+p.name+"/"+f.name+"/"+way)
						l := p.put(a, form)
						from := s.ways(a.repo.RepositoryStr())[way]
						for _, ref := range []string{"signed", a.signed.DigestStr()} {
							got := newHaul()
							must(t, r.pull(t, from, ref, got))
							a.pulled(t, got)
						}
						a.nothingOf(t, r, from, l)
						from.transport.onlyRefused(t)
					})
				}
			}
		}
	}
}

// nothingOf fails the test where something of an unsigned image arrives.
func (a *target) nothingOf(t *testing.T, r reader, from access, l lure) {
	t.Helper()
	for _, ref := range append(l.refs, a.tag("")) {
		got := newHaul()
		got.failed(r.pull(t, from, ref, got))
		l.absent(t, ref, got)
	}
	for _, ref := range l.refused {
		got := newHaul()
		if err := r.pull(t, from, ref, got); err == nil {
			t.Errorf("%s was answered, want a refusal", ref)
		}
		if status, body := from.get(t, "manifests/"+ref); status != http.StatusForbidden || !bytes.Contains(body, []byte(`"DENIED"`)) {
			t.Errorf("%s: %d %.400q, want 403 and DENIED", ref, status, body)
		}
	}
	got := newHaul()
	must(t, r.list(t, from, a.signed.DigestStr(), got))
	l.absent(t, "referrers", got)
}

func (u unsigned) absent(t *testing.T, ref string, got *haul) {
	t.Helper()
	for i, part := range []string{"manifest", "config", "layer"} {
		if got.has(u.digests()[i]) {
			t.Errorf("%s delivered the %s of an unsigned image", ref, part)
		}
	}
}

// Around the gate, each reader ends up with the unsigned image: by what is inline
// where it follows that, and otherwise by blobs. So the tests above ask for what
// could be had.
func TestReadersFollowWhatAnAttackerWrites(t *testing.T) {
	s := newStage(t, upstreams[1].make(), upstreams[1].listing)
	for _, r := range readers {
		for _, p := range places {
			for form, f := range forms {
				t.Run(r.name+"/"+p.name+"/"+f.name, func(t *testing.T) {
					t.Parallel()
					a := s.newTarget(t, "team/"+r.name+"/"+p.name+"/"+f.name)
					l := p.put(a, form)
					got := r.everything(t, s.around(a.repo.RepositoryStr()), l.refs, nil)
					want := r.inline || !f.layer
					if layer := l.digests()[2]; got.has(layer) != want {
						t.Errorf("the unsigned layer arrived: %v, want %v (%v)", !want, want, got.errs)
					}
				})
			}
		}
	}
}
