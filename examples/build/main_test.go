package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

// TestMain lets the test's own program be the release that it starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == releaseCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTheBuildGoesAsItShould(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, ""); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	text := out.String()
	for what, want := range map[string]int{
		"VERIFIED ": 1, "DENIED ": 4, "      attestation vulns by scanner": 1, "attested https://slsa.dev/provenance/v1": 1, "attested https://cyclonedx.org/bom": 1,
		"built by " + builderID: 1, `"id": "` + builderID + `"`: 1, "pkg:golang/github.com/google/go-containerregistry": 1, "   signed sha256:": 1,
	} {
		if got := strings.Count(text, what); got < want {
			t.Errorf("%q stands %d times in the story, want %d\n%s", what, got, want, text)
		}
	}
	for _, never := range []string{"evil.example", string(password)} {
		if strings.Contains(text, never) {
			t.Errorf("%q stands in the story", never)
		}
	}
	if strings.Index(text, "   signed sha256:") > strings.Index(text, "/team/app:v1 is sha256:") {
		t.Error("the tag was set before the image was signed")
	}
}

func TestABuildThatIsCutShortFails(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := run(ctx, &bytes.Buffer{}, ""); err == nil {
		t.Error("no error")
	}
	if err := command(t.Context(), []string{"two", "arguments"}, &bytes.Buffer{}); err == nil {
		t.Error("arguments are taken")
	}
}

func TestTheReleaseSignsNothingWithoutProvenance(t *testing.T) {
	host := registrytest.Start(t, registrytest.New(registrytest.Options{}))
	client, err := newClient()
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(host + "/team/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registrytest.PushImage(t.Context(), client, tag, registrytest.ImageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := &story{out: &bytes.Buffer{}, client: client, repo: tag.Context(), dir: t.TempDir(), digest: digest}
	if err := s.makeKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = release(t.Context(), []string{digest.String(), s.path("builder.pub"), s.path("release.key")}, &bytes.Buffer{})
	var denied *verify.Error
	if !errors.As(err, &denied) || denied.Reason != verify.ReasonNoAttestation {
		t.Errorf("%v, want a denial", err)
	}
}
