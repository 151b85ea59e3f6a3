package interop

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	ggcrremote "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/remote"
	"github.com/hallmark-oci/hallmark/verify"
)

// scene is a repository of its own with two images, pushed by code that is not
// ours.
type scene struct {
	store registry.Store
	repo  name.Repository
	tag   name.Tag
	// image is what tag names. other is another image.
	image, other name.Digest
}

func newScene(t testing.TB, host string) *scene {
	t.Helper()
	unique := sha256.Sum256([]byte(t.Name()))
	repo, err := name.NewRepository(fmt.Sprintf("%s/team/app-%x", host, unique[:6]))
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{store: newStore(t), repo: repo, tag: repo.Tag("v1")}
	s.image = s.push(t, s.tag, newImage(t, "amd64", "the image"))
	s.other = s.push(t, repo.Tag("other"), newImage(t, "amd64", "another image"))
	return s
}

// newStore makes a client of our own, without the credentials of the user who runs this.
func newStore(t testing.TB) *remote.Client {
	t.Helper()
	client, err := remote.New(remote.Options{Keychain: authn.NewMultiKeychain()})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (s *scene) push(t testing.TB, ref name.Reference, image v1.Image) name.Digest {
	t.Helper()
	if err := ggcrremote.Write(ref, image, ggcrremote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return digestIn(t, s.repo, image)
}

// pushIndex adds an image for two platforms, and returns it and its children.
func (s *scene) pushIndex(t testing.TB) (index name.Digest, children []name.Digest) {
	t.Helper()
	built, images := newIndex(t)
	if err := ggcrremote.WriteIndex(s.repo.Tag("index"), built, ggcrremote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		children = append(children, digestIn(t, s.repo, image))
	}
	return digestIn(t, s.repo, built), children
}

func newIndex(t testing.TB) (index v1.ImageIndex, children []v1.Image) {
	t.Helper()
	index = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range []string{"amd64", "arm64"} {
		image := newImage(t, architecture, "one of two platforms")
		children = append(children, image)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: "linux", Architecture: architecture},
		}})
	}
	return index, children
}

// hasDigest is an image or an index.
type hasDigest interface{ Digest() (v1.Hash, error) }

func digestOf(t testing.TB, content hasDigest) v1.Hash {
	t.Helper()
	digest, err := content.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func digestIn(t testing.TB, repo name.Repository, content hasDigest) name.Digest {
	t.Helper()
	return repo.Digest(digestOf(t, content).String())
}

// newImage makes an OCI image with one file.
func newImage(t testing.TB, architecture, text string) v1.Image {
	t.Helper()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	content := archive(t, text)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

func archive(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "hello.txt", Mode: 0o644, Size: int64(len(text))})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// verified fails the test unless ref verifies, as want, by all of the keys.
func (s *scene) verified(t testing.TB, v *verify.Verifier, ref name.Reference, want name.Digest, keys ...key) *verify.Result {
	t.Helper()
	result, err := v.Image(t.Context(), s.store, ref)
	if err != nil {
		t.Fatalf("%s: %v\n%s", ref, err, evidenceOf(err))
	}
	if result.Digest != want {
		t.Fatalf("verified %s, want %s", result.Digest, want)
	}
	if len(result.Keys) != len(keys) {
		t.Fatalf("%d keys counted, want %d", len(result.Keys), len(keys))
	}
	for _, k := range keys {
		if !signedBy(result.Keys, k) {
			t.Fatalf("key %s is not among the signers %+v", k.pair.ID, result.Keys)
		}
	}
	return result
}

func signedBy(signers []verify.Principal, k key) bool {
	for _, s := range signers {
		if s.ID == k.pair.ID {
			return true
		}
	}
	return false
}

// denied fails the test unless ref is refused for the reason, and some piece of
// evidence for the reason evidence; "" stands for any.
func (s *scene) denied(t testing.TB, v *verify.Verifier, ref name.Reference, reason, evidence verify.Reason) {
	t.Helper()
	result, err := v.Image(t.Context(), s.store, ref)
	var refusal *verify.Error
	if !errors.As(err, &refusal) || result != nil {
		t.Fatalf("%s: got %v, %v, want a *verify.Error", ref, result, err)
	}
	if refusal.Reason != reason {
		t.Fatalf("%s: denied with %s, want %s\n%s", ref, refusal.Reason, reason, evidenceOf(err))
	}
	if evidence == "" {
		return
	}
	for _, e := range refusal.Evidence {
		if e.Reason == evidence {
			return
		}
	}
	t.Fatalf("%s: no evidence is %s:\n%s", ref, evidence, evidenceOf(err))
}

// evidenceOf lists what a decision rests on, one piece in a line.
func evidenceOf(err error) string {
	var list []verify.Evidence
	var refusal *verify.Error
	var undecided *verify.UndecidedError
	switch {
	case errors.As(err, &refusal):
		list = refusal.Evidence
	case errors.As(err, &undecided):
		list = undecided.Evidence
	}
	text := ""
	for _, e := range list {
		text += fmt.Sprintf("%+v\n", e)
	}
	return text
}
