package gate_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func TestASignedImagePassesAndAnUnsignedOneDoesNot(t *testing.T) {
	for _, o := range []registrytest.Options{{}, {NoReferrers: true}} {
		s := newScene(t, o, nil)
		for _, ref := range []string{"signed", s.signed.DigestStr(), "signed"} {
			r := s.passes(ref)
			if r.header.Get("Docker-Content-Digest") != s.signed.DigestStr() || r.header.Get("Content-Type") == "" {
				t.Errorf("%s: %v", ref, r.header)
			}
		}
		for _, part := range s.parts(s.signed) {
			want, _ := s.hosted.Blob("team/app", part.Digest.String())
			if r := s.get(blobPath(part)); r.status != http.StatusOK || !bytes.Equal(r.body, want) {
				t.Errorf("%s: %d %d bytes", part.Digest, r.status, len(r.body))
			}
		}
		for _, ref := range []string{"unsigned", s.unsigned.DigestStr()} {
			r := s.denied("/v2/team/app/manifests/"+ref, "no-signature")
			for _, says := range []string{known + "/team/app", s.unsigned.DigestStr(), "no signature is attached", "**"} {
				if !strings.Contains(r.message(), says) {
					t.Errorf("the message does not say %q: %s", says, r.message())
				}
			}
		}
		if got := s.events.reasons(gate.EventDenied); len(got) != 2 || got[0] != string(verify.ReasonNoSignature) {
			t.Errorf("%v", got)
		}
	}
}

func TestAttack_P2_HEADAndRangesAndConditionsAreJudgedAsGET(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		for _, header := range [][]string{nil, {"Range", "bytes=0-1"}, {"If-None-Match", `"` + s.unsigned.DigestStr() + `"`}, {"Accept", "*/*"}, {"Accept", "text/html"}, {"If-None-Match", "*"}} {
			for _, ref := range []string{"unsigned", s.unsigned.DigestStr()} {
				r := s.ask(method, "/v2/team/app/manifests/"+ref, header...)
				if r.status != http.StatusForbidden || r.header.Get("Docker-Content-Digest") != "" || r.header.Get("ETag") != "" {
					t.Errorf("%s %s %v: %d %v", method, ref, header, r.status, r.header)
				}
			}
			for _, part := range s.parts(s.unsigned) {
				if r := s.ask(method, blobPath(part), header...); r.status != http.StatusForbidden || r.header.Get("ETag") != "" {
					t.Errorf("%s %s %v: %d", method, part.Digest, header, r.status)
				}
			}
		}
	}
	r := s.ask(http.MethodHead, "/v2/team/app/manifests/signed")
	if get := s.passes("signed"); r.status != http.StatusOK || len(r.body) != 0 || r.header.Get("Content-Length") != get.header.Get("Content-Length") ||
		r.header.Get("Docker-Content-Digest") != s.signed.DigestStr() || r.header.Get("Content-Type") != get.header.Get("Content-Type") {
		t.Errorf("%d %v", r.status, r.header)
	}
	if r := s.get("/v2/team/app/manifests/signed", "If-None-Match", `"`+s.signed.DigestStr()+`"`); r.status != http.StatusNotModified || len(r.body) != 0 {
		t.Errorf("If-None-Match: %d", r.status)
	}
	if r := s.get("/v2/team/app/manifests/signed", "Accept", "application/vnd.docker.distribution.manifest.v2+json"); r.status != http.StatusNotFound || !strings.Contains(r.message(), "Accept") {
		t.Errorf("Accept of another format: %d %s", r.status, r.body)
	}
}

