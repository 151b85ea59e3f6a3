package gate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const indexType = "application/vnd.oci.image.index.v1+json"

// losing is a source that has a policy so many times, and then none.
type losing struct {
	mu   sync.Mutex
	v    *verify.Verifier
	left int
}

func (l *losing) Verifier(context.Context) (*verify.Verifier, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left--; l.left < 0 {
		return nil, errors.New("the policy has ended")
	}
	return l.v, nil
}

func (l *losing) set(left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = left
}

// tagOf is the tag under which cosign looks for evidence about a digest, or with no
// suffix everybody.
func tagOf(digest, suffix string) string { return strings.Replace(digest, ":", "-", 1) + suffix }

// Whenever a policy is lost while a request is answered, what passes is what has
// passed, and the rest is no decision.
func TestAPolicyThatIsLostIsNoDecision(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.sign(s.signed, registry.FormatSimpleSigning)
	evidence, err := registrytest.PushReferrer(t.Context(), s.store, s.signed, "application/spdx+json", []byte("{}"), nil)
	must(t, err)
	s.hosted.SetTag("team/app", "evidence", evidence.Digest.String())
	address := registrytest.Start(t, s.hosted)
	manifests := "/v2/team/app/manifests/"
	for _, path := range []string{
		manifests + "signed", manifests + s.signed.DigestStr(), manifests + "unsigned", manifests + tagOf(s.signed.DigestStr(), ".sig"), manifests + tagOf(s.signed.DigestStr(), ""),
		manifests + evidence.Digest.String(), manifests + "evidence", "/v2/team/app/referrers/" + s.signed.DigestStr(), blobPath(s.parts(s.signed)[1]),
	} {
		for left := range 7 {
			source := &losing{v: s.verifier(nil), left: 1 << 20}
			s.start(address, func(c *gate.Config) { c.Verifier = source })
			if strings.Contains(path, "/blobs/") {
				s.passes("signed")
			}
			source.set(left)
			switch r := s.get(path); {
			case r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") != "" && strings.HasPrefix(r.message(), "UNAVAILABLE: it cannot be judged"):
			case r.status == http.StatusOK && left > 0 && !strings.HasSuffix(path, "unsigned") && !strings.HasSuffix(path, "/evidence"):
			case r.status == http.StatusForbidden && left > 0 && (strings.HasSuffix(path, "unsigned") || strings.HasSuffix(path, "/evidence")):
			default:
				t.Errorf("%s with a policy for %d questions: %d %s", path, left, r.status, r.body)
			}
		}
	}
}

// later is a clock that is set forward.
type later struct {
	mu sync.Mutex
	by time.Duration
}

func (l *later) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Add(l.by)
}

func (l *later) pass(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by += d
}

// What vouches for something must itself be judged, again once its decision has
// ended: while it cannot be, that is no decision about what rests on it either.
func TestWhatRestsOnSomethingThatCannotBeJudgedIsUndecided(t *testing.T) {
	clock := &later{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Now = clock.now })
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	evidence, err := registrytest.PushReferrer(t.Context(), s.store, s.signed, "application/spdx+json", []byte("{}"), nil)
	must(t, err)
	s.passes("index")
	s.passes(children[0].DigestStr())
	s.passes(evidence.Digest.String())
	clock.pass(time.Hour)
	for what, c := range map[string]struct{ digest, rests string }{
		"a child":  {children[0].DigestStr(), index.DigestStr()},
		"evidence": {evidence.Digest.String(), s.signed.DigestStr()},
	} {
		remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Ref: c.rests, Do: registrytest.Status(http.StatusInternalServerError)})
		if r := s.get("/v2/team/app/manifests/" + c.digest); r.status != http.StatusBadGateway || !strings.HasPrefix(r.message(), "UNAVAILABLE") {
			t.Errorf("%s: %d %s", what, r.status, r.body)
		}
		remove()
		s.passes(c.digest)
	}
}

// gates returns what begins another gate, which shares the decisions of those before,
// and holds nothing else.
func (s *scene) gates(clock *later) (begin func()) {
	shared := &sharedDecisions{all: make(map[string][]byte)}
	address := registrytest.Start(s.t, s.hosted)
	return func() {
		s.judging = verify.Options{Now: clock.now, Cache: sharing(s.t, shared, "k")}
		s.start(address, func(c *gate.Config) { c.Now = clock.now })
	}
}

