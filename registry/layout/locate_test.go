package layout_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

func TestLocateFindsRegistries(t *testing.T) {
	client, _ := newLayout(t)
	for ref, want := range map[string]string{
		"registry.example/app":                                   "registry.example/app:latest",
		"registry.example:5000/app:v1":                           "registry.example:5000/app:v1",
		"registry.example/oci:v1":                                "registry.example/oci:v1",
		"registry.example/app@sha256:" + strings.Repeat("a", 64): "registry.example/app@sha256:" + strings.Repeat("a", 64),
	} {
		store, got, err := layout.Locate(ref, layout.LocateOptions{Client: client})
		if err != nil || store != registry.Store(client) || got.Name() != want {
			t.Errorf("%s is %v, %v", ref, got, err)
		}
	}
	_, _, err := layout.Locate("registry.example/app:v1", layout.LocateOptions{})
	wantKind(t, err, registry.ErrReference)
	_, _, err = layout.Locate("registry.example/APP:v1", layout.LocateOptions{Client: client})
	wantKind(t, err, registry.ErrReference)
}

func TestLocateFindsLayouts(t *testing.T) {
	base := t.TempDir()
	for _, dir := range []string{"plain", "with:colon", "with@sign", "v1"} {
		l := openLayout(t, filepath.Join(base, dir), layout.Options{Create: true})
		pushImage(t, l, l.Tag("v1"), "image", nil)
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	for ref, want := range map[string]string{
		"plain:v2":             "v2",
		"plain":                "v1",
		"plain/":               "v1",
		"plain@" + digest:      digest,
		"with:colon:v2":        "v2",
		"with:colon/":          "v1",
		"with:colon@" + digest: digest,
		"with@sign:v2":         "v2",
		"with@sign":            "v1",
		"plain/../with:colon/": "v1",
	} {
		store, got, err := layout.Locate("oci:"+base+"/"+ref, layout.LocateOptions{})
		if err != nil || got.Identifier() != want {
			t.Errorf("%s is %v, %v; want %s", ref, got, err, want)
			continue
		}
		must(t, store.(*layout.Layout).Close())
	}
}

func TestLocateInTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	l := openLayout(t, "app", layout.Options{Create: true})
	pushImage(t, l, l.Tag("v1"), "image", nil)
	for _, ref := range []string{"oci:app", "oci:app:v1", "oci:./app", `oci:.:v1`} {
		if ref == "oci:.:v1" {
			t.Chdir("app")
		}
		_, got, err := layout.Locate(ref, layout.LocateOptions{})
		if err != nil || got.Identifier() != "v1" {
			t.Errorf("%s is %v, %v", ref, got, err)
		}
	}
}

func TestLocateRefusesWhatIsNoReference(t *testing.T) {
	dir := t.TempDir()
	openLayout(t, dir, layout.Options{Create: true})
	for ref, want := range map[string]registry.Kind{
		"":                                       registry.ErrReference,
		"oci:":                                   registry.ErrReference,
		"oci::v1":                                registry.ErrReference,
		"oci:@sha256:" + strings.Repeat("a", 64): registry.ErrReference,
		"oci:" + dir + "@sha512:" + strings.Repeat("a", 128): registry.ErrReference,
		"oci:" + dir + "@sha256:" + strings.Repeat("A", 64):  registry.ErrReference,
		"oci:" + dir + "@sha256:" + strings.Repeat("a", 63):  registry.ErrReference,
		"oci:" + dir:                registry.ErrReference, // it holds no image
		"oci:" + dir + "/none:v1":   registry.ErrNotFound,
		"oci:" + dir + ":not a tag": registry.ErrNotFound, // part of the directory's name
	} {
		_, _, err := layout.Locate(ref, layout.LocateOptions{})
		wantKind(t, err, want)
	}
}

func TestLocateFindsTheOneImage(t *testing.T) {
	locate := func(dir string) (string, error) {
		_, ref, err := layout.Locate("oci:"+dir, layout.LocateOptions{})
		if err != nil {
			return "", err
		}
		return ref.Identifier(), nil
	}
	want := func(dir, what string) {
		t.Helper()
		if got, err := locate(dir); err != nil || got != what {
			t.Errorf("found %s, %v; want %s", got, err, what)
		}
	}
	l, dir := newLayout(t)
	image := pushImage(t, l, nil, "image", nil)
	pushImage(t, l, nil, "a referrer", &image.Descriptor)
	pushLayers(t, l, evidenceTag(image, ".sig"), "signature")
	writeIndex(t, dir, append(readIndex(t, dir), image.Descriptor)...)
	want(dir, image.Descriptor.Digest.String())

	other := pushImage(t, l, nil, "other", nil)
	writeIndex(t, dir, append(readIndex(t, dir), other.Descriptor)...)
	_, err := locate(dir)
	wantKind(t, err, registry.ErrReference)

	push(t, l, l.Tag("v1"), image)
	want(dir, "v1")
	push(t, l, l.Tag("latest"), image)
	want(dir, image.Descriptor.Digest.String())
	push(t, l, l.Tag("v2"), other)
	_, err = locate(dir)
	wantKind(t, err, registry.ErrReference)
	for _, tag := range []string{"v1", "v2", "latest"} {
		if err == nil || !strings.Contains(err.Error(), tag) {
			t.Errorf("the error does not list %s: %v", tag, err)
		}
	}
}

func TestLocateMakesLayoutsToWriteTo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	o := layout.LocateOptions{Layout: layout.Options{Create: true}}
	_, _, err := layout.Locate("oci:"+dir, o)
	wantKind(t, err, registry.ErrReference)
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory was still made")
	}
	store, ref, err := layout.Locate("oci:"+dir+":v1", o)
	must(t, err)
	pushImage(t, store, ref, "image", nil)
	if got := readIndex(t, dir); len(got) != 1 {
		t.Errorf("index.json lists %v", got)
	}
}

func TestSplitLayoutReference(t *testing.T) {
	for rest, want := range map[string][2]string{
		`C:\images\app:v1`:                {`C:\images\app`, "v1"},
		`C:\images\app`:                   {`C:\images\app`, ""},
		`C:/images/app:v1`:                {`C:/images/app`, "v1"},
		`dir:tag/sub`:                     {`dir:tag/sub`, ""},
		`/a/b:c:v1`:                       {`/a/b:c`, "v1"},
		`/a/b:-bad`:                       {`/a/b:-bad`, ""},
		`app:` + strings.Repeat("t", 128): {"app", strings.Repeat("t", 128)},
	} {
		dir, tag, digest, err := layout.SplitLayout(rest)
		if err != nil || dir != want[0] || tag != want[1] || digest != (v1.Hash{}) {
			t.Errorf("%s is %q, %q, %v, %v", rest, dir, tag, digest, err)
		}
	}
}