func TestAttack_P3_OnlyBlobsOfPassedManifestsOfTheRepository(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	mine := s.parts(s.signed)
	// Nothing was pulled yet.
	s.denied(blobPath(mine[0]), "no manifest that was let through")
	s.passes("signed")
	s.get("/v2/team/app/manifests/unsigned")
	for _, part := range s.parts(s.unsigned) {
		shared := false
		for _, p := range mine {
			shared = shared || p.Digest == part.Digest
		}
		if !shared {
			s.denied(blobPath(part), "no manifest that was let through")
		}
	}
	s.hosted.PutBlob("team/other", mustBlob(t, s, mine[0]))
	s.denied(strings.Replace(blobPath(mine[0]), "team/app", "team/other", 1), "no manifest that was let through")
	if r := s.get(strings.Replace(blobPath(mine[0]), "team/app", "team/none", 1)); r.status != http.StatusNotFound {
		t.Errorf("a blob that is nowhere: %d", r.status)
	}
	if r := s.get(blobPath(mine[0])); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func mustBlob(t *testing.T, s *scene, d v1.Descriptor) []byte {
	t.Helper()
	content, ok := s.hosted.Blob("team/app", d.Digest.String())
	if !ok {
		t.Fatalf("no blob %s", d.Digest)
	}
	return content
}

func TestAttack_I3_ChildrenPassOnceAVerifiedIndexWasSeen(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"), v1.Platform{OS: "linux", Architecture: "amd64"}, v1.Platform{OS: "linux", Architecture: "arm64"})
	must(t, err)
	s.sign(index)
	child := "/v2/team/app/manifests/" + children[1].DigestStr()
	s.denied(child, "no-signature")
	s.passes("index")
	s.passes(children[1].DigestStr())
	for _, part := range s.parts(children[1]) {
		if r := s.get(blobPath(part)); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", part.Digest, r.status, r.body)
		}
	}
	// The other tenant's repository holds the same child.
	_, text, _ := s.hosted.Manifest("team/app", children[0].DigestStr())
	s.hosted.Put("team/other", children[0].DigestStr(), "application/vnd.oci.image.manifest.v1+json", text)
	s.denied("/v2/team/other/manifests/"+children[0].DigestStr(), "no-signature")
}

func TestAttack_P4_JudgedForTheRepositoryUnderTheCurrentPolicy(t *testing.T) {
	source := &replaceable{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
		source.v = c.Verifier.(*verify.Verifier)
		c.Verifier = source
	})
	s.passes("signed")
	layer := s.parts(s.signed)[1]
	if r := s.get(blobPath(layer)); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	// The same bytes elsewhere, where no key has signed them.
	_, text, _ := s.hosted.Manifest("team/app", "signed")
	s.hosted.Put("team/evil", "signed", "application/vnd.oci.image.manifest.v1+json", text)
	s.denied("/v2/team/evil/manifests/"+s.signed.DigestStr(), "no-signature")
	// The policy changes: the key is revoked.
	source.set(s.verifier(func(p *policy.Policy) {
		p.DenyDigests = []policy.DeniedDigest{{Digest: s.signed.DigestStr(), Reason: "CVE-2026-1"}}
	}))
	s.denied("/v2/team/app/manifests/signed", "CVE-2026-1")
	s.denied(blobPath(layer), "CVE-2026-1")
}

func TestAttack_P5_WhatIsServedIsWhatWasJudgedWhileTheTagMoves(t *testing.T) {
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.TagTTL = 1 })
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: "signed", Do: registrytest.AlternateTag(s.signed.DigestStr(), s.unsigned.DigestStr())})
	for i := range 20 {
		r := s.get("/v2/team/app/manifests/signed")
		switch {
		case r.status == http.StatusOK && r.header.Get("Docker-Content-Digest") == s.signed.DigestStr():
			m, err := registry.NewManifest("", r.body)
			must(t, err)
			if m.Descriptor.Digest.String() != s.signed.DigestStr() {
				t.Fatalf("%d: served %s as %s", i, m.Descriptor.Digest, s.signed)
			}
		case r.status == http.StatusForbidden:
		default:
			t.Fatalf("%d: %d %s", i, r.status, r.body)
		}
	}
}

