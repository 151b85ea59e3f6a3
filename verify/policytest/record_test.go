package policytest_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/policytest"
)

// Evidence in another repository, in cosign's places, and larger than a list holds is
// recorded too, and the config that a requirement reads.
func TestRecord_HoldsAllThatAPolicyReads(t *testing.T) {
	ctx := t.Context()
	s := newScene(t)
	store := registrytest.New(registrytest.Options{}).Store()
	repo, err := name.NewRepository("registry.example/team/app")
	must(t, err)
	apart, err := name.NewRepository("registry.example/evidence")
	must(t, err)
	digest, err := registrytest.PushImage(ctx, store, repo.Tag("v1"), registrytest.ImageOptions{Seed: "x"})
	must(t, err)
	_, err = sign.Image(ctx, store, digest, sign.ImageOptions{EvidenceRepository: apart, Formats: []registry.Format{registry.FormatSimpleSigning}}, s.signer)
	must(t, err)
	bill, err := predicate.Parse("cyclonedx", []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[{"type":"library","name":"`+strings.Repeat("a", 100_000)+`"}]}`))
	must(t, err)
	_, err = attest.Image(ctx, store, digest, bill, attest.Options{EvidenceRepository: apart}, s.signer)
	must(t, err)
	s.write("policy.yaml", `version: 1
keys: {release: {file: release.pub}}
roles: {release: {keys: [release]}}
rules:
  - images: [registry.example/team/**]
    evidenceRepository: registry.example/evidence
    require:
      - signature: {by: release}
      - attestation: {type: cyclonedx, by: release}
      - config: {platforms: [linux/amd64]}
`)
	path, err := policytest.Record(ctx, store, digest, policytest.RecordOptions{Dir: filepath.Join(s.dir, "cases"), Name: "apart", Policy: filepath.Join(s.dir, "policy.yaml")})
	must(t, err)
	r, err := policytest.Test(ctx, path, policytest.Options{})
	must(t, err)
	if c := r.Cases[0]; c.Status != policytest.StatusPassed || c.Found.Decision != policytest.DecisionAllow {
		t.Errorf("%+v", c)
	}
	text, err := os.ReadFile(path)
	must(t, err)
	if strings.Contains(string(text), s.dir) || !strings.Contains(string(text), "policy: ../policy.yaml") || !strings.Contains(string(text), digest.String()) {
		t.Errorf("%s", text)
	}
}

// What cannot be read is not left out of a case in silence.
func TestRecord_FailsWhereEvidenceCannotBeRead(t *testing.T) {
	s := newScene(t)
	lost := errors.New("lost")
	broken := registrytest.Faulty(s.store, registrytest.Hooks{Blob: func(ctx context.Context, ref name.Digest, size int64) (io.ReadCloser, error) { return nil, lost }})
	s.write("policy.yaml", strings.Replace(scenePolicy, "      - signature: {by: release}\n", "      - signature: {by: release}\n      - config: {nonRoot: true}\n", 1))
	o := policytest.RecordOptions{Dir: filepath.Join(s.dir, "cases"), Name: "x", Policy: filepath.Join(s.dir, "policy.yaml")}
	_, err := policytest.Record(t.Context(), broken, s.signed, o)
	var undecided *verify.UndecidedError
	if !errors.As(err, &undecided) || !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
	left, err := os.ReadDir(o.Dir)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// A case without a blob that is too large for it would deny for a reason of its own.
func TestRecord_FailsWhereBlobsAreTooLargeForACase(t *testing.T) {
	s := newScene(t)
	large := registrytest.Faulty(s.store, registrytest.Hooks{Blob: func(context.Context, name.Digest, int64) (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeros{}, 1<<30)), nil
	}})
	const require = "      - signature: {by: release}\n"
	config := strings.Replace(scenePolicy, require, require+"      - config: {nonRoot: true}\n", 1)
	bill, err := predicate.Parse("cyclonedx", []byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"components":[{"type":"library","name":"`+strings.Repeat("a", 100_000)+`"}]}`))
	must(t, err)
	for _, step := range []struct {
		label, policy string
		attested      bool
	}{{"a config that is asked for", config, false}, {"evidence that is asked for", strings.ReplaceAll(scenePolicy, "type: spdx", "type: cyclonedx"), true}, {"evidence that is not asked for", scenePolicy, false}} {
		label, text := step.label, step.policy
		if step.attested {
			_, err = attest.Image(t.Context(), s.store, s.signed, bill, attest.Options{}, s.signer)
			must(t, err)
		}
		s.write("policy.yaml", text)
		o := policytest.RecordOptions{Dir: filepath.Join(s.dir, "cases"), Name: "x", Policy: filepath.Join(s.dir, "policy.yaml")}
		_, err := policytest.Record(t.Context(), large, s.signed, o)
		if !errors.Is(err, registry.ErrTooLarge) || !strings.Contains(err.Error(), "a case holds blobs of at most 33554432 bytes") {
			t.Errorf("%s: %v", label, err)
		}
		if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", label, left, err)
		}
	}
}

// zeros is a file without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestRecord_FailsWhereReferrersCannotBeListed(t *testing.T) {
	s := newScene(t)
	lost := errors.New("lost")
	broken := registrytest.Faulty(s.store, registrytest.Hooks{Referrers: func(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] {
		return func(yield func(v1.Descriptor, error) bool) { yield(v1.Descriptor{}, lost) }
	}})
	_, err := policytest.Record(t.Context(), broken, s.signed, policytest.RecordOptions{Dir: filepath.Join(s.dir, "cases"), Name: "x", Policy: filepath.Join(s.dir, "policy.yaml")})
	if !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
}

func TestCases_OfAnIndexNameAPlatform(t *testing.T) {
	ctx := t.Context()
	s := newScene(t)
	l, err := layout.Open(filepath.Join(s.dir, "index"), layout.Options{Create: true, Name: "registry.example/team/app"})
	must(t, err)
	index, _, err := registrytest.PushIndex(ctx, l, l.Tag("v1"))
	must(t, err)
	_, err = sign.Image(ctx, l, index, sign.ImageOptions{Annotations: map[string]string{"stage": "production"}}, s.signer)
	must(t, err)
	const image = "image: registry.example/team/app:v1, layout: index"
	r := s.test("- {name: a, " + image + ", platform: linux/amd64, expect: {decision: allow}}\n- {name: b, " + image + ", platform: plan9/mips, expect: {decision: deny, reason: platform-not-listed}}\n" +
		"- {name: c, image: '" + index.String() + "', layout: index, expect: {decision: allow}}\n- {name: d, image: registry.example/team/app, layout: index, expect: {decision: allow}}\n")
	for _, c := range r.Cases {
		if c.Status != policytest.StatusPassed && c.Name != "b" || c.Name == "b" && c.Found.Decision != policytest.DecisionDeny {
			t.Errorf("%+v", c)
		}
	}
}

func TestCompare_TellsWarningsFromDecisions(t *testing.T) {
	s := newScene(t)
	verifier := func(require, mode string) *verify.Verifier {
		p, err := policy.Load(s.write("warn.yaml", "version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\nrules:\n  - images: [\"**\"]\n"+
			mode+"    require: [{signature: {by: release"+require+"}}]\n"), policy.ParseOptions{})
		must(t, err)
		v, err := verify.New(p, verify.Options{})
		must(t, err)
		return v
	}
	c, err := policytest.Compare(t.Context(), verifier("", ""), verifier(", annotations: {a: b}", "    mode: warn\n"), s.store, s.signed)
	must(t, err)
	if c.Effect != policytest.EffectWarned || len(c.Unmet) != 1 || c.Old.Evidence != nil {
		t.Errorf("%+v", c)
	}
}