// What has vouched for something and is gone vouches for it no more, and is no error.
func TestWhatRestsOnSomethingThatIsGoneIsJudgedByItself(t *testing.T) {
	clock := &later{}
	s := newScene(t, registrytest.Options{}, nil)
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	evidence, err := registrytest.PushReferrer(t.Context(), s.store, s.signed, "application/spdx+json", []byte("{}"), nil)
	must(t, err)
	open := s.gates(clock)
	open()
	s.passes("index")
	s.passes(children[0].DigestStr())
	s.passes(evidence.Digest.String())
	clock.pass(time.Hour)
	open()
	s.hosted.Delete("team/app", index.DigestStr())
	s.hosted.Delete("team/app", s.signed.DigestStr())
	s.denied("/v2/team/app/manifests/"+children[0].DigestStr(), "no-signature")
	s.denied("/v2/team/app/manifests/"+evidence.Digest.String(), "no-signature")
	// And one that is nowhere, from the beginning.
	about, err := registrytest.PushReferrer(t.Context(), s.store, s.repo.Digest("sha256:"+strings.Repeat("0", 64)), "application/spdx+json", []byte("{}"), nil)
	must(t, err)
	s.denied("/v2/team/app/manifests/"+about.Digest.String(), "no-signature")
}

func TestEvidenceUnderATagThatCannotBeJudgedByItselfIsUndecided(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	evidence, err := registrytest.PushReferrer(t.Context(), s.store, s.signed, "application/spdx+json", []byte("{}"), nil)
	must(t, err)
	s.hosted.SetTag("team/app", "evidence", evidence.Digest.String())
	remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Ref: evidence.Digest.String(), Do: registrytest.Status(http.StatusInternalServerError)})
	if r := s.get("/v2/team/app/manifests/evidence"); r.status != http.StatusBadGateway {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.passes(evidence.Digest.String()) // which is what it is about that decides
	remove()
	s.denied("/v2/team/app/manifests/evidence", "no-signature")
}

// Evidence about evidence is followed so far and no further; what has passed is a
// new beginning.
func TestEvidenceFromTooFarAwayIsJudgedByItself(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil, verify.Options{DeniedTTL: time.Nanosecond})
	subject := s.signed
	var chain []string
	for i := range 8 {
		d, err := registrytest.PushReferrer(t.Context(), s.store, subject, "application/spdx+json", []byte{byte(i)}, nil)
		must(t, err)
		chain = append(chain, d.Digest.String())
		subject = s.repo.Digest(d.Digest.String())
	}
	s.denied("/v2/team/app/manifests/"+chain[7], "no-signature")
	for _, digest := range chain {
		s.passes(digest)
	}
}

// A policy, or what has signed, may end before a decision would.
func TestADecisionEndsWithWhatItRestsOn(t *testing.T) {
	clock := &later{}
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		c.Now = clock.now
		v, err := verify.New(func() *policy.Policy {
			p := policy.Signatures{Keys: []policy.PublicKey{s.key}, Threshold: 1}.Policy()
			p.Expires = time.Now().Add(10 * time.Minute)
			return p
		}(), verify.Options{Now: clock.now, AllowedTTL: time.Hour})
		must(t, err)
		c.Verifier = v
	})
	layer := blobPath(s.parts(s.signed)[1])
	s.passes(s.signed.DigestStr())
	clock.pass(9 * time.Minute)
	s.passes(s.signed.DigestStr())
	s.serves(layer)
	clock.pass(2 * time.Minute)
	for _, path := range []string{"/v2/team/app/manifests/" + s.signed.DigestStr(), layer} {
		if r := s.get(path); r.status == http.StatusOK {
			t.Errorf("%s passes by a decision whose policy has ended", path)
		}
	}
}

func TestARefusalNamesAllThatIsMissing(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		c.Verifier = s.verifier(func(p *policy.Policy) {
			p.Rules[0].Require = append(p.Rules[0].Require, policy.Requirement{Attestation: &policy.AttestationRequirement{Type: "spdxjson", By: "signers"}})
		})
	})
	r := s.denied("/v2/team/app/manifests/unsigned", "no-signature")
	if !strings.Contains(r.message(), string(verify.ReasonNoAttestation)) {
		t.Errorf("%s", r.message())
	}
}