func TestEvidencePassesForASubjectThatPasses(t *testing.T) {
	for _, o := range []registrytest.Options{{}, {NoReferrers: true}} {
		s := newScene(t, o, nil)
		s.sign(s.signed, registry.FormatSimpleSigning)
		list := s.get("/v2/team/app/referrers/" + s.signed.DigestStr())
		if list.status != http.StatusOK || !strings.Contains(string(list.body), "sigstore.bundle") {
			t.Fatalf("%d %s", list.status, list.body)
		}
		if r := s.get("/v2/team/app/referrers/" + s.signed.DigestStr() + "?artifactType=x/y"); r.status != http.StatusOK || strings.Contains(string(r.body), "sigstore") || r.header.Get("OCI-Filters-Applied") != "artifactType" {
			t.Errorf("%d %s", r.status, r.body)
		}
		fallback := s.get("/v2/team/app/manifests/" + strings.Replace(s.signed.DigestStr(), ":", "-", 1))
		if fallback.status != http.StatusOK || !bytes.Equal(fallback.body, list.body) {
			t.Errorf("fallback tag: %d %s", fallback.status, fallback.body)
		}
		s.get("/v2/team/app/manifests/" + fallback.header.Get("Docker-Content-Digest"))
		tag := s.passes(strings.Replace(s.signed.DigestStr(), ":", "-", 1) + ".sig")
		s.passes(tag.header.Get("Docker-Content-Digest"))
		s.denied("/v2/team/app/referrers/"+s.unsigned.DigestStr(), "no-signature")
		s.denied("/v2/team/app/manifests/"+strings.Replace(s.unsigned.DigestStr(), ":", "-", 1)+".sig", "no-signature")

		// What verifies through the gate comes to the same result.
		client, err := remote.New(quick)
		must(t, err)
		ref, err := registry.ParseReference(strings.TrimPrefix(s.server.URL, "http://") + "/team/app:signed")
		must(t, err)
		if res, err := s.verifier(nil).Image(t.Context(), client, ref); err != nil || res.Digest.DigestStr() != s.signed.DigestStr() {
			t.Errorf("through the gate: %v", err)
		}
	}
}

func TestAttack_P3_AnImageThatNamesAGoodSubjectIsNoEvidence(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	for label, mediaType := range map[string]string{"a layer": "application/vnd.oci.image.layer.v1.tar+gzip", "a layer by another name": "application/json"} {
		layer := []byte("\x1f\x8b\x08 an archive: " + label)
		digest := s.hosted.PutBlob("team/app", layer)
		config := s.hosted.PutBlob("team/app", []byte("{}"))
		text := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + config +
			`","size":2},"layers":[{"mediaType":"` + mediaType + `","digest":"` + digest + `","size":` + itoa(len(layer)) + `}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` +
			s.signed.DigestStr() + `","size":1}}`
		m, err := registry.NewManifest("application/vnd.oci.image.manifest.v1+json", []byte(text))
		must(t, err)
		s.hosted.Put("team/app", m.Descriptor.Digest.String(), "application/vnd.oci.image.manifest.v1+json", []byte(text))
		manifest, blob := s.get("/v2/team/app/manifests/"+m.Descriptor.Digest.String()), s.get("/v2/team/app/blobs/"+digest)
		if mediaType != "application/json" && manifest.status != http.StatusForbidden {
			t.Errorf("%s: the manifest passes", label)
		}
		if blob.status != http.StatusForbidden || bytes.Contains(blob.body, []byte("an archive: ")) {
			t.Errorf("%s: %d %s", label, blob.status, blob.body)
		}
		if r := s.get("/v2/team/app/blobs/"+digest, "Range", "bytes=3-"); r.status != http.StatusForbidden {
			t.Errorf("%s: a range of it passes", label)
		}
	}
	// An image under a tag of evidence.
	s.hosted.SetTag("team/app", strings.Replace(s.signed.DigestStr(), ":", "-", 1)+".att", s.unsigned.DigestStr())
	s.denied("/v2/team/app/manifests/"+strings.Replace(s.signed.DigestStr(), ":", "-", 1)+".att", "no evidence")
}

