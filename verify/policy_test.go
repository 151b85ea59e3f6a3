package verify_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func pemOf(t testing.TB, p person) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(p.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// policyText is a policy whose keys are in the files a.pub, b.pub and c.pub.
const policyText = `version: 1
keys:
  a: {file: a.pub}
  b: {file: b.pub}
  c: {file: c.pub}
roles:
  release: {keys: [a]}
  pair: {keys: [a, b], threshold: 2}
  builder: {keys: [c]}
rules:
  - images: [registry.example/team/**]
    require:
      - signature: {by: release}
`

// written is a directory with the policy and its keys.
func written(t testing.TB, text string, people ...person) string {
	t.Helper()
	dir := t.TempDir()
	for i, p := range people {
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".pub"), []byte(pemOf(t, p)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func loaded(t testing.TB, text string, people ...person) *policy.Policy {
	t.Helper()
	p, err := policy.Load(written(t, text, people...), policy.ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// judged judges the world's image by a policy text about its repository.
func (w *world) judged(text string, now time.Time, people ...person) (*verify.Result, error) {
	w.t.Helper()
	v, err := verify.New(loaded(w.t, text, people...), verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		w.t.Fatal(err)
	}
	return v.Image(context.Background(), w.store, w.image)
}

func TestPoliciesInGoTakeKeysAsPEM(t *testing.T) {
	w := newWorld(t)
	a := newPerson(t)
	w.sign(w.image, sign.ImageOptions{}, a)
	p := func(keys map[string]policy.Key) *policy.Policy {
		return &policy.Policy{
			Version: 1,
			Keys:    keys,
			Roles:   map[string]policy.Role{"both": {Keys: []string{"a", "b"}, Threshold: 1}},
			Rules:   []policy.Rule{{Images: []string{"**"}, Require: []policy.Requirement{{Signature: &policy.SignatureRequirement{By: "both"}}}}},
		}
	}
	other := pemOf(t, newPerson(t))
	byPEM := p(map[string]policy.Key{"a": {PEM: pemOf(t, a)}, "b": {PEM: other}})
	v, err := verify.New(byPEM, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if res, err := v.Image(context.Background(), w.store, w.image); err != nil || len(res.Keys) != 1 || res.Keys[0].ID != a.key.ID() {
		t.Errorf("%+v, %v", res, err)
	}
	if byPEM.Keys["a"].Public.ID() != "" {
		t.Error("New has changed the policy")
	}
	b, err := verify.New(p(map[string]policy.Key{"a": {Public: a.key}, "b": {PEM: other}}), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := verify.New(p(map[string]policy.Key{"a": {PEM: other}, "b": {PEM: pemOf(t, a)}}), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.PolicyDigest() == v.PolicyDigest() || b.PolicyDigest() == c.PolicyDigest() {
		t.Error("policies with other keys have one digest")
	}
	for name, keys := range map[string]map[string]policy.Key{
		"garbage":        {"a": {PEM: "garbage"}, "b": {PEM: other}},
		"one key twice":  {"a": {PEM: other}, "b": {PEM: other}},
		"file, no bytes": {"a": {File: "a.pub"}, "b": {PEM: other}},
	} {
		if _, err := verify.New(p(keys), verify.Options{}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAttack_T5_KeysCountOnlyInTheirTimeAndNeverOnceRevoked(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	w.sign(w.image, sign.ImageOptions{}, a)
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for label, x := range map[string]struct {
		key    string
		reason verify.Reason
	}{
		"in time":               {"{file: a.pub, notBefore: 2026-05-01T00:00:00Z, notAfter: 2026-07-01T00:00:00Z}", ""},
		"T5: expired":           {"{file: a.pub, notAfter: 2026-05-31T23:59:59Z}", verify.ReasonExpiredKey},
		"T5: not yet valid":     {"{file: a.pub, notBefore: 2026-06-01T00:00:01Z}", verify.ReasonKeyNotYetValid},
		"T5: revoked":           {"{file: a.pub, revoked: 2026-01-01T00:00:00Z}", verify.ReasonRevokedKey},
		"T5: revoked in future": {"{file: a.pub, revoked: 2026-12-01T00:00:00Z}", verify.ReasonRevokedKey},
	} {
		res, err := w.judged(strings.Replace(policyText, "{file: a.pub}", x.key, 1), now, a, b, c)
		if x.reason == "" {
			if err != nil || !res.ValidUntil.Equal(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)) || !res.ValidAt(now) {
				t.Errorf("%s: %+v, %v", label, res, err)
			}
			continue
		}
		isDenied(t, res, err, verify.ReasonNoTrustedSignature, x.reason)
	}
}

func TestTheMostSpecificRuleDecidesAndNoRuleDenies(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	w.sign(w.image, sign.ImageOptions{}, a)
	now := time.Now()
	res, err := w.judged(policyText, now, a, b, c)
	if err != nil || res.Rule != "registry.example/team/**" || len(res.Requirements) != 1 || res.Requirements[0].By != "release" {
		t.Errorf("%+v, %v", res, err)
	}
	for label, x := range map[string]struct {
		text   string
		reason verify.Reason
	}{
		"no rule":          {strings.Replace(policyText, "team/**", "team-evil/**", 1), verify.ReasonNoRule},
		"specific denies":  {policyText + "  - images: [registry.example/team/app]\n    deny: true\n    reason: retired\n", verify.ReasonDeniedByRule},
		"digest denied":    {policyText + fmt.Sprintf("denyDigests: [{digest: %q, reason: CVE}]\n", w.image.DigestStr()), verify.ReasonDeniedDigest},
		"more keys needed": {policyText + "  - images: [registry.example/team/*]\n    require: [{signature: {by: pair}}]\n", verify.ReasonThreshold},
		"wrong role":       {strings.Replace(policyText, "by: release", "by: builder", 1), verify.ReasonNoTrustedSignature},
	} {
		res, err := w.judged(x.text, now, a, b, c)
		denial := isDenied(t, res, err, x.reason)
		if denial.PolicyDigest == "" || denial.Detail == "" {
			t.Errorf("%s: %+v", label, denial)
		}
	}
}

func TestAnyOfAndAllOfCombineRequirements(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	w.sign(w.image, sign.ImageOptions{}, a)
	by := func(require string) (*verify.Result, error) {
		return w.judged(strings.Replace(policyText, "- signature: {by: release}", "- "+require, 1), time.Now(), a, b, c)
	}
	for require, ok := range map[string]bool{
		"anyOf: [{signature: {by: pair}}, {signature: {by: release}}]":                                        true,
		"anyOf: [{signature: {by: pair}}, {signature: {by: builder}}]":                                        false,
		"allOf: [{signature: {by: release}}, {signature: {by: pair}}]":                                        false,
		"allOf: [{signature: {by: release}}, {anyOf: [{signature: {by: pair}}, {signature: {by: release}}]}]": true,
	} {
		res, err := by(require)
		if (err == nil) != ok {
			t.Errorf("%s: %v, %v", require, res, err)
		}
		var denial *verify.Error
		if errors.As(err, &denial) && len(denial.Unmet) == 0 {
			t.Errorf("%s: nothing is said to be unmet", require)
		}
		// What is told is what the decision rests on: the role that has signed.
		for i := 0; err == nil && i < len(res.Requirements); i++ {
			if m := res.Requirements[i]; m.By != "release" || len(m.Keys) != 1 {
				t.Errorf("%s: rests on %+v", require, m)
			}
		}
		if err == nil && len(res.Keys) != len(res.Requirements) {
			t.Errorf("%s: %d keys for %d requirements", require, len(res.Keys), len(res.Requirements))
		}
	}
}

func TestARuleThatWarnsJudgesAndAllows(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	warn := strings.Replace(policyText, "    require:", "    mode: warn\n    require:", 1)
	res, err := w.judged(warn, time.Now(), a, b, c)
	if err != nil || res.Warning == nil || res.Warning.Reason != verify.ReasonNoSignature {
		t.Fatalf("%+v, %v", res, err)
	}
	w.sign(w.image, sign.ImageOptions{}, a)
	if res, err = w.judged(warn, time.Now(), a, b, c); err != nil || res.Warning != nil {
		t.Errorf("%+v, %v", res, err)
	}
	denied := warn + fmt.Sprintf("denyDigests: [{digest: %q, reason: CVE}]\n", w.image.DigestStr())
	res, err = w.judged(denied, time.Now(), a, b, c)
	isDenied(t, res, err, verify.ReasonDeniedDigest)
}

func TestAttack_T7_AttestationsCountForTheRoleThatIsAskedFor(t *testing.T) {
	w := newWorld(t)
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	require := `attestation: {type: slsaprovenance, by: builder, builder: ["https://ci.example/builder"]}`
	text := strings.Replace(policyText, "- signature: {by: release}", "- "+require, 1)
	res, err := w.judged(text, time.Now(), a, b, c)
	isDenied(t, res, err, verify.ReasonNoAttestation)

	provenance := predicate.Provenance{
		BuildDefinition: predicate.BuildDefinition{BuildType: "https://ci.example/v1", ExternalParameters: map[string]any{"a": "b"}},
		RunDetails:      predicate.RunDetails{Builder: predicate.Builder{ID: "https://ci.example/builder"}},
	}
	say := func(p predicate.Provenance, by person) {
		t.Helper()
		if _, err := attest.Image(context.Background(), w.store, w.image, p, attest.Options{}, by); err != nil {
			t.Fatal(err)
		}
	}
	say(provenance, newPerson(t))
	res, err = w.judged(text, time.Now(), a, b, c)
	isDenied(t, res, err, verify.ReasonNoTrustedAttestation, verify.ReasonUntrustedKey)
	// T7: a key of the policy, in another role.
	say(provenance, a)
	res, err = w.judged(text, time.Now(), a, b, c)
	isDenied(t, res, err, verify.ReasonNoTrustedAttestation, verify.ReasonUntrustedKey, verify.ReasonWrongRole)
	// E3: what is signed as an image signature is no attestation.
	w.sign(w.image, sign.ImageOptions{Formats: []registry.Format{registry.FormatBundle}}, c)
	res, err = w.judged(text, time.Now(), a, b, c)
	isDenied(t, res, err, verify.ReasonNoTrustedAttestation)
	say(provenance, c)
	res, err = w.judged(text, time.Now(), a, b, c)
	if err != nil || len(res.Statements) != 1 || res.Statements[0].KeyID != c.key.ID() || !strings.Contains(string(res.Statements[0].Predicate), "ci.example") {
		t.Errorf("%+v, %v", res, err)
	}
}
