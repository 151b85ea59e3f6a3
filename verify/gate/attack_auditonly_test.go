package gate_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func auditOnly(c *gate.Config) { c.InsecureAuditOnly = true }

func TestAuditOnly_DenialsPassAndAreRecorded(t *testing.T) {
	log := &lines{}
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.InsecureAuditOnly, c.Audit = true, log })
	s.passes("signed")
	r := s.passes("unsigned")
	if w := r.header.Get("Warning"); !strings.Contains(w, "only audits") || !strings.Contains(w, "no-signature") {
		t.Errorf("Warning: %q", w)
	}
	for _, part := range s.parts(s.unsigned) {
		r := s.get(blobPath(part))
		_, want, _ := s.hosted.Manifest("team/app", "unsigned")
		if r.status != http.StatusOK || r.err != nil || int64(len(r.body)) != part.Size || r.header.Get("Content-Length") == "" || bytes.Equal(r.body, want) {
			t.Errorf("%s: %d, %d bytes, %v", part.Digest, r.status, len(r.body), r.err)
		}
	}
	if r := s.get(blobPath(s.parts(s.unsigned)[0]), "Range", "bytes=1-3"); r.status != http.StatusPartialContent || len(r.body) != 3 {
		t.Errorf("range: %d %q", r.status, r.body)
	}
	if r := s.ask(http.MethodHead, manifestPath+"unsigned"); r.status != http.StatusOK {
		t.Errorf("HEAD: %d", r.status)
	}
	all := audited(t, log)
	for i, e := range all {
		want := gate.EventWouldDeny
		if i == 0 {
			want = gate.EventAllowed
		}
		if e.Kind != want || i > 0 && (e.Status != verify.StatusDenied || e.Reason != verify.ReasonNoSignature || e.Detail == "" || len(e.Unmet) == 0 || e.Request.Status != http.StatusOK) {
			t.Errorf("%d: %+v", i, e)
		}
	}
	if len(all) != 5 { // the layer is one of the signed image, too
		t.Errorf("%d lines: %s", len(all), log.text())
	}
}

// Every denial is of one of these kinds.
func TestAuditOnly_EveryKindOfDenialPasses(t *testing.T) {
	for label, c := range map[string]struct {
		change func(*policy.Policy, string)
		reason verify.Reason
	}{
		"no rule": {func(p *policy.Policy, _ string) { p.Rules[0].Images = []string{"another.example/**"} }, verify.ReasonNoRule},
		"a rule": {func(p *policy.Policy, _ string) {
			p.Rules = append(p.Rules, policy.Rule{Images: []string{known + "/team/**"}, Deny: true, Reason: "frozen"})
		}, verify.ReasonDeniedByRule},
		"a digest": {func(p *policy.Policy, digest string) {
			p.DenyDigests = []policy.DeniedDigest{{Digest: digest, Reason: "withdrawn"}}
		}, verify.ReasonDeniedDigest},
		"its end": {func(p *policy.Policy, _ string) { p.Expires = time.Unix(1, 0) }, verify.ReasonPolicyExpired},
	} {
		t.Run(label, func(t *testing.T) {
			s := newScene(t, registrytest.Options{}, nil)
			s.sign(s.signed, registry.FormatSimpleSigning)
			s.start(registrytest.Start(t, s.hosted), func(cfg *gate.Config) {
				cfg.InsecureAuditOnly, cfg.Verifier = true, s.verifier(func(p *policy.Policy) { c.change(p, s.signed.DigestStr()) })
			})
			s.passes("signed")
			s.passes(s.signed.DigestStr())
			for _, path := range []string{manifestPath + tagOf(s.signed.DigestStr(), ".sig"), "/v2/team/app/referrers/" + s.signed.DigestStr(), "/v2/team/app/tags/list", blobPath(s.parts(s.signed)[1])} {
				if r := s.get(path); r.status != http.StatusOK {
					t.Errorf("%s: %d %s", path, r.status, r.body)
				}
			}
			reasons := s.events.reasons(gate.EventWouldDeny)
			if len(reasons) < 4 || reasons[0] != string(c.reason) || len(s.events.reasons(gate.EventDenied)) > 0 {
				t.Errorf("%q, %q", reasons, s.events.reasons(gate.EventDenied))
			}
		})
	}
}