func TestADeniedDigestDoesNotPassAsEvidence(t *testing.T) {
	source := &replaceable{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
		source.v = c.Verifier.(*verify.Verifier)
		c.Verifier = source
	})
	s.sign(s.signed, registry.FormatSimpleSigning)
	tag := strings.Replace(s.signed.DigestStr(), ":", "-", 1) + ".sig"
	digest := s.passes(tag).header.Get("Docker-Content-Digest")
	source.set(s.verifier(func(p *policy.Policy) {
		p.DenyDigests = []policy.DeniedDigest{{Digest: digest, Reason: "forged"}}
	}))
	s.denied("/v2/team/app/manifests/"+digest, "forged")
	s.denied("/v2/team/app/manifests/"+tag, "forged")
	s.passes("signed")
}

func TestEvidenceDoesNotPassForASubjectThatDoesNot(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	bad, err := registrytest.PushReferrer(t.Context(), s.store, s.unsigned, "application/spdx+json", []byte(`{"of":"unsigned"}`), nil)
	must(t, err)
	good, err := registrytest.PushReferrer(t.Context(), s.store, s.signed, "application/spdx+json", []byte(`{"of":"signed"}`), nil)
	must(t, err)
	s.denied("/v2/team/app/manifests/"+bad.Digest.String(), "no-signature")
	s.passes(good.Digest.String())
	for _, d := range []v1.Descriptor{good, bad} {
		for _, part := range s.parts(s.repo.Digest(d.Digest.String())) {
			if part.Size == 2 {
				continue // the empty config, which is everybody's
			}
			if r, passes := s.get(blobPath(part)), d.Digest == good.Digest; (r.status == http.StatusOK) != passes {
				t.Errorf("%s: %d", part.Digest, r.status)
			}
		}
	}
	// What a tag of evidence names must be about the tag's digest.
	tag := strings.Replace(s.signed.DigestStr(), ":", "-", 1) + ".att"
	s.hosted.SetTag("team/app", tag, bad.Digest.String())
	s.denied("/v2/team/app/manifests/"+tag, "no evidence about")
}

func TestAnotherGatesDecisionAboutAnIndexLetsItsChildrenPass(t *testing.T) {
	shared := &sharedDecisions{all: make(map[string][]byte)}
	s := newScene(t, registrytest.Options{}, nil, verify.Options{Cache: sharing(t, shared, "k")})
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	s.passes("index")
	s.start(registrytest.Start(t, s.hosted), nil)
	s.passes(children[0].DigestStr())
	if r := s.get(blobPath(s.parts(children[0])[1])); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
	// The other gate's policy denies the index by now.
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		c.Verifier = s.verifier(func(p *policy.Policy) {
			p.DenyDigests = []policy.DeniedDigest{{Digest: index.DigestStr(), Reason: "withdrawn"}}
		})
	})
	s.denied("/v2/team/app/manifests/"+children[1].DigestStr(), "no-signature")
}

