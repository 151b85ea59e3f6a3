package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// scene is a registry with a signed and an unsigned image, and a policy.
type scene struct {
	hosted           *registrytest.Registry
	repo             name.Repository
	signer           sign.Signer
	signed, unsigned name.Digest
	policy           string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	ctx := context.Background()
	s := &scene{hosted: registrytest.New(registrytest.Options{})}
	var err error
	s.repo, err = name.NewRepository(registrytest.Start(t, s.hosted) + "/team/app")
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	s.signer, err = sign.New(key, sign.SignerOptions{})
	must(t, err)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	must(t, err)
	s.signed, err = registrytest.PushImage(ctx, s.hosted.Store(), s.repo.Tag("signed"), registrytest.ImageOptions{Seed: "signed"})
	must(t, err)
	s.unsigned, err = registrytest.PushImage(ctx, s.hosted.Store(), s.repo.Tag("unsigned"), registrytest.ImageOptions{Seed: "unsigned"})
	must(t, err)
	_, err = sign.Image(ctx, s.hosted.Store(), s.signed, sign.ImageOptions{}, s.signer)
	must(t, err)
	dir := t.TempDir()
	s.policy = filepath.Join(dir, "policy.yaml")
	must(t, os.WriteFile(filepath.Join(dir, "release.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 0o600))
	s.write(t, "")
	return s
}

// write writes the policy; more are lines of its rule.
func (s *scene) write(t *testing.T, more string) {
	t.Helper()
	text := "version: 1\nkeys: {release: {file: release.pub}}\nroles: {release: {keys: [release]}}\nrules:\n  - images: [\"" + s.repo.RegistryStr() + "/team/**\"]\n" + more +
		"    require: [{signature: {by: release}}]\n"
	must(t, os.WriteFile(s.policy, []byte(text), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func descriptor(digest string) string {
	return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":123}`, digest)
}

// args are those of containerd.
func (s *scene) args(tag, digest string) []string {
	return []string{"-name", s.repo.Tag(tag).String(), "-digest", digest, "-stdin-media-type", descriptorType, "-policy", s.policy}
}

func TestAnImageRunsOnlyWhereThePolicyAllowsItsDigest(t *testing.T) {
	s := newScene(t)
	good, bad := s.signed.DigestStr(), s.unsigned.DigestStr()
	for label, x := range map[string]struct {
		args  []string
		stdin string
		code  int
		says  string
	}{
		"signed":                    {s.args("signed", good), descriptor(good), exitAllowed, "verified"},
		"unsigned":                  {s.args("unsigned", bad), descriptor(bad), exitDenied, "no-signature"},
		"the tag counts for nought": {s.args("signed", bad), descriptor(bad), exitDenied, "no-signature"},
		"other descriptor":          {s.args("signed", good), descriptor(bad), exitUndecided, "another digest"},
		"no descriptor":             {s.args("signed", good), "", exitUndecided, "malformed"},
		"descriptor twice":          {s.args("signed", good), strings.Replace(descriptor(good), "{", `{"digest":"`+bad+`",`, 1), exitUndecided, "malformed"},
		"descriptor of a layer":     {s.args("signed", good), strings.Replace(descriptor(good), "manifest", "layer", 1), exitUndecided, "no image"},
		"descriptor without size":   {s.args("signed", good), strings.Replace(descriptor(good), "123", "0", 1), exitUndecided, "no size"},
		"huge descriptor":           {s.args("signed", good), strings.Repeat(" ", maxDescriptor+1), exitUndecided, "cannot be read"},
		"sha512":                    {s.args("signed", "sha512:"+strings.Repeat("a", 128)), descriptor(good), exitUndecided, "sha256"},
		"no digest":                 {s.args("signed", ""), descriptor(good), exitUndecided, "sha256"},
		"name of another digest":    {append(s.args("signed", good), "-name", s.unsigned.String()), descriptor(good), exitUndecided, "another digest"},
		"malformed name":            {append(s.args("signed", good), "-name", "a b"), descriptor(good), exitUndecided, "blocked"},
		"no arguments":              {nil, descriptor(good), exitUndecided, "blocked"},
		"unknown flag":              {append(s.args("signed", good), "-allow"), descriptor(good), exitUndecided, "blocked"},
		"further argument":          {append(s.args("signed", good), "x"), descriptor(good), exitUndecided, "blocked"},
		"no policy":                 {append(s.args("signed", good), "-policy", s.policy+".none"), descriptor(good), exitUndecided, "policy"},
		"other repository":          {append(s.args("signed", good), "-name", s.repo.RegistryStr()+"/other/app:v1"), descriptor(good), exitDenied, "no rule"},
	} {
		var out bytes.Buffer
		code := run(t.Context(), x.args, strings.NewReader(x.stdin), &out)
		if code != x.code || !strings.Contains(out.String(), x.says) || strings.Count(out.String(), "\n") != 1 || out.Len() > 32<<10 {
			t.Errorf("%s: exit %d: %s", label, code, out.String())
		}
	}
}

func TestWhatCannotBeJudgedIsBlocked(t *testing.T) {
	s := newScene(t)
	digest := s.signed.DigestStr()
	s.hosted.Inject(registrytest.Fault{Do: registrytest.Status(http.StatusForbidden)})
	var out bytes.Buffer
	if code := run(t.Context(), s.args("signed", digest), strings.NewReader(descriptor(digest)), &out); code != exitUndecided {
		t.Errorf("exit %d: %s", code, out.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s.hosted.Inject(registrytest.Fault{Do: registrytest.Delay(time.Hour)})
	if code := run(ctx, s.args("signed", digest), strings.NewReader(descriptor(digest)), io.Discard); code != exitUndecided {
		t.Errorf("exit %d", code)
	}
	if code := run(t.Context(), s.args("signed", digest), panics{}, &out); code != exitUndecided {
		t.Errorf("exit %d", code)
	}
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("unforeseen") }

func TestARuleThatOnlyWarnsIsSaid(t *testing.T) {
	s := newScene(t)
	s.write(t, "    mode: warn\n")
	digest := s.unsigned.DigestStr()
	var out bytes.Buffer
	if code := run(t.Context(), s.args("unsigned", digest), strings.NewReader(descriptor(digest)), &out); code != exitAllowed || !strings.Contains(out.String(), "only warns: no-signature") {
		t.Errorf("exit %d: %s", code, out.String())
	}
}

func TestTheProgramIsCalledAsContainerdDoes(t *testing.T) {
	s := newScene(t)
	program := filepath.Join(t.TempDir(), "verifier")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for digest, code := range map[string]int{s.signed.DigestStr(): 0, s.unsigned.DigestStr(): 1} {
		cmd := exec.CommandContext(t.Context(), program, s.args("v1", digest)...)
		cmd.Stdin = strings.NewReader(descriptor(digest))
		began := time.Now()
		out, _ := cmd.Output() // the exit code is looked at
		if got := cmd.ProcessState.ExitCode(); got != code || len(out) == 0 {
			t.Errorf("exit %d, want %d: %s", got, code, out)
		}
		t.Logf("exit %d after %s: %s", code, time.Since(began), out)
	}
}