func TestAListOfReferrersIsTheLastOneWhileTheUpstreamIsDown(t *testing.T) {
	clock := &later{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Now = clock.now }, verify.Options{AllowedTTL: 10 * time.Hour})
	path := "/v2/team/app/referrers/" + s.signed.DigestStr()
	fallback := "/v2/team/app/manifests/" + tagOf(s.signed.DigestStr(), "")
	s.passes(s.signed.DigestStr())
	remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(http.StatusInternalServerError)})
	for _, p := range []string{path, fallback} {
		if r := s.get(p); r.status != http.StatusBadGateway {
			t.Errorf("%s, that was never read: %d %s", p, r.status, r.body)
		}
	}
	remove()
	list := s.serves(path)
	clock.pass(time.Hour)
	remove = s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(http.StatusInternalServerError)})
	if r := s.serves(path); !bytes.Equal(r.body, list.body) {
		t.Errorf("%s, then %s", list.body, r.body)
	}
	remove()
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(http.StatusForbidden)})
	if r := s.get(path); r.status == http.StatusOK {
		t.Error("an upstream that refuses is not down")
	}
}

func TestAFallbackTagOfWhatNothingRefersToIsNotThere(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	s.passes("index")
	s.passes(children[0].DigestStr())
	if r := s.get("/v2/team/app/manifests/" + tagOf(children[0].DigestStr(), "")); r.status != http.StatusNotFound || !strings.HasPrefix(r.message(), "MANIFEST_UNKNOWN") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestWhatPassedAndCannotBeReadAgainIsNotServed(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.sign(s.signed, registry.FormatSimpleSigning)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.MaxManifests = 1 }) // which holds none
	s.passes(s.signed.DigestStr())
	for _, ref := range []string{s.signed.DigestStr(), tagOf(s.signed.DigestStr(), ".sig")} {
		// What is not there comes last: it is remembered.
		for _, answer := range []struct{ status, want int }{{http.StatusInternalServerError, http.StatusBadGateway}, {http.StatusNotFound, http.StatusNotFound}} {
			remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: ref, Do: registrytest.Status(answer.status)})
			if r := s.get("/v2/team/app/manifests/" + ref); r.status != answer.want {
				t.Errorf("%s: %d %s, want %d", ref, r.status, r.body, answer.want)
			}
			remove()
		}
	}
}

// A decision that another gate has reached is about bytes that must be there.
func TestAnotherGatesDecisionAboutWhatIsGoneLetsNothingPass(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	open := s.gates(&later{})
	open()
	s.passes("index")
	s.passes("signed")
	child, layer := "/v2/team/app/manifests/"+children[0].DigestStr(), blobPath(s.parts(s.signed)[1])
	s.serves(layer)
	for _, answer := range []struct{ status, want int }{{http.StatusInternalServerError, http.StatusBadGateway}, {http.StatusNotFound, http.StatusForbidden}} {
		open()
		for _, gone := range []string{index.DigestStr(), s.signed.DigestStr()} {
			s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: gone, Times: 1, Do: registrytest.Status(answer.status)})
		}
		for _, path := range []string{child, layer} {
			if r := s.get(path); r.status != answer.want {
				t.Errorf("%s, upstream %d: %d %s", path, answer.status, r.status, r.body)
			}
		}
	}
}

// What an index lists is vouched for by a result of this gate's own verifier, and not by
// that of another one, although its policy is equal.
func TestAChildNeedsAResultOfTheVerifierThatJudgesIt(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	address := registrytest.Start(t, s.hosted)
	for _, c := range []struct {
		what string
		do   registrytest.Effect
		want int
	}{
		{"unreadable", registrytest.Status(http.StatusInternalServerError), http.StatusBadGateway},
		{"withdrawn", registrytest.ReplaceReferrers(), http.StatusForbidden},
		{"still good", nil, http.StatusOK},
	} {
		source := &replaceable{v: s.verifier(nil)}
		s.start(address, func(c *gate.Config) { c.Verifier = source })
		s.passes("index")
		source.set(s.verifier(nil))
		remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Ref: index.DigestStr(), Do: c.do})
		if r := s.get("/v2/team/app/manifests/" + children[0].DigestStr()); r.status != c.want {
			t.Errorf("its signature is %s: %d %s", c.what, r.status, r.body)
		}
		remove()
	}
}