func TestAttack_P4_BlobsOfAnEndedDecisionWaitForANewOne(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil, verify.Options{AllowedTTL: 30 * time.Millisecond, DeniedTTL: time.Millisecond})
	layer := s.parts(s.signed)[1]
	for range 2 {
		s.passes("signed")
		s.hosted.ResetRequests()
		time.Sleep(40 * time.Millisecond)
		if r := s.get(blobPath(layer)); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
		judged := false
		for _, r := range s.hosted.Requests() {
			judged = judged || r.Kind == registrytest.KindReferrers
		}
		if !judged {
			t.Error("the blob passed by a decision that had ended")
		}
	}
	time.Sleep(40 * time.Millisecond)
	remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Hide()})
	for range 2 {
		s.denied(blobPath(layer), "no-signature")
		time.Sleep(5 * time.Millisecond)
	}
	remove()
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(500)})
	if r := s.get(blobPath(layer)); r.status != http.StatusBadGateway {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// A blob of two images passes while one of them does.
func TestABlobOfTwoImagesPassesWhileOneOfThemDoes(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil, verify.Options{AllowedTTL: 30 * time.Millisecond, DeniedTTL: time.Millisecond})
	// The same layer, under another config.
	other, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("other"), registrytest.ImageOptions{Annotations: map[string]string{"a": "b"}})
	must(t, err)
	s.sign(other)
	layer := s.parts(s.signed)[1]
	if s.parts(other)[1].Digest != layer.Digest {
		t.Fatal("the images share no layer")
	}
	s.passes("signed")
	s.passes("other")
	time.Sleep(40 * time.Millisecond)
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Ref: other.DigestStr(), Do: registrytest.Hide()})
	if r := s.get(blobPath(layer)); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.denied("/v2/team/app/manifests/other", "no-signature")
}

func TestWarnRulesPassAndAreMarked(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		c.Verifier = s.verifier(func(p *policy.Policy) { p.Rules[0].Mode = policy.ModeWarn })
	})
	r := s.passes("unsigned")
	if w := r.header.Get("Warning"); !strings.HasPrefix(w, `299 - "not verified`) || !strings.Contains(w, "no-signature") {
		t.Errorf("%q", w)
	}
	if r := s.get(blobPath(s.parts(s.unsigned)[0])); r.status != http.StatusOK || r.header.Get("Warning") == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
	if r := s.passes("signed"); r.header.Get("Warning") != "" {
		t.Errorf("%v", r.header)
	}
}

func TestTagsAreListedPageByPage(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	if r := s.get("/v2/team/app/tags/list"); r.status != http.StatusOK || string(r.body) != `{"name":"team/app","tags":["signed","unsigned"]}` {
		t.Errorf("%d %s", r.status, r.body)
	}
	r := s.get("/v2/team/app/tags/list?n=1&last=signed")
	if r.status != http.StatusOK || string(r.body) != `{"name":"team/app","tags":["unsigned"]}` {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, q := range []string{"n=x", "n=-1", "last=a/b", "n=99999999"} {
		if r := s.get("/v2/team/app/tags/list?" + q); r.status != http.StatusBadRequest {
			t.Errorf("%s: %d", q, r.status)
		}
	}
	if r := s.get("/v2/team/none/tags/list"); r.status != http.StatusNotFound {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// A pull that is under way goes on while the policy is replaced by one that allows
// the same, and ends with one that does not.
func TestPullsUnderWayGoOnWhenThePolicyIsReplaced(t *testing.T) {
	policies := &replaceable{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) {
		policies.v = c.Verifier.(*verify.Verifier)
		c.Verifier = policies
	})
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"), v1.Platform{OS: "linux", Architecture: "amd64"})
	must(t, err)
	s.sign(index)
	s.sign(s.signed, registry.FormatSimpleSigning)
	tag := s.passes(strings.Replace(s.signed.DigestStr(), ":", "-", 1) + ".sig")
	s.passes("signed")
	s.passes("index")
	all := append(s.parts(s.signed), s.parts(s.repo.Digest(tag.header.Get("Docker-Content-Digest")))...)
	for serial := range 3 {
		policies.set(s.verifier(func(p *policy.Policy) { p.Serial = int64(serial + 2) }))
		for _, d := range all {
			if r := s.get(blobPath(d)); r.status != http.StatusOK {
				t.Errorf("policy %d: blob: %d %s", serial, r.status, r.message())
			}
		}
		s.passes(children[0].DigestStr())
	}
	_, stranger := newSigner(t)
	policies.set(s.verifier(func(p *policy.Policy) {
		*p = *policy.Signatures{Keys: []policy.PublicKey{stranger}, Threshold: 1}.Policy()
	}))
	for _, d := range all {
		s.denied(blobPath(d), "")
	}
	s.denied("/v2/team/app/manifests/"+children[0].DigestStr(), "")
}

// One image that cannot be judged now takes its layers from no other one.
func TestABlobPassesAlthoughAnotherImageOfItCannotBeJudged(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil, verify.Options{AllowedTTL: 30 * time.Millisecond, DeniedTTL: time.Millisecond})
	other, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("other"), registrytest.ImageOptions{Annotations: map[string]string{"a": "b"}})
	must(t, err)
	s.sign(other)
	layer := s.parts(s.signed)[1]
	s.passes("signed")
	s.passes("other") // the last is looked at first
	time.Sleep(40 * time.Millisecond)
	remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Ref: other.DigestStr(), Do: registrytest.Status(http.StatusInternalServerError)})
	if r := s.get(blobPath(layer)); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
	remove()
	time.Sleep(40 * time.Millisecond)
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(http.StatusInternalServerError)})
	if r := s.get(blobPath(layer)); r.status != http.StatusBadGateway {
		t.Errorf("none can be judged: %d %s", r.status, r.body)
	}
}

