package gate_test

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// rules are those of a policy with evidence apart, about images alone.
func rulesApart(at name.Repository) func(*policy.Policy) {
	return func(p *policy.Policy) {
		p.Rules[0].Images, p.Rules[0].EvidenceRepository = []string{known + "/team/**"}, at.Name()
	}
}

// signApart signs an image with its evidence in a repository of any registry.
func (s *scene) signApart(hosted *registrytest.Registry, subject name.Digest, at name.Repository) *sign.Signed {
	s.t.Helper()
	image := subject
	store := hosted.Store()
	if hosted != s.hosted { // a bundle describes the image, which the other registry lacks
		image = at.Digest(subject.DigestStr())
		_, text, _ := s.hosted.Manifest("team/app", subject.DigestStr())
		hosted.Put(at.RepositoryStr(), subject.DigestStr(), "application/vnd.oci.image.manifest.v1+json", text)
	}
	signed, err := sign.Image(s.t.Context(), store, image, sign.ImageOptions{EvidenceRepository: at}, s.signer)
	must(s.t, err)
	return signed
}

func TestEvidenceRepository_IsReadInAnyRegistry(t *testing.T) {
	other := registrytest.New(registrytest.Options{})
	elsewhere, err := name.NewRepository(registrytest.Start(t, other) + "/evidence/all")
	must(t, err)
	here, err := name.NewRepository(known + "/evidence/all")
	must(t, err)
	for what, at := range map[string]name.Repository{"the same registry": here, "another": elsewhere} {
		var v *verify.Verifier
		s := newScene(t, registrytest.Options{}, nil)
		v = s.verifier(rulesApart(at))
		s.server.Close()
		s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier = v })
		s.denied("/v2/team/app/manifests/signed", "no-signature") // what is beside the image does not count
		hosted := s.hosted
		if at == elsewhere {
			hosted = other
		}
		s.server.Close()
		s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier = s.verifier(rulesApart(at)) })
		s.signApart(hosted, s.unsigned, at)
		r := s.passes("unsigned")
		if r.header.Get("Docker-Content-Digest") != s.unsigned.DigestStr() {
			t.Errorf("%s: %v", what, r.header)
		}
	}
}

func TestAttack_P3_TheEvidenceRepositoryIsNotLetThroughUnjudged(t *testing.T) {
	at, err := name.NewRepository(known + "/evidence/all")
	must(t, err)
	s := newScene(t, registrytest.Options{}, nil)
	s.server.Close()
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier = s.verifier(rulesApart(at)) })
	signed := s.signApart(s.hosted, s.unsigned, at)
	_, text, _ := s.hosted.Manifest("team/app", "unsigned")
	s.hosted.Put("evidence/all", "image", "application/vnd.oci.image.manifest.v1+json", text)
	s.passes("unsigned")
	evidence := signed.Signatures[0].Evidence.DigestStr()
	for _, path := range []string{
		"/v2/evidence/all/manifests/image", "/v2/evidence/all/manifests/" + s.unsigned.DigestStr(), "/v2/evidence/all/manifests/" + evidence,
		"/v2/evidence/all/referrers/" + s.unsigned.DigestStr(),
	} {
		if r := s.get(path); r.status != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	for _, part := range s.parts(s.unsigned) {
		path := "/v2/evidence/all/blobs/" + part.Digest.String()
		if r := s.get(path); r.status != http.StatusForbidden && r.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	// Of another repository, it is no evidence of the image's.
	if r := s.get("/v2/team/app/manifests/" + evidence); r.status == http.StatusOK {
		t.Errorf("evidence of another repository: %d %s", r.status, r.body)
	}
}
