package gate_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// ruled is a scene whose policy is about team/** alone, denies team/secret/**, and
// denies the digest of the unsigned image. Each repository has images.
func ruled(t *testing.T, o registrytest.Options, change func(*gate.Config)) *scene {
	t.Helper()
	s := newScene(t, o, nil)
	for _, repo := range []string{"team/secret/app", "other/app"} {
		at, err := name.NewRepository(known + "/" + repo)
		must(t, err)
		image, err := registrytest.PushImage(context.Background(), s.store, at.Tag("there"), registrytest.ImageOptions{})
		must(t, err)
		if image.DigestStr() != s.signed.DigestStr() {
			t.Fatal("the image has another digest in each repository")
		}
	}
	s.hosted.ResetRequests()
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		c.Verifier = s.verifier(func(p *policy.Policy) {
			own := p.Rules[0]
			own.Images = []string{known + "/team/**"}
			p.Rules = []policy.Rule{own, {Images: []string{known + "/team/secret/**"}, Deny: true, Reason: "not released"}}
			p.DenyDigests = []policy.DeniedDigest{{Digest: s.unsigned.DigestStr(), Reason: "stolen key"}}
		})
		if change != nil {
			change(c)
		}
	})
	return s
}

// everyEndpoint are paths of a repository, of content that is there and that is not.
func (s *scene) everyEndpoint(repo string) []string {
	there := s.signed.DigestStr()
	absent := "sha256:" + strings.Repeat("0", 64)
	layer := s.parts(s.signed)[1].Digest.String()
	var all []string
	for _, ref := range []string{"there", "absent", there, absent} {
		all = append(all, "/manifests/"+ref)
	}
	for _, digest := range []string{there, absent} {
		hex := strings.TrimPrefix(digest, "sha256:")
		all = append(all, "/manifests/sha256-"+hex, "/manifests/sha256-"+hex+".sig", "/manifests/sha256-"+hex+".att", "/referrers/"+digest, "/referrers/"+digest+"?artifactType=a%2Fb")
	}
	for _, digest := range []string{layer, absent} {
		all = append(all, "/blobs/"+digest)
	}
	all = append(all, "/tags/list", "/tags/list?n=2&last=there")
	for i, path := range all {
		all[i] = "/v2/" + repo + path
	}
	return all
}

func TestAttack_P19_NothingIsAskedBeforeTheRule(t *testing.T) {
	for _, mode := range []gate.Credentials{gate.Operator, gate.PassThroughOrAnonymous} {
		for _, open := range []bool{false, true} {
			s := ruled(t, registrytest.Options{}, func(c *gate.Config) { c.Credentials, c.InsecureOpenBlobs = mode, open })
			for repo, reason := range map[string]verify.Reason{"other/app": verify.ReasonNoRule, "nowhere/app": verify.ReasonNoRule, "team/secret/app": verify.ReasonDeniedByRule, "team/secret/none": verify.ReasonDeniedByRule} {
				for _, path := range s.everyEndpoint(repo) {
					for _, method := range []string{http.MethodGet, http.MethodHead} {
						r := s.ask(method, path, "Range", "bytes=0-0")
						if r.status != http.StatusForbidden || method == http.MethodGet && !strings.HasPrefix(r.message(), "DENIED: "+known+"/"+repo) {
							t.Errorf("%s, %s %s: %d %s", mode, method, path, r.status, r.body)
						}
						if method == http.MethodGet && !strings.Contains(r.message(), string(reason)) {
							t.Errorf("%s: %s; want %s", path, r.message(), reason)
						}
					}
				}
			}
			if asked := s.hosted.Requests(); len(asked) > 0 {
				t.Errorf("%s: the upstream was asked %d times, first for %s", mode, len(asked), asked[0].Path)
			}
		}
	}
}

func TestAttack_P19_DeniedDigestIsRefusedWithoutTheUpstream(t *testing.T) {
	s := ruled(t, registrytest.Options{}, nil)
	digest := s.unsigned.DigestStr()
	tag := strings.Replace(digest, ":", "-", 1)
	for _, path := range []string{"/manifests/" + digest, "/blobs/" + digest, "/referrers/" + digest, "/manifests/" + tag, "/manifests/" + tag + ".sig", "/manifests/" + tag + ".att", "/manifests/" + tag + ".sbom"} {
		s.denied("/v2/team/app"+path, string(verify.ReasonDeniedDigest))
		s.denied("/v2/team/nowhere"+path, string(verify.ReasonDeniedDigest))
	}
	if asked := s.hosted.Requests(); len(asked) > 0 {
		t.Errorf("the upstream was asked %d times, first for %s", len(asked), asked[0].Path)
	}
	s.passes("signed") // what is allowed goes on to pass
}

func TestAttack_P19_ExpiredPolicyIsKnownWithoutTheUpstream(t *testing.T) {
	s := ruled(t, registrytest.Options{}, nil)
	s.hosted.ResetRequests()
	expired := s.verifier(func(p *policy.Policy) { p.Expires = time.Unix(1, 0) })
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier = expired })
	for _, path := range s.everyEndpoint("team/app") {
		s.denied(path, string(verify.ReasonPolicyExpired))
	}
	if asked := s.hosted.Requests(); len(asked) > 0 {
		t.Errorf("the upstream was asked %d times", len(asked))
	}
}

func TestAttack_P19_TransportAsksNothingBeforeTheRule(t *testing.T) {
	s := ruled(t, registrytest.Options{}, nil)
	address := registrytest.Start(t, s.hosted)
	p := policy.Signatures{Keys: []policy.PublicKey{s.key}, Threshold: 1}.Policy()
	p.Rules[0].Images = []string{address + "/team/**"}
	v, err := verify.New(p, verify.Options{})
	must(t, err)
	transport, err := gate.NewTransport(gate.Config{Verifier: v, Client: quick})
	must(t, err)
	client := &http.Client{Transport: transport}
	for _, path := range s.everyEndpoint("other/app") {
		if strings.Contains(path, "/tags/list") {
			continue // it is the client's own, and passed on
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		must(t, err)
		if r := send(t, client, req); r.status != http.StatusForbidden || !strings.Contains(r.message(), string(verify.ReasonNoRule)) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if asked := s.hosted.Requests(); len(asked) > 0 {
		t.Errorf("the registry was asked %d times, first for %s", len(asked), asked[0].Path)
	}
}
