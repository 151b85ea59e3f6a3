package verify_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// exempt is a world whose policy has the shared requirements released (a signature of the
// first key) and checked (a signature of the other), and an exemption from checked.
type exempt struct {
	*world
	now       time.Time
	policy    *policy.Policy
	exemption policy.Exemption
}

func newExempt(t *testing.T) *exempt {
	t.Helper()
	w := newWorld(t)
	by := func(role string) policy.Requirement {
		return policy.Requirement{Signature: &policy.SignatureRequirement{By: role}}
	}
	x := &exempt{world: w, now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	x.policy = &policy.Policy{
		Version: 1, Keys: map[string]policy.Key{"a": {Public: w.trusted.key}, "b": {Public: w.other.key}},
		Roles:        map[string]policy.Role{"release": {Keys: []string{"a"}}, "check": {Keys: []string{"b"}}},
		Requirements: map[string]policy.Requirement{"released": by("release"), "checked": by("check")},
		Rules:        []policy.Rule{{Images: []string{"registry.example/team/**"}, Require: []policy.Requirement{{Use: "released"}, {Use: "checked"}}}},
	}
	x.exemption = policy.Exemption{
		Images: []string{"registry.example/team/*"}, Digests: []string{w.image.DigestStr()}, Requirement: "checked",
		Reason: "the checker is down", By: "jane", Until: x.now.AddDate(0, 0, 10),
	}
	return x
}

// judge judges an image by the policy with the exemption, at x.now.
func (x *exempt) judge(image name.Digest, more ...policy.Exemption) (*verify.Verifier, *verify.Result, error) {
	x.t.Helper()
	x.policy.Exemptions = append([]policy.Exemption{x.exemption}, more...)
	v, err := verify.New(x.policy, verify.Options{Now: func() time.Time { return x.now }})
	if err != nil {
		x.t.Fatal(err)
	}
	res, err := v.Image(context.Background(), x.store, image)
	return v, res, err
}

func (x *exempt) denied(reason verify.Reason, detail string) *verify.Error {
	x.t.Helper()
	_, res, err := x.judge(x.image)
	denial := isDenied(x.t, res, err, reason)
	if !strings.Contains(denial.Detail, detail) {
		x.t.Fatalf("%s; want %q", denial.Detail, detail)
	}
	return denial
}

func TestExemptionExcusesItsRequirementUntilItEnds(t *testing.T) {
	x := newExempt(t)
	x.sign(x.image, both, x.trusted)
	_, res, err := x.judge(x.image)
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Exemptions) != 1 || len(res.Requirements) != 1 || len(res.Keys) != 1 || !res.ValidUntil.Equal(x.exemption.Until) {
		t.Fatalf("%+v", res)
	}
	got := res.Exemptions[0]
	if got.Requirement != "rules[0].require[1]" || got.Name != "checked" || got.Reason != "the checker is down" || got.By != "jane" || len(got.Unmet) != 1 || got.Unmet[0].Reason == "" {
		t.Errorf("%+v", got)
	}
	if r := verify.ReportOf("", res, nil); r.Status != verify.StatusExempted || len(r.Exemptions) != 1 {
		t.Errorf("%+v", r)
	}
	if got.EndsSoon(x.now) || !got.EndsSoon(x.exemption.Until.Add(-policy.ExemptionEndsSoon)) {
		t.Error("an exemption ends soon in its last week")
	}

	x.now = x.exemption.Until.Add(-time.Nanosecond)
	if _, _, err := x.judge(x.image); err != nil {
		t.Error(err)
	}
	x.now = x.exemption.Until
	x.denied(verify.ReasonNoTrustedSignature, "")
}

func TestExemptionThatHasEndedIsNamedInTheDenial(t *testing.T) {
	x := newExempt(t)
	x.sign(x.image, both, x.trusted)
	x.now = x.exemption.Until.Add(time.Hour)
	denial := x.denied(verify.ReasonNoTrustedSignature, "the exemption by jane ended on 2026-11-11T00:00:00Z")
	if len(denial.Unmet) != 1 || denial.Unmet[0].Exemption == nil || denial.Unmet[0].Exemption.By != "jane" {
		t.Errorf("%+v", denial.Unmet)
	}
}

