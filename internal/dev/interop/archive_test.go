package interop

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
)

// signedInArchive writes an archive with an image and its signature.
func signedInArchive(t *testing.T, file string) name.Digest {
	t.Helper()
	hosted := registrytest.New(registrytest.Options{}).Store()
	repo, err := name.NewRepository("registry.example/team/app")
	if err != nil {
		t.Fatal(err)
	}
	image, err := registrytest.PushImage(t.Context(), hosted, repo.Tag("v1"), registrytest.ImageOptions{Seed: "archive"})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := sign.Generate(t.Context(), sign.KeyOptions{InsecureEmptyPassword: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Image(t.Context(), hosted, image, sign.ImageOptions{}, pair.Signer); err != nil {
		t.Fatal(err)
	}
	l, err := layout.OpenArchive(file, layout.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // written by Commit
	if _, err := registry.Copy(t.Context(), hosted, repo.Tag("v1"), l, l.Tag("v1"), registry.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return image
}

func skopeoCopies(t *testing.T, from, to string) {
	t.Helper()
	p := newProgram(t, "skopeo")
	policy := p.dir + "/policy.json"
	writeFile(t, policy, []byte(`{"default": [{"type": "insecureAcceptAnything"}]}`))
	if out := p.run(t, "--policy", policy, "copy", "--preserve-digests", from, to); out.code != 0 {
		t.Fatalf("skopeo copy %s %s: %s", from, to, out.stderr)
	}
}

func TestArchive_SkopeoReadsOurs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ours.tar")
	image := signedInArchive(t, file)
	dir := filepath.Join(t.TempDir(), "layout")
	skopeoCopies(t, "oci-archive:"+file+":v1", "oci:"+dir+":v1")
	l, err := layout.Open(dir, layout.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // only read from
	if d, err := l.Resolve(t.Context(), l.Tag("v1")); err != nil || d.Digest.String() != image.DigestStr() {
		t.Errorf("%v, %v, want %s", d, err, image)
	}
}

func TestArchive_WeReadThatOfSkopeo(t *testing.T) {
	ours, theirs := filepath.Join(t.TempDir(), "ours.tar"), filepath.Join(t.TempDir(), "theirs.tar")
	image := signedInArchive(t, ours)
	for ref, tag := range map[string]string{"oci-archive:" + theirs + ":v1": "v1", "oci-archive:" + theirs + ".2:registry.example/team/app:v2": "v2"} {
		skopeoCopies(t, "oci-archive:"+ours+":v1", ref)
		file := theirs
		if tag == "v2" {
			file += ".2"
		}
		l, err := layout.OpenArchive(file, layout.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // only read from
		if d, err := l.Resolve(t.Context(), l.Tag(tag)); err != nil || d.Digest.String() != image.DigestStr() {
			t.Errorf("%s: %v, %v, want %s", ref, d, err, image)
		}
		if _, err := registry.Copy(t.Context(), l, l.Tag(tag), registrytest.New(registrytest.Options{}).Store(), image.Context().Tag(tag), registry.CopyOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func TestArchive_TarListsOurs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ours.tar")
	signedInArchive(t, file)
	if out, err := exec.Command("tar", "-tf", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
