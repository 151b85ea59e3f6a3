package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

const (
	acmeIssuer   = "https://token.actions.githubusercontent.com"
	acmeSource   = "https://github.com/acme/app"
	acmeWorkflow = acmeSource + "/.github/workflows/release.yml@refs/tags/v1"
)

// scene is a registry with an image, and an instance whose trust root is in a file.
type scene struct {
	*sigstoretest.Instance
	t     *testing.T
	store registry.Store
	repo  name.Repository
	root  string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{Instance: sigstoretest.New(t, sigstoretest.Options{}), t: t}
	hosted := registrytest.New(registrytest.Options{})
	var err error
	if s.repo, err = name.NewRepository(registrytest.Start(t, hosted) + "/acme/app"); err != nil {
		t.Fatal(err)
	}
	s.store, s.root = hosted.Store(), filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(s.root, s.Root(), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// sign pushes an image under a tag, and attaches a bundle by the certificate.
func (s *scene) sign(tag string, l sigstoretest.Leaf) {
	s.t.Helper()
	digest, err := registrytest.PushImage(s.t.Context(), s.store, s.repo.Tag(tag), registrytest.ImageOptions{Seed: tag})
	if err != nil {
		s.t.Fatal(err)
	}
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%s"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`,
		strings.TrimPrefix(digest.DigestStr(), "sha256:"))
	text := s.Issue(l).SignStatement(statement).Log(s.Rekor2, "dsse 0.0.2").Stamp(s.TSA).Text()
	item := registry.Item{Format: registry.FormatBundle, Layer: v1.Descriptor{MediaType: types.MediaType("application/vnd.dev.sigstore.bundle.v0.3+json")}, Payload: text}
	if _, err := registry.Attach(s.t.Context(), s.store, digest, item); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) run(args ...string) (code int, said string) {
	s.t.Helper()
	var out bytes.Buffer
	code = command.New(command.Plugins{}).Run(s.t.Context(), args, strings.NewReader(""), &out, &out)
	return code, out.String()
}

func TestCommandLine_JudgesImagesByCertificates(t *testing.T) {
	s := newScene(t)
	s.sign("v1", sigstoretest.Leaf{URI: acmeWorkflow, Issuer: acmeIssuer, Claims: map[int]string{12: acmeSource, 14: "refs/tags/v1"}})
	s.sign("jane", sigstoretest.Leaf{Email: "jane@acme.example", Issuer: "https://login.acme.example"})
	s.sign("robot", sigstoretest.Leaf{Username: "robot!acme.example", Issuer: "https://login.acme.example"})
	s.sign("foreign", sigstoretest.Leaf{URI: acmeWorkflow, Issuer: acmeIssuer, CA: sigstoretest.New(t, sigstoretest.Options{}).CA})
	by := func(identity, issuer string, more ...string) []string {
		return append([]string{"--certificate-identity", identity, "--certificate-oidc-issuer", issuer}, more...)
	}
	workflow := by(acmeSource+"/.github/workflows/release.yml@refs/tags/*", acmeIssuer)
	login := "https://login.acme.example"
	for label, c := range map[string]struct {
		tag  string
		args []string
		code int
		says string
	}{
		"a workflow":           {"v1", workflow, 0, "by " + acmeWorkflow},
		"its repository":       {"v1", append(workflow, "--certificate-claim", "sourceRepository="+acmeSource, "--certificate-claim", "sourceRef=refs/tags/*"), 0, acmeWorkflow},
		"another repository":   {"v1", append(workflow, "--certificate-claim", "sourceRepository=https://github.com/acme/other"), 1, "sourceRepository"},
		"an email":             {"jane", by("jane@acme.example", login), 0, "by jane@acme.example"},
		"a username":           {"robot", by("robot!acme.example", login), 0, "by robot!acme.example"},
		"a username as email":  {"robot", by("robot!acme.example", login, "--certificate-identity-type", "email"), 1, "denied"},
		"another's":            {"jane", workflow, 1, "denied"},
		"either of two":        {"jane", by("jane@acme.example", login, "--certificate-identity", "robot!acme.example"), 0, "jane"},
		"both of two":          {"jane", by("jane@acme.example", login, "--certificate-identity", "robot!acme.example", "--threshold", "2"), 1, "threshold"},
		"another authority":    {"foreign", workflow, 1, "denied"},
		"another issuer":       {"jane", by("jane@acme.example", "https://login.evil.example"), 1, "denied"},
		"the wrong case":       {"jane", by("Jane@acme.example", login), 1, "denied"},
		"explained":            {"v1", append(workflow, "--explain"), 0, "vouched for by " + acmeIssuer},
		"timestamps demanded":  {"v1", append(workflow, "--require-timestamps", "default"), 0, acmeWorkflow},
		"two of the same role": {"v1", append(workflow, "--threshold", "2"), 2, "threshold"},
	} {
		args := append([]string{"verify", s.repo.Name() + ":" + c.tag, "--trusted-root", s.root}, c.args...)
		if code, said := s.run(args...); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%s: exit %d: %s", label, code, said)
		}
	}
	if code, said := s.run("inspect", s.repo.Name()+":v1"); code != 0 || !strings.Contains(said, acmeWorkflow) || !strings.Contains(said, "built from "+acmeSource+"  log index ") {
		t.Errorf("exit %d: %s", code, said)
	}
}
