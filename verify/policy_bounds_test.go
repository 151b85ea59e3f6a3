package verify_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Policies that programs make are bounded as those of files are, and fail whole.
func TestPoliciesInGoThatAreTooMuchOrNoPoliciesAreRefused(t *testing.T) {
	for says, change := range map[string]func(*policy.Policy){
		"more than 10000 keys": func(p *policy.Policy) {
			for i := range 10_000 {
				p.Keys[fmt.Sprint(i)] = policy.Key{}
			}
		},
		"more than 100000 rules": func(p *policy.Policy) { p.Rules = slices.Repeat(p.Rules, 100_001) },
		"too many patterns":      func(p *policy.Policy) { p.Rules[0].Images = manyPatterns() },
		// What cannot be written has no digest that would tell it from others.
		"unsupported value": func(p *policy.Policy) {
			p.Rules[0].Require = []policy.Requirement{{Attestation: &policy.AttestationRequirement{
				Type: "slsaprovenance", By: "signers", ProvenanceConditions: policy.ProvenanceConditions{Builder: []string{someBuilder}, Parameters: map[string]any{"n": math.NaN()}},
			}}}
		},
	} {
		p := policy.Signatures{Keys: []policy.PublicKey{newPerson(t).key}, Threshold: 1}.Policy()
		change(p)
		if v, err := verify.New(p, verify.Options{}); v != nil || !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, %v; want ErrInvalid for %q", v, err, says)
		}
	}
	if v, err := verify.New(nil, verify.Options{}); v != nil || !errors.Is(err, policy.ErrInvalid) {
		t.Errorf("no policy: %v, %v", v, err)
	}
}

// manyPatterns are more than can be compared with one another.
func manyPatterns() (all []string) {
	for i := range 2001 {
		all = append(all, fmt.Sprintf("registry.example/*/app-%d", i))
	}
	return all
}

func TestMorePatternsOfBaseImagesThanCanBeComparedAreRefused(t *testing.T) {
	w := newWorld(t)
	w.pushConfig(v1.Config{User: "1"}, map[string]string{"org.opencontainers.image.base.name": "registry.example/base/app-7:1"}, now, "")
	with := func(n int) string {
		return strings.Replace(policyText, signatureRequired, `config: {baseImages: ["`+strings.Join(manyPatterns()[:n], `", "`)+`"]}`, 1)
	}
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	if _, err := w.judged(with(1000), now, people...); err != nil {
		t.Error(err)
	}
	if _, err := policy.Load(written(t, with(2001), people...), policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "baseImages") {
		t.Errorf("%v; want it to be refused", err)
	}
}

// What reads no files must not be told to.
func TestPoliciesThatNameFilesAreRefusedWhereNoneAreRead(t *testing.T) {
	key := "{pem: " + quoted(pemOf(t, newPerson(t))) + "}"
	text := without(policyText, "keys") + "keys: {a: " + key + "}\n"
	text = strings.Replace(text, "  pair: {keys: [a, b], threshold: 2}\n  builder: {keys: [c]}\n", "", 1)
	if _, err := policy.Parse([]byte(text), policy.ParseOptions{}); err != nil {
		t.Fatal(err)
	}
	layout := "attestation: {type: intoto, by: release, layout: layout.json}"
	for label, text := range map[string]string{
		"a key":                 strings.Replace(text, key, "{file: a.pub}", 1),
		"a layout":              strings.Replace(text, signatureRequired, layout, 1),
		"a layout among others": strings.Replace(text, signatureRequired, "allOf: [{signature: {by: release}}, {anyOf: [{"+layout+"}]}]", 1),
	} {
		if _, err := policy.Parse([]byte(text), policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "files are not read here") || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: %v", label, err)
		}
	}
}

func TestALayoutFileThatIsNoneIsRefused(t *testing.T) {
	path := written(t, strings.Replace(policyText, signatureRequired, "attestation: {type: intoto, by: release, layout: layout.json}", 1), newPerson(t), newPerson(t), newPerson(t))
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "layout.json"), []byte(`{"payload":""}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Load(path, policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) || !strings.Contains(err.Error(), "no usable layout") || !strings.Contains(err.Error(), "line 13") {
		t.Errorf("%v", err)
	}
}

func TestAPolicyFileThatCannotBeReadIsRefused(t *testing.T) {
	for label, path := range map[string]string{"missing": filepath.Join(t.TempDir(), "none.yaml"), "a directory": t.TempDir()} {
		if _, err := policy.Load(path, policy.ParseOptions{}); !errors.Is(err, policy.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", label, err)
		}
	}
}