func TestAttack_P27_AuditOnlyPassesNoOtherContent(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.hosted), auditOnly)
	s.passes("unsigned")
	layer := s.parts(s.unsigned)[1].Digest.String()
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindBlob, Ref: layer, Do: registrytest.ReplaceBody([]byte("other"))})
	if r := s.get("/v2/team/app/blobs/" + layer); r.status == http.StatusOK && r.err == nil {
		t.Errorf("another blob passes: %q", r.body)
	}
	other, err := registrytest.PushImage(t.Context(), s.store, s.repo.Tag("other"), registrytest.ImageOptions{})
	must(t, err)
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindManifest, Ref: other.DigestStr(), Do: registrytest.ReplaceBody([]byte(`{"schemaVersion":2}`))})
	if r := s.get(manifestPath + other.DigestStr()); r.status == http.StatusOK {
		t.Errorf("another manifest passes: %q", r.body)
	}
}

func TestAttack_P27_AuditOnlyPassesNothingUndecided(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	s.start(registrytest.Start(t, s.hosted), auditOnly)
	s.hosted.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(http.StatusInternalServerError)})
	if r := s.get(manifestPath + "unsigned"); r.status < 500 {
		t.Errorf("%d %s", r.status, r.body)
	}
	source := &losing{v: s.verifier(nil)}
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.InsecureAuditOnly, c.Verifier = true, source })
	if r := s.get(manifestPath + "unsigned"); r.status != http.StatusServiceUnavailable {
		t.Errorf("without a policy: %d %s", r.status, r.body)
	}
	if got := s.events.reasons(gate.EventWouldDeny); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// A gate that enforces uses the same store, the same shared decisions, or the same cache.
func TestAttack_P27_AuditOnlyLeavesNothingThatIsTrusted(t *testing.T) {
	shared, dir := &sharedDecisions{all: make(map[string][]byte)}, t.TempDir()
	s := newScene(t, registrytest.Options{}, nil, verify.Options{Cache: sharing(t, shared, "k")})
	stranger, _ := newSigner(t)
	_, err := sign.Image(t.Context(), s.store, s.unsigned, sign.ImageOptions{Formats: []registry.Format{registry.FormatSimpleSigning, registry.FormatBundle}}, stranger)
	must(t, err)
	paths := []string{manifestPath + "unsigned", manifestPath + s.unsigned.DigestStr(), manifestPath + tagOf(s.unsigned.DigestStr(), ".sig"), "/v2/team/app/referrers/" + s.unsigned.DigestStr(), manifestPath + tagOf(s.unsigned.DigestStr(), "")}
	for _, part := range s.parts(s.unsigned) {
		paths = append(paths, blobPath(part))
	}
	_, text, ok := s.hosted.Manifest("team/app", tagOf(s.unsigned.DigestStr(), ".sig"))
	if !ok {
		t.Fatal("no signature")
	}
	read, err := registry.NewManifest("", text)
	must(t, err)
	paths = append(paths, manifestPath+read.Descriptor.Digest.String())

	held, err := store.Open(dir, store.Options{})
	must(t, err)
	address := registrytest.Start(t, s.hosted)
	s.start(address, func(c *gate.Config) { c.InsecureAuditOnly, c.Store = true, held })
	for _, path := range paths {
		if r := s.get(path); r.status != http.StatusOK || r.err != nil {
			t.Errorf("audit only: %s: %d %s", path, r.status, r.body)
		}
	}
	for _, path := range paths {
		if _, digest, found := strings.Cut(path, "sha256:"); found && held.Has("sha256:"+digest) {
			t.Errorf("%s is stored", path)
		}
	}
	must(t, held.Close())
	held, err = store.Open(dir, store.Options{})
	must(t, err)
	t.Cleanup(func() { _ = held.Close() })
	s.start(address, func(c *gate.Config) { c.Store = held })
	for _, path := range paths {
		if r := s.get(path); r.status != http.StatusForbidden {
			t.Errorf("enforcing: %s: %d %s", path, r.status, r.body)
		}
	}
}

// What an allowed image leaves is as ever, and a later denial of it is a denial.
func TestAttack_P27_AuditOnlyKeepsAllowedAndDeniedApart(t *testing.T) {
	shared := &sharedDecisions{all: make(map[string][]byte)}
	s := newScene(t, registrytest.Options{}, nil, verify.Options{Cache: sharing(t, shared, "k"), DeniedTTL: time.Millisecond})
	address := registrytest.Start(t, s.hosted)
	s.start(address, auditOnly)
	s.passes("unsigned")
	layer := blobPath(s.parts(s.unsigned)[1])
	if r := s.get(layer); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.sign(s.unsigned)
	time.Sleep(5 * time.Millisecond)
	s.passes("unsigned")
	if r := s.get(layer); r.status != http.StatusOK || r.header.Get("Warning") != "" {
		t.Errorf("an allowed image's blob: %d %q", r.status, r.header.Get("Warning"))
	}
	s.start(address, nil)
	s.passes("unsigned")
}