// What an index lists is vouched for by the decision of another gate that its verifier
// shares, and for no longer than that lasts.
func TestAnIndexThatAnotherGateHasJudgedVouchesForItsChildren(t *testing.T) {
	clock := &later{}
	s := newScene(t, registrytest.Options{}, nil)
	index, children, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index)
	open := s.gates(clock)
	open()
	s.passes("index")
	open()
	remove := s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Ref: index.DigestStr(), Do: registrytest.ReplaceReferrers()})
	defer remove()
	s.passes(children[0].DigestStr())
	clock.pass(6 * time.Minute)
	s.denied("/v2/team/app/manifests/"+children[0].DigestStr(), "no-signature")
	s.denied("/v2/team/app/manifests/"+index.DigestStr(), "no-signature")
}

func TestIndexesThatNestTooDeepVouchForNothing(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	digest := s.signed.DigestStr()
	_, text, _ := s.hosted.Manifest("team/app", digest)
	mediaType := manifestType
	chain := []string{digest}
	for range 7 {
		list, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []piece{{mediaType, digest, len(text)}}})
		must(t, err)
		text, mediaType, digest = list, indexType, s.hosted.Put("team/app", "", indexType, list)
		chain = append(chain, digest)
	}
	s.sign(s.repo.Digest(digest))
	passed := 0
	for _, digest := range slices.Backward(chain[1:]) {
		if r := s.get("/v2/team/app/manifests/" + digest); r.status == http.StatusOK {
			passed++
		} else if r.status != http.StatusForbidden {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if passed != 5 {
		t.Errorf("%d of 7 indexes pass, want the one that is signed and four below it", passed)
	}
}

func TestEvidenceUnderTheTagOfAnIndexPassesByItsDigestLater(t *testing.T) {
	clock := &later{}
	s := newScene(t, registrytest.Options{}, func(c *gate.Config) { c.Now = clock.now })
	index, _, err := registrytest.PushIndex(t.Context(), s.store, s.repo.Tag("index"))
	must(t, err)
	s.sign(index, registry.FormatSimpleSigning)
	digest := s.passes(tagOf(index.DigestStr(), ".sig")).header.Get("Docker-Content-Digest")
	clock.pass(time.Hour)
	s.passes(digest)
}

func TestEvidenceUnderATagIsNotThereForWhoMayNotReadIt(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.sign(s.signed, registry.FormatSimpleSigning)
	s.start(registrytest.Start(t, s.tenants(map[string]string{"jane": "team/app", "ken": "team/other"})), func(c *gate.Config) { c.Credentials = gate.PassThrough })
	for _, suffix := range []string{".sig", ""} {
		path := "/v2/team/app/manifests/" + tagOf(s.signed.DigestStr(), suffix)
		if r := s.get(path, basic("jane")...); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		if r := s.get(path, basic("ken")...); r.status != http.StatusForbidden || bytes.Contains(r.body, []byte("layers")) {
			t.Errorf("%s, for other credentials: %d %s", path, r.status, r.body)
		}
	}
}

// A place of evidence that the upstream does not give is no decision, unless another place has
// what is needed. The client is told which place it is.
func TestAPlaceThatCannotBeReadIsNoDecision(t *testing.T) {
	for status, want := range map[int]int{
		http.StatusForbidden: http.StatusBadGateway, http.StatusUnauthorized: http.StatusBadGateway, http.StatusTooManyRequests: http.StatusTooManyRequests,
		http.StatusInternalServerError: http.StatusBadGateway, http.StatusServiceUnavailable: http.StatusServiceUnavailable,
	} {
		s := newScene(t, registrytest.Options{}, nil)
		for _, image := range []name.Digest{s.signed, s.unsigned} {
			s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: tagOf(image.DigestStr(), ".sig"), Do: registrytest.Status(status)})
		}
		s.passes("signed") // by a bundle
		for range 2 {
			r := s.get(manifestPath + "unsigned")
			if r.status != want || r.header.Get("Retry-After") == "" || !strings.Contains(r.message(), tagOf(s.unsigned.DigestStr(), ".sig")) || strings.Contains(r.message(), "127.0.0.1") {
				t.Errorf("%d: %d %s", status, r.status, r.body)
			}
		}
	}
}