func TestExemptionOfARequirementThatIsMetIsNotUsed(t *testing.T) {
	x := newExempt(t)
	x.sign(x.image, both, x.trusted, x.other)
	_, res, err := x.judge(x.image)
	if err != nil || len(res.Exemptions) != 0 || len(res.Requirements) != 2 || !res.ValidUntil.IsZero() {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestExemptionExcusesAGroupAndAnAlternative(t *testing.T) {
	x := newExempt(t)
	x.sign(x.image, both, x.trusted)
	config := policy.Requirement{Config: &policy.ConfigRequirement{NonRoot: true}}
	x.policy.Requirements["whole"] = policy.Requirement{AllOf: []policy.Requirement{{Use: "checked"}, config}}
	for _, c := range []struct {
		require policy.Requirement
		name    string
		unmet   int // negative: denied
	}{
		{policy.Requirement{Use: "whole"}, "whole", 2},
		{policy.Requirement{Use: "whole"}, "checked", -1},
		{policy.Requirement{AnyOf: []policy.Requirement{config, {Use: "checked"}}}, "checked", 1},
		{policy.Requirement{AnyOf: []policy.Requirement{{Use: "whole"}, {Use: "checked"}}}, "checked", 1},
		{policy.Requirement{AllOf: []policy.Requirement{config, {Use: "checked"}}}, "checked", -1},
	} {
		x.policy.Rules[0].Require = []policy.Requirement{{Use: "released"}, c.require}
		x.exemption.Requirement = c.name
		_, res, err := x.judge(x.image)
		if (err != nil) != (c.unmet < 0) {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if err == nil && (len(res.Exemptions) != 1 || len(res.Exemptions[0].Unmet) != c.unmet || len(res.Requirements) != 1) {
			t.Errorf("%+v: %+v", c, res.Exemptions)
		}
	}
}

func TestAttack_T24_ExemptionsHoldForWhatTheyNameAlone(t *testing.T) {
	x := newExempt(t)
	other := x.push()
	x.sign(x.image, both, x.trusted)
	x.sign(other, both, x.trusted)
	if _, res, err := x.judge(other); err == nil {
		t.Errorf("another digest: %+v", res)
	}
	for _, images := range [][]string{{"registry.example/other/*"}, {"registry.example/team"}, {"other.example/team/app"}, {"registry.example/team/app/**"}} {
		x.exemption.Images = images
		if _, res, err := x.judge(x.image); err == nil {
			t.Errorf("%s: %+v", images, res)
		}
	}
	x.exemption.Images = []string{"registry.example/team/*"}
	x.exemption.Requirement = "released"
	if _, res, err := x.judge(x.image); err == nil {
		t.Errorf("another requirement: %+v", res)
	}
}

func TestAttack_T24_ExemptionsLiftNoDenial(t *testing.T) {
	for label, c := range map[string]struct {
		change func(p *policy.Policy, image string)
		want   verify.Reason
	}{
		"a denied digest": {func(p *policy.Policy, image string) {
			p.DenyDigests = []policy.DeniedDigest{{Digest: image, Reason: "withdrawn"}}
		}, verify.ReasonDeniedDigest},
		"a rule that denies": {func(p *policy.Policy, _ string) {
			p.Rules = append(p.Rules, policy.Rule{Images: []string{"registry.example/team/app"}, Deny: true, Reason: "frozen"})
		}, verify.ReasonDeniedByRule},
		"no rule": {func(p *policy.Policy, _ string) { p.Rules[0].Images = []string{"registry.example/another/**"} }, verify.ReasonNoRule},
		"an expired policy": {func(p *policy.Policy, _ string) {
			p.Expires = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
		}, verify.ReasonPolicyExpired},
		"a rule that does not use the requirement": {func(p *policy.Policy, _ string) {
			p.Rules = append(p.Rules, policy.Rule{Images: []string{"registry.example/team/app"}, Require: []policy.Requirement{{Use: "released"}, {Signature: &policy.SignatureRequirement{By: "check"}}}})
		}, verify.ReasonNoTrustedSignature},
	} {
		t.Run(label, func(t *testing.T) {
			x := newExempt(t)
			x.sign(x.image, both, x.trusted)
			c.change(x.policy, x.image.DigestStr())
			x.denied(c.want, "")
		})
	}
}

func TestAttack_T24_ExemptionsLiftNoRevocation(t *testing.T) {
	x := newExempt(t)
	x.sign(x.image, both, x.trusted, x.other)
	x.policy.Keys["b"] = policy.Key{Public: x.other.key, Revoked: x.now.AddDate(0, 0, -1)}
	x.denied(verify.ReasonNoTrustedSignature, "lifts no revocation, and the revoked key b has signed")
	// What the revoked key has signed about another image is not about this one.
	y := newExempt(t)
	y.sign(y.image, both, y.trusted)
	y.policy.Keys["b"] = policy.Key{Public: y.other.key, Revoked: y.now.AddDate(0, 0, -1)}
	stranger := y.push()
	y.attach(y.image, y.simple(payloadFor("", stranger.DigestStr()), y.other))
	if _, _, err := y.judge(y.image); err != nil {
		t.Error(err)
	}
}

// Who has one revoked key must not hide what another one has signed.
func TestAttack_T24_ManyRevokedSignaturesHideNone(t *testing.T) {
	x, stolen := newExempt(t), newPerson(t)
	x.sign(x.image, both, x.trusted)
	x.policy.Keys["b"] = policy.Key{Public: x.other.key, Revoked: x.now.AddDate(0, 0, -1)}
	x.policy.Keys["c"] = policy.Key{Public: stolen.key, Revoked: x.now.AddDate(0, 0, -1)}
	x.policy.Roles["release"] = policy.Role{Keys: []string{"a", "c"}, Threshold: 1}
	x.attach(x.image, x.simple(payloadFor("registry.example/team/app", x.image.DigestStr()), x.other))
	for i := range 101 { // small evidence is read first
		x.attach(x.image, x.simple(payloadFor(strconv.Itoa(i), x.image.DigestStr()), stolen))
	}
	x.denied(verify.ReasonNoTrustedSignature, "lifts no revocation")
}

func TestAttack_T24_ExemptionsLetNothingUnsignedPass(t *testing.T) {
	x := newExempt(t)
	x.denied(verify.ReasonNoSignature, "")
	released := x.exemption
	released.Requirement = "released"
	_, res, err := x.judge(x.image, released)
	denial := isDenied(t, res, err, verify.ReasonNoSignature)
	if !strings.Contains(denial.Detail, "holds only for an image that a key or identity of the policy has signed for another requirement") {
		t.Error(denial.Detail)
	}
	// A key of no role that is required does not sign for one, either.
	x.sign(x.image, both, newPerson(t))
	if _, res, err = x.judge(x.image, released); err == nil {
		t.Errorf("%+v", res)
	}
}

func TestAttack_T24_ExemptionsOfIndexesCoverWhatTheyList(t *testing.T) {
	x := newExempt(t)
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registry.Push(t.Context(), x.store, x.repo, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image}))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	child := x.repo.Digest(hash.String())
	x.sign(digest, both, x.trusted)
	x.exemption.Digests = []string{digest.DigestStr()}
	v, index, err := x.judge(digest)
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.Child(t.Context(), x.store, index, child)
	isDenied(t, res, err, verify.ReasonNotExempt)

	own := x.exemption
	own.Digests, own.By, own.Until = []string{child.DigestStr()}, "joe", x.now.AddDate(0, 0, 3)
	if v, index, err = x.judge(digest, own); err != nil {
		t.Fatal(err)
	}
	if res, err = v.Child(t.Context(), x.store, index, child); err != nil {
		t.Fatal(err)
	}
	if len(res.Exemptions) != 1 || res.Exemptions[0].By != "joe" || !res.ValidUntil.Equal(own.Until) || !index.ValidUntil.Equal(x.exemption.Until) {
		t.Errorf("%+v", res)
	}
	// An exemption of the manifest alone lets the index pass as little as one of another image.
	x.exemption.Digests = own.Digests
	if _, res, err = x.judge(digest); err == nil {
		t.Errorf("%+v", res)
	}
}

func TestAttack_T24_NoClockMakesAnExemptionLast(t *testing.T) {
	x := newExempt(t)
	x.sign(x.image, both, x.trusted)
	x.exemption.Until = x.now.Add(policy.MaxExemption + 6*time.Minute)
	x.denied(verify.ReasonNoTrustedSignature, "more than 90 days ahead")
	// The clock was ahead when the policy was taken.
	now := x.now.AddDate(1, 0, 0)
	x.exemption.Until = now.AddDate(0, 0, 80)
	x.policy.Exemptions = []policy.Exemption{x.exemption}
	v, err := verify.New(x.policy, verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Image(t.Context(), x.store, x.image); err != nil {
		t.Error(err)
	}
	now = x.now
	res, err := v.Image(t.Context(), x.store, x.image)
	denial := isDenied(t, res, err, verify.ReasonNoTrustedSignature)
	if !strings.Contains(denial.Detail, "more than 90 days ahead") {
		t.Error(denial.Detail)
	}
}

func TestExemptionsAreSharedWithTheirDecision(t *testing.T) {
	x := newExempt(t)
	x.sign(x.image, both, x.trusted)
	x.policy.Exemptions = []policy.Exemption{x.exemption}
	x.now = time.Now()
	x.policy.Exemptions[0].Until = x.now.AddDate(0, 0, 10)
	cache, err := verify.NewSharedCache(&shelf{}, sharedKey)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for range 2 {
		v, err := verify.New(x.policy, verify.Options{Cache: cache})
		if err != nil {
			t.Fatal(err)
		}
		res, err := v.Image(t.Context(), x.store, x.image)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(res.Exemptions)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] || texts[0] == "null" {
		t.Errorf("%s, %s", texts[0], texts[1])
	}
}

func TestExplanationsTellTheExemptionsOfARepository(t *testing.T) {
	x := newExempt(t)
	elsewhere := x.exemption
	elsewhere.Images = []string{"registry.example/team/other"}
	x.policy.Exemptions = []policy.Exemption{x.exemption, elsewhere}
	all := explained(t, x.policy, verify.Options{Now: func() time.Time { return x.now }}, "registry.example/team/app").Requirements
	if len(all) != 2 || len(all[0].Exemptions) != 0 || len(all[1].Exemptions) != 1 || all[1].Exemptions[0].Images[0] != "registry.example/team/*" {
		t.Errorf("%+v", all)
	}
}