// A policy that is loaded again, and says the same, changes nothing for an index that
// is being pulled.
func TestChildrenPassWhenThePolicyIsReplacedByAnEqualOne(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("multi"))
	must(t, err)
	s.sign(index)
	source := &replaceable{v: s.verifier(nil)}
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier = source })
	s.passes("multi")
	source.set(s.verifier(nil))
	for _, d := range children {
		s.passes(d.DigestStr())
	}
}

// Gates that share decisions let the same pass, whichever of them has judged an index
// and the one that lists it.
func TestImagesOfNestedIndexesPassBehindEachGate(t *testing.T) {
	shared := &sharedDecisions{all: make(map[string][]byte)}
	s := newScene(t, registrytest.Options{}, nil)
	inner, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("inner"))
	must(t, err)
	_, text, _ := s.hosted.Manifest("team/app", "inner")
	h, err := v1.NewHash(inner.DigestStr())
	must(t, err)
	outer, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{MediaType: types.OCIImageIndex, Digest: h, Size: int64(len(text))}},
	})
	must(t, err)
	m, err := registry.NewManifest(string(types.OCIImageIndex), outer)
	must(t, err)
	_, err = s.store.PushManifest(t.Context(), s.repo.Tag("outer"), m, registry.PushOptions{})
	must(t, err)
	s.sign(s.repo.Digest(m.Descriptor.Digest.String()))
	address := registrytest.Start(t, s.hosted)
	open := func() {
		s.judging.Cache = sharing(t, shared, "k")
		s.start(address, nil)
	}
	open()
	s.passes("outer")
	s.passes(inner.DigestStr())
	s.passes(children[0].DigestStr())
	open()
	s.passes(inner.DigestStr())
	s.passes(children[1].DigestStr())
}

func TestAttack_P10_SharedDecisionsOfAClockThatRanAheadAreNotUsed(t *testing.T) {
	shared := &sharedDecisions{all: make(map[string][]byte)}
	s := newScene(t, registrytest.Options{}, nil)
	address := registrytest.Start(t, s.hosted)
	at := time.Now().AddDate(1, 0, 0)
	open := func() {
		now := func() time.Time { return at }
		s.judging = verify.Options{Now: now, Cache: sharing(t, shared, "k")}
		s.start(address, func(c *gate.Config) { c.Now = now })
	}
	open()
	s.passes("signed")
	at = at.AddDate(0, -6, 0) // the clock is set right, and time passes
	open()
	s.hosted.ResetRequests()
	s.passes(s.signed.DigestStr())
	if !slices.ContainsFunc(s.hosted.Requests(), func(r registrytest.Request) bool { return r.Kind == registrytest.KindReferrers }) {
		t.Error("half a year before it could have been reached, a decision is used")
	}
}
