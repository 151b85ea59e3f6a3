package gate_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/gate"
)

// policyFile writes a policy of the scene's key, and returns a function that replaces it.
func (s *scene) policyFile(more string) (path string, write func(more string)) {
	s.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	must(s.t, err)
	path = filepath.Join(s.t.TempDir(), "policy.yaml")
	text := fmt.Sprintf("version: 1\nkeys: {release: {pem: %q}}\nroles: {release: {keys: [release]}}\n", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	write = func(more string) {
		s.t.Helper()
		must(s.t, os.WriteFile(path+".new", []byte(text+more), 0o600))
		must(s.t, os.Rename(path+".new", path))
	}
	write(more)
	return path, write
}

const signedRule = "rules: [{images: [\"**\"], require: [{signature: {by: release}}]}]\n"

func TestGate_DeniesEverythingWhileThePolicyIsRefused(t *testing.T) {
	for _, strict := range []bool{false, true} {
		s := newScene(t, registrytest.Options{}, nil)
		path, write := s.policyFile("serial: 5\n" + signedRule)
		var log bytes.Buffer
		source, err := verify.NewFileSource(path, verify.FileSourceOptions{Interval: time.Nanosecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		must(t, err)
		s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier, c.DenyOnRefusedPolicy = source, strict })
		layer := blobPath(s.parts(s.signed)[1])
		paths := []string{manifestPath + "signed", manifestPath + s.signed.DigestStr(), layer, "/v2/team/app/tags/list", "/v2/team/app/referrers/" + s.signed.DigestStr()}
		passes := func(want bool) {
			t.Helper()
			for _, p := range paths {
				if r := s.get(p); (r.status == http.StatusOK) != want || !want && !strings.Contains(r.message(), "DENIED: ") || !want && !strings.Contains(r.message(), string(verify.ReasonPolicyRefused)) {
					t.Errorf("strict %t: %s: %d %s", strict, p, r.status, r.body)
				}
			}
		}
		passes(true)
		for _, bad := range []string{"serial: 6\nrules: [{images: [secretword*], deny: true}]\n", "serial: 6\n  secretword", "serial: 4\n" + signedRule} {
			log.Reset()
			write(bad)
			passes(!strict)
			if source.Err() == nil || !strings.Contains(log.String(), "policy rejected") {
				t.Errorf("%q: %v, %s", bad, source.Err(), log.String())
			}
			if r := s.get(paths[0]); strings.Contains(string(r.body), "secretword") || strings.Contains(string(r.body), path) {
				t.Errorf("a client is told of the policy: %s", r.body)
			}
			write("serial: 5\n" + signedRule)
			passes(true)
		}
		must(t, os.Remove(path))
		passes(!strict)
	}
}

func TestGate_RefusesToDenyByASourceThatCannotTell(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	_, err := gate.NewHandler(gate.Config{Verifier: s.verifier(nil), Upstreams: []gate.Upstream{{Registry: known}}, DenyOnRefusedPolicy: true})
	if !errors.Is(err, gate.ErrConfig) || !strings.Contains(err.Error(), "DenyOnRefusedPolicy") {
		t.Error(err)
	}
}

func TestGate_ExemptionsAreInTheAuditLogAndTheLog(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	exempting := func(until time.Time) string {
		return fmt.Sprintf(`requirements: {bill: {attestation: {type: spdx, by: release}}}
rules: [{images: ["**"], require: [{signature: {by: release}}, {use: bill}]}]
exemptions: [{images: ["**"], digests: [%q], requirement: bill, reason: broken, by: jane, until: %s}]
`, s.signed.DigestStr(), until.UTC().Format(time.RFC3339))
	}
	path, write := s.policyFile(exempting(time.Now().Add(8 * 24 * time.Hour)))
	var log bytes.Buffer
	audit := &lines{}
	source, err := verify.NewFileSource(path, verify.FileSourceOptions{Interval: time.Nanosecond})
	must(t, err)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) {
		c.Verifier, c.Audit, c.Logger = source, audit, slog.New(slog.NewTextHandler(&log, nil))
	})
	s.passes("signed")
	if text := log.String(); !strings.Contains(text, "level=INFO") || strings.Contains(text, "level=WARN") || !strings.Contains(text, "by jane: broken") {
		t.Error(text)
	}
	log.Reset()
	write(exempting(time.Now().Add(6 * 24 * time.Hour)))
	s.passes("signed")
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "by jane: broken") {
		t.Error(text)
	}
	for _, e := range audited(t, audit) {
		if e.Kind != gate.EventAllowed || e.Status != verify.StatusExempted || len(e.Exemptions) != 1 || e.Exemptions[0].By != "jane" || e.Exemptions[0].Until.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	write(exempting(time.Now().Add(-time.Hour)))
	s.denied(manifestPath+"signed", "the exemption by jane ended on")
}

// A manifest that an exempt index lists passes by its own exemption, by its own evidence, or
// not at all.
func TestAttack_T24_GatesPassExemptIndexesWithoutTheirImages(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	images := make([]v1.Image, 3)
	var adds []mutate.IndexAddendum
	for i := range images {
		image, err := random.Image(64, 1)
		must(t, err)
		images[i] = image
		adds = append(adds, mutate.IndexAddendum{Add: image})
	}
	index, err := registry.Push(t.Context(), s.store, s.repo, mutate.AppendManifests(empty.Index, adds...))
	must(t, err)
	var children []name.Digest
	for _, image := range images {
		hash, err := image.Digest()
		must(t, err)
		children = append(children, s.repo.Digest(hash.String()))
	}
	s.sign(index)
	s.sign(children[1])
	attested, err := predicate.Parse("spdx", []byte(`{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"x","documentNamespace":"https://x.example","dataLicense":"CC0-1.0","creationInfo":{"created":"2026-01-01T00:00:00Z","creators":["Tool: x"]},"packages":[]}`))
	must(t, err)
	_, err = attest.Image(t.Context(), s.store, children[1], attested, attest.Options{}, s.signer)
	must(t, err)
	path, _ := s.policyFile(fmt.Sprintf(`requirements: {bill: {attestation: {type: spdx, by: release}}}
rules: [{images: ["**"], require: [{signature: {by: release}}, {use: bill}]}]
exemptions: [{images: ["**"], digests: [%q, %q], requirement: bill, reason: broken, by: jane, until: %s}]
`, index.DigestStr(), children[2].DigestStr(), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	source, err := verify.NewFileSource(path, verify.FileSourceOptions{})
	must(t, err)
	s.start(registrytest.Start(t, s.hosted), func(c *gate.Config) { c.Verifier = source })
	s.passes(index.DigestStr())
	s.denied(manifestPath+children[0].DigestStr(), "no-signature")
	s.passes(children[1].DigestStr())
	s.passes(children[2].DigestStr())
}
