package verify_test

import (
	"context"
	"encoding/json"
	"errors"
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

// billPolicy asks for a bill of materials, and perhaps for a signature.
func billPolicy(w *world, limits *policy.Limits, signature bool) *policy.Policy {
	p := (policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1}).Policy()
	p.Limits = limits
	require := []policy.Requirement{{Attestation: &policy.AttestationRequirement{Type: "spdx", By: "signers"}}}
	if signature {
		require = append(require, p.Rules[0].Require...)
	}
	p.Rules[0].Require = require
	return p
}

// bill is a bill of materials of at least so many bytes.
func bill(t testing.TB, size int) attest.Predicate {
	t.Helper()
	text := `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"x","documentNamespace":"https://x.example/1",` +
		`"creationInfo":{"created":"2026-01-01T00:00:00Z","creators":["Tool: x"]},"comment":"` + strings.Repeat("x", size) + `"}`
	p, err := predicate.Parse("spdx", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDenial_NamesTheLimitThatHidAnAttestation(t *testing.T) {
	for _, format := range []registry.Format{registry.FormatBundle, registry.FormatEnvelope} {
		w := newWorld(t)
		if _, err := attest.Image(t.Context(), w.store, w.image, bill(t, 100_000), attest.Options{Formats: []registry.Format{format}}, w.trusted); err != nil {
			t.Fatal(err)
		}
		judge := func(p *policy.Policy, limits registry.Limits) (*verify.Result, error) {
			v, err := verify.New(p, verify.Options{Limits: limits})
			if err != nil {
				t.Fatal(err)
			}
			return v.Image(context.Background(), w.store, w.image)
		}
		res, err := judge(billPolicy(w, nil, false), registry.Limits{MaxPayloadBytes: 1000})
		denied := isDenied(t, res, err, verify.ReasonTooLarge, verify.ReasonTooLarge)
		l := denied.Limit
		if l == nil || l.Name != "MaxPayloadBytes" || l.Value != 1000 || l.Needed < 100_000 || denied.Unmet[0].Limit == nil {
			t.Fatalf("%s: %+v", format, l)
		}
		text, err := json.Marshal(denied)
		if err != nil || !strings.Contains(string(text), `"limit":{"name":"MaxPayloadBytes","value":1000,"needed":`) {
			t.Errorf("%s, %v", text, err)
		}
		if _, err := judge(billPolicy(w, nil, false), registry.Limits{MaxPayloadBytes: l.Needed}); err != nil {
			t.Errorf("%s: with what is needed: %v", format, err)
		}
		if _, err := judge(billPolicy(w, &policy.Limits{MaxPayloadBytes: l.Needed}, false), registry.Limits{}); err != nil {
			t.Errorf("%s: by the policy: %v", format, err)
		}
		res, err = judge(billPolicy(w, &policy.Limits{MaxPayloadBytes: 10}, false), registry.Limits{})
		isDenied(t, res, err, verify.ReasonTooLarge, verify.ReasonTooLarge)
		if _, err = judge(billPolicy(w, &policy.Limits{MaxPayloadBytes: 10}, false), registry.Limits{MaxPayloadBytes: l.Needed}); err != nil {
			t.Errorf("%s: the program's limit goes before that of the policy: %v", format, err)
		}
		res, err = judge(billPolicy(w, nil, false), registry.Limits{MaxTotalBytes: 1000})
		if denied := isDenied(t, res, err, verify.ReasonTooMuchEvidence, verify.ReasonTooMuchEvidence); denied.Limit == nil || denied.Limit.Name != "MaxTotalBytes" {
			t.Errorf("%s: %+v", format, denied.Limit)
		}
	}
}

func TestDenial_TellsLimitsFromWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	attested := func(p attest.Predicate) {
		t.Helper()
		if _, err := attest.Image(t.Context(), w.store, w.image, p, attest.Options{}, w.trusted); err != nil {
			t.Fatal(err)
		}
	}
	attested(predicate.Custom{Data: strings.Repeat("x", 10_000), Timestamp: time.Now()})
	small := registry.Limits{MaxPayloadBytes: 5000}
	v, err := verify.New(billPolicy(w, nil, true), verify.Options{Limits: small})
	if err != nil {
		t.Fatal(err)
	}
	// Of another type: it is not what is missing.
	res, err := v.Image(t.Context(), w.store, w.image)
	denied := isDenied(t, res, err, verify.ReasonNoAttestation, verify.ReasonTooLarge)
	if len(denied.Unmet) != 2 || denied.Unmet[1].Reason != verify.ReasonNoSignature || denied.Limit != nil {
		t.Errorf("%+v", denied.Unmet)
	}
	attested(bill(t, 10_000))
	w.sign(w.image, sign.ImageOptions{}, w.trusted)
	res, err = v.Image(t.Context(), w.store, w.image)
	denied = isDenied(t, res, err, verify.ReasonTooLarge)
	if len(denied.Unmet) != 1 || denied.Limit == nil {
		t.Errorf("%+v", denied.Unmet)
	}
}

func TestPolicyLimits_RefuseWhatCannotBeMeant(t *testing.T) {
	w := newWorld(t)
	for _, limits := range []policy.Limits{{MaxItems: -1}, {MaxReferrers: -1}, {MaxPayloadBytes: -1}, {MaxTotalBytes: -1}, {MaxPayloadBytes: 1<<30 + 1}} {
		if _, err := verify.New(billPolicy(w, &limits, false), verify.Options{}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%+v: %v", limits, err)
		}
	}
}
