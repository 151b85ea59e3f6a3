package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// loss is a fault by which something of a scene does not arrive.
type loss struct {
	fault registrytest.Fault
	// only says for which registries: "with" the referrers API, "without", or both.
	only string
}

func isManifest(h v1.Hash) func(registrytest.Fault) registrytest.Fault {
	return func(f registrytest.Fault) registrytest.Fault {
		f.Kind, f.Ref = registrytest.KindManifest, h.String()
		return f
	}
}

// losses are ways in which a registry that says yes to everything loses a part of
// the scene.
func losses(t testing.TB, s *scene) map[string]loss {
	root := s.root.Descriptor.Digest
	about := s.referrers[root][0]
	all := make(map[string]loss)
	parts := map[string]func(registrytest.Fault) registrytest.Fault{
		"image":              isManifest(root),
		"child":              isManifest(s.children[1].Descriptor.Digest),
		"referrer":           isManifest(about),
		"child's referrer":   isManifest(s.referrers[s.children[0].Descriptor.Digest][0]),
		"evidence's":         isManifest(s.referrers[about][0]),
		"the tag":            tagged("v1"),
		".sig":               tagged(evidenceTag(s.root, ".sig")),
		".att":               tagged(evidenceTag(s.root, ".att")),
		".sbom":              tagged(evidenceTag(s.root, ".sbom")),
		"child's .sig":       tagged(evidenceTag(s.children[1], ".sig")),
		"list":               tagged(evidenceTag(s.root, "")),
		"list of evidence's": tagged("sha256-" + about.Hex),
	}
	for part, of := range parts {
		only := ""
		if strings.HasPrefix(part, "list") {
			only = "without"
		}
		all[part+" swallowed"] = loss{of(registrytest.Fault{Method: http.MethodPut, Do: registrytest.Swallow()}), only}
		all[part+" other bytes"] = loss{of(registrytest.Fault{Method: http.MethodPut, Do: registrytest.StoreOther(s.children[0].Bytes)}), only}
		all[part+" in HEAD alone"] = loss{of(registrytest.Fault{Method: http.MethodGet, Do: registrytest.Hide()}), only}
		all[part+" unreadable"] = loss{of(registrytest.Fault{Match: onceWritten(), Do: registrytest.Status(400)}), only}
	}
	for part, content := range map[string]string{
		"layer": "layer for amd64", "signature": "signature 1", "attestation": "attestation", "SBOM": "components", "referrer's": "about the index",
	} {
		digest := hashOf(content).String()
		all[part+" blob swallowed"] = loss{registrytest.Fault{Kind: registrytest.KindUpload, Match: func(q registrytest.Request) bool {
			return strings.Contains(q.Query, "digest="+strings.ReplaceAll(digest, ":", "%3A"))
		}, Do: registrytest.Swallow()}, ""}
		all[part+" blob in HEAD alone"] = loss{registrytest.Fault{Method: http.MethodGet, Kind: registrytest.KindBlob, Ref: digest, Do: registrytest.Hide()}, ""}
		all[part+" blob other bytes"] = loss{registrytest.Fault{Method: http.MethodGet, Kind: registrytest.KindBlob, Ref: digest, Do: registrytest.FlipByte()}, ""}
	}
	for label, change := range map[string]func(*v1.Descriptor) bool{
		"left out":        func(d *v1.Descriptor) bool { return d.Digest != about },
		"of another type": func(d *v1.Descriptor) bool { d.ArtifactType = "text/plain"; return true },
		"of another size": func(d *v1.Descriptor) bool { d.Size++; return true },
		"of another media": func(d *v1.Descriptor) bool {
			d.MediaType = "application/vnd.docker.distribution.manifest.v2+json"
			return true
		},
	} {
		all["entry "+label] = loss{registrytest.Fault{Method: http.MethodGet, Kind: registrytest.KindReferrers, Ref: root.String(), Do: registrytest.ChangeReferrers(change)}, "with"}
		f := tagged(evidenceTag(s.root, ""))(registrytest.Fault{Method: http.MethodGet, Do: registrytest.ChangeReferrers(change)})
		all["fallback entry "+label] = loss{f, "without"}
	}
	for part, instead := range map[string]registry.Manifest{
		"evidence about another": testManifest(t, "signature", &s.children[0].Descriptor), "less evidence": layersManifest(t, "signature 2"),
	} {
		f := tagged(evidenceTag(s.root, ".sig"))(registrytest.Fault{Match: onceWritten(), Do: registrytest.Rewrite(func(a *registrytest.Answer) {
			a.Body = instead.Bytes
			a.Header.Set("Docker-Content-Digest", instead.Descriptor.Digest.String())
		})})
		all["tag of "+part] = loss{f, ""}
	}
	all["no list"] = loss{registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.ReplaceReferrers()}, "with"}
	return all
}

