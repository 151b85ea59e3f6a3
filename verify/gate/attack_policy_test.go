package gate_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// renewed is an authority that recognises none, and whose trust changes.
type renewed struct{ times atomic.Int32 }

func (r *renewed) Matcher(map[string]any) (policy.Matcher, error) { return r, nil }
func (r *renewed) Generation() string                             { return itoa(int(r.times.Load())) }
func (r *renewed) ID() string                                     { return "renewed" }
func (r *renewed) Signed(context.Context, policy.SignedEvidence) (policy.Recognized, error) {
	return policy.Recognized{}, errors.New("it recognises none")
}

// before serves the scene's registry; what is called before each answer.
func (s *scene) before(what func(path string)) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what(r.URL.Path)
		s.hosted.ServeHTTP(w, r)
	}))
	s.t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// A trust root is renewed while evidence is read: what was decided by the one before is
// no decision of the new one.
func TestAttack_P4_ADecisionIsOfTheTrustThatItBeganWith(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	trust, asked := &renewed{}, atomic.Int32{}
	s.judging.Authorities = map[string]policy.Authority{"renewed": trust}
	address := s.before(func(path string) {
		if strings.Contains(path, "/referrers/") && asked.Add(1) == 1 {
			trust.times.Add(1)
		}
	})
	s.start(address, func(c *gate.Config) {
		c.Verifier = s.verifier(func(p *policy.Policy) {
			p.Identities = map[string]policy.Identity{"a": {Authority: "renewed"}}
		})
	})
	s.passes(s.signed.DigestStr())
	before := asked.Load()
	s.passes(s.signed.DigestStr())
	if asked.Load() == before {
		t.Error("what was decided by the trust of before is used")
	}
	before = asked.Load()
	s.passes(s.signed.DigestStr())
	if asked.Load() != before {
		t.Error("a decision of the new trust is not kept")
	}
}

// The policy is replaced between the decision about an image and the reading of its
// evidence.
func TestAttack_P4_EvidenceRestsOnNoDecisionOfAnOlderPolicy(t *testing.T) {
	for _, what := range []string{"tag of cosign", "list"} {
		t.Run(what, func(t *testing.T) {
			source := &replaceable{}
			s := newScene(t, registrytest.Options{NoReferrers: what == "list"}, nil)
			tag, on := tagsOf(s.signed.DigestStr())[2], "manifests/"+tagsOf(s.signed.DigestStr())[2]
			own := s.hosted.Put("team/app", tag, manifestType, manifestText(t, within(t, emptyType, []byte("{}")), []written{within(t, "application/json", []byte("{}"))}, nil))
			if what == "list" {
				tag, on, own = tagsOf(s.signed.DigestStr())[0], "manifests/"+tagsOf(s.signed.DigestStr())[0], s.ownList()
			}
			source.set(s.verifier(nil))
			armed := atomic.Bool{}
			newer := s.verifier(func(p *policy.Policy) {
				p.DenyDigests = []policy.DeniedDigest{{Digest: s.signed.DigestStr(), Reason: "withdrawn"}}
			})
			s.start(s.before(func(path string) {
				if armed.Load() && strings.HasSuffix(path, on) {
					source.set(newer)
				}
			}), func(c *gate.Config) { c.Verifier = source })
			s.passes(s.signed.DigestStr())
			armed.Store(true)
			_ = s.get(manifestPath + tag) // it may pass, or not
			if v, _ := source.Verifier(t.Context()); v != newer {
				t.Fatal("the policy was not replaced")
			}
			if r := s.get(manifestPath + own); r.status == http.StatusOK {
				t.Errorf("evidence about what the policy denies passes: %s", r.body)
			}
		})
	}
}

// What one gate does not find, another one may: its upstream is another one, or its
// clients' credentials are.
func TestAttack_P9_NoGateDeniesByAnotherGatesWord(t *testing.T) {
	shared := &sharedDecisions{all: make(map[string][]byte)}
	for _, credentials := range []gate.Credentials{gate.Operator, gate.PassThroughOrAnonymous} {
		s := newScene(t, registrytest.Options{}, nil, verify.Options{Cache: sharing(t, shared, "k"), DeniedTTL: time.Hour})
		change := func(c *gate.Config) { c.Credentials = credentials }
		s.start(registrytest.Start(t, s.hosted), change)
		s.denied(manifestPath+s.unsigned.DigestStr(), "no-signature")
		s.sign(s.unsigned)
		s.denied(manifestPath+s.unsigned.DigestStr(), "no-signature") // kept by this gate
		s.start(registrytest.Start(t, s.hosted), change)
		s.passes(s.unsigned.DigestStr())
	}
}