// onceWritten matches what is asked after something was written.
func onceWritten() func(registrytest.Request) bool {
	var written atomic.Bool
	return func(q registrytest.Request) bool {
		if q.Method == http.MethodPut {
			written.Store(true)
			return false
		}
		return written.Load()
	}
}

func tagged(tag string) func(registrytest.Fault) registrytest.Fault {
	return func(f registrytest.Fault) registrytest.Fault {
		f.Kind, f.Ref = registrytest.KindManifest, tag
		return f
	}
}

// trustingRegistry is a registry that takes a manifest before what it lists.
func trustingRegistry(t testing.TB, noReferrers bool) (*registrytest.Registry, *located) {
	t.Helper()
	r := registrytest.New(registrytest.Options{NoReferrers: noReferrers})
	return r, &located{newClient(t), mustRepo(registrytest.Start(t, r) + "/team/app")}
}

// The copies wait more than they work, so they run all at once.
func TestAttack_S9_ACopyNoticesWhatARegistryLoses(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var wg sync.WaitGroup
	for _, noReferrers := range []bool{false, true} {
		api := map[bool]string{false: "with", true: "without"}[noReferrers]
		for label, l := range losses(t, s) {
			if l.only != "" && l.only != api {
				continue
			}
			r, dst := trustingRegistry(t, noReferrers)
			r.Inject(l.fault)
			wg.Go(func() {
				_, err := registry.Copy(t.Context(), s.src, s.src.Tag("v1"), dst, dst.repo.Tag("v1"), registry.CopyOptions{})
				if !errors.Is(err, registry.ErrNotConfirmed) {
					t.Errorf("%s API, %s: error is %v", api, label, err)
				}
				if _, _, set := r.Manifest("team/app", "v1"); set && l.fault.Ref != "v1" {
					t.Errorf("%s API, %s: the tag is set", api, label)
				}
			})
		}
	}
	wg.Wait()
}

// A registry that shows a moment later what it has taken loses nothing.
func TestAttack_S9_ACopyWaitsForARegistryThatIsLate(t *testing.T) {
	for _, noReferrers := range []bool{false, true} {
		s := newScene(t)
		r, dst := registryFor(t, noReferrers)
		for _, q := range []registrytest.Fault{
			{Kind: registrytest.KindManifest, Ref: s.root.Descriptor.Digest.String()}, {Kind: registrytest.KindManifest, Ref: "v1"},
			{Kind: registrytest.KindManifest, Ref: evidenceTag(s.root, ".sbom")},
			{Kind: registrytest.KindBlob, Ref: hashOf("signature 1").String()},
		} {
			q.Method, q.Times, q.Match, q.Do = http.MethodGet, 2, onceWritten(), registrytest.Hide()
			if q.Kind == registrytest.KindBlob {
				q.Match = nil
			}
			r.Inject(q)
		}
		must(t, s.copyTo(t, dst, registry.CopyOptions{}))
		s.wantAll(t, dst)
	}
}

// What a copy finds at the destination is looked at too: there is nothing to send.
func TestAttack_S9_ACopyDoesNotBelieveThatEvidenceIsThere(t *testing.T) {
	for _, noReferrers := range []bool{false, true} {
		s := newScene(t)
		for label, damage := range map[string]func(r *registrytest.Registry){
			"blob": func(r *registrytest.Registry) {
				r.PutBlobAs("team/app", hashOf("signature 1").String(), []byte("other"))
			},
			"manifest": func(r *registrytest.Registry) {
				r.Put("team/app", s.children[0].Descriptor.Digest.String(), manifestType, []byte("{}"))
			},
		} {
			r, dst := trustingRegistry(t, noReferrers)
			must(t, s.copyTo(t, dst, registry.CopyOptions{}))
			damage(r)
			if err := s.copyTo(t, dst, registry.CopyOptions{}); err != nil {
				t.Errorf("%s: %v", label, err)
			}
			s.wantAll(t, dst)
		}
	}
}

func TestAttack_S9_ATagThatIsSwallowedNamesWhereItLeads(t *testing.T) {
	s := newScene(t)
	r, dst := trustingRegistry(t, false)
	must(t, s.copyTo(t, dst, registry.CopyOptions{}))
	other := s.children[0].Descriptor.Digest
	r.SetTag("team/app", "v1", other.String())
	r.Inject(tagged("v1")(registrytest.Fault{Method: http.MethodPut, Do: registrytest.Swallow()}))
	err := s.copyTo(t, dst, registry.CopyOptions{})
	wantKind(t, err, registry.ErrNotConfirmed)
	if !strings.Contains(fmt.Sprint(err), other.String()) || !strings.Contains(fmt.Sprint(err), "tag v1") {
		t.Errorf("%v does not say where the tag leads", err)
	}
}

func TestAttack_S9_AttachAndDetachNoticeASwallowedTagSoon(t *testing.T) {
	for _, noReferrers := range []bool{false, true} {
		h := host(t, registrytest.Options{NoReferrers: noReferrers}, remote.Options{})
		attach(t, h.client, h.image, simpleItem("a"), bundleItem("b"))
		h.Inject(registrytest.Fault{Method: http.MethodPut, Kind: registrytest.KindManifest, Do: registrytest.Swallow()})
		h.Inject(registrytest.Fault{Method: http.MethodDelete, Do: registrytest.Status(202)})
		start := time.Now()
		for _, item := range []registry.Item{simpleItem("c"), bundleItem("d")} {
			_, err := registry.Attach(t.Context(), h.client, h.image, item)
			wantKind(t, err, registry.ErrNotConfirmed)
		}
		for item, err := range registry.Evidence(t.Context(), h.Store(), h.image, registry.Limits{}) {
			must(t, err)
			wantKind(t, registry.Detach(t.Context(), h.client, h.image, item), registry.ErrNotConfirmed)
		}
		if d := time.Since(start); d > 30*time.Second {
			t.Errorf("it took %v", d)
		}
	}
}

func TestAttack_S9_ConfirmDoesNotTakeAnEntryOfAnotherSize(t *testing.T) {
	for _, noReferrers := range []bool{false, true} {
		h := host(t, registrytest.Options{NoReferrers: noReferrers}, remote.Options{})
		item := bundleItem("b")
		at, err := registry.Attach(t.Context(), h.client, h.image, item)
		must(t, err)
		for _, kind := range []registrytest.Kind{registrytest.KindReferrers, registrytest.KindManifest} {
			h.Inject(registrytest.Fault{Method: http.MethodGet, Kind: kind, Do: registrytest.ChangeReferrers(func(d *v1.Descriptor) bool { d.Size--; return true })})
		}
		wantKind(t, registry.Confirm(t.Context(), h.client, h.image, item, at), registry.ErrNotConfirmed)
	}
}

func TestAttack_S9_APushNoticesWhatARegistryLoses(t *testing.T) {
	for label, f := range map[string]registrytest.Fault{
		"manifests":  {Method: http.MethodPut, Kind: registrytest.KindManifest, Do: registrytest.Swallow()},
		"one child":  {Method: http.MethodPut, Kind: registrytest.KindManifest, Times: 1, Do: registrytest.Swallow()},
		"a blob":     {Method: http.MethodPut, Kind: registrytest.KindUpload, Times: 1, Do: registrytest.Swallow()},
		"other blob": {Method: http.MethodPut, Kind: registrytest.KindUpload, Times: 1, Do: registrytest.StoreOther([]byte("other"))},
	} {
		r, dst := trustingRegistry(t, false)
		r.Inject(f)
		index, err := random.Index(64, 2, 2)
		must(t, err)
		_, err = registry.Push(t.Context(), dst, dst.repo, index)
		if !errors.Is(err, registry.ErrNotConfirmed) {
			t.Errorf("%s: %v", label, err)
		}
	}
}
