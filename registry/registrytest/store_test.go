package registrytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

func mustRepo(t testing.TB, s string) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(s, name.StrictValidation)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func TestStore_KeepsTheContract(t *testing.T) {
	for what, o := range map[string]registrytest.Options{
		"zero options":        {},
		"without referrers":   {NoReferrers: true},
		"content is required": {RequireContent: true},
	} {
		t.Run(what, func(t *testing.T) {
			registrytest.TestStore(t, func(t *testing.T) (registry.Store, name.Repository) {
				return registrytest.New(o).Store(), mustRepo(t, "registry.example/team/app")
			})
		})
	}
}

func TestStore_KeepsTheContractBehindHooks(t *testing.T) {
	registrytest.TestStore(t, func(t *testing.T) (registry.Store, name.Repository) {
		return registrytest.Faulty(registrytest.New(registrytest.Options{}).Store(), registrytest.Hooks{}), mustRepo(t, "registry.example/team/app")
	})
}

func newStore(o registrytest.Options) (*registrytest.Registry, registry.Store) {
	r := registrytest.New(o)
	return r, r.Store()
}

func wantKind(t *testing.T, what string, err error, kind registry.Kind) {
	t.Helper()
	var typed *registry.Error
	if !errors.Is(err, kind) || !errors.As(err, &typed) {
		t.Errorf("%s: got error %v, want a *registry.Error of kind %q", what, err, kind)
	}
}

func readAll(s registry.Store, ref name.Digest, size int64) (string, error) {
	body, err := s.Blob(context.Background(), ref, size)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(body)
	return string(data), errors.Join(err, body.Close())
}

func TestStore_NoticesContentThatWasTamperedWith(t *testing.T) {
	r, s := newStore(registrytest.Options{})
	repo := mustRepo(t, "registry.example/app")
	claimed := repo.Digest(digestOf("claimed"))
	r.PutBlobAs("app", claimed.DigestStr(), []byte("CLAIMED"))
	for _, size := range []int64{7, -1} {
		_, err := readAll(s, claimed, size)
		wantKind(t, fmt.Sprintf("blob of size %d", size), err, registry.ErrDigestMismatch)
	}
	r.Put("app", claimed.DigestStr(), ociManifest, []byte(manifestOf("evil", "")))
	r.SetTag("app", "v1", claimed.DigestStr())
	for _, ref := range []name.Reference{claimed, repo.Tag("v1")} {
		_, err := s.Manifest(t.Context(), ref)
		wantKind(t, "manifest", err, registry.ErrDigestMismatch)
		_, err = s.Resolve(t.Context(), ref)
		wantKind(t, "resolve", err, registry.ErrDigestMismatch)
	}
	r.SetTag("app", "dangling", digestOf("nothing"))
	_, err := s.Resolve(t.Context(), repo.Tag("dangling"))
	wantKind(t, "a tag of nothing", err, registry.ErrNotFound)
}

func TestStore_SharesItsContentWithTheHandler(t *testing.T) {
	c := newClient(t, registrytest.Options{})
	repo := mustRepo(t, "anywhere.example/team/app")
	digest, err := registrytest.PushImage(t.Context(), c.r.Store(), repo.Tag("v1"), registrytest.ImageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.header(c.do(200, "GET", "/v2/team/app/manifests/v1", ""), "Docker-Content-Digest", digest.DigestStr())
	_, err = c.r.Store().Resolve(t.Context(), mustRepo(t, "anywhere.example/app").Tag("v1"))
	wantKind(t, "another repository", err, registry.ErrNotFound)
	if n := len(c.r.Requests()); n != 1 {
		t.Errorf("%d requests; what the Store does is none", n)
	}
}

func TestStore_ListsReferrersOfTheFallbackTag(t *testing.T) {
	r, s := newStore(registrytest.Options{NoReferrers: true})
	repo := mustRepo(t, "registry.example/app")
	subject := repo.Digest(digestOf("subject"))
	fallback := "sha256-" + digestOf("subject")[len("sha256:"):]
	list := func() (all []string, err error) {
		for d, e := range s.Referrers(t.Context(), subject) {
			if err = e; err == nil {
				all = append(all, d.ArtifactType)
			}
		}
		return all, err
	}
	d := registrytest.InventReferrers(1, "a/b")[0]
	r.Put("app", fallback, ociIndex, fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":1,"artifactType":"a/b"}]}`, ociManifest, d.Digest))
	if got, err := list(); err != nil || !slices.Equal(got, []string{"a/b"}) {
		t.Errorf("referrers %v, error %v", got, err)
	}
	r.Put("app", fallback, ociIndex, []byte("no index"))
	_, err := list()
	wantKind(t, "malformed", err, registry.ErrMalformed)
	r.SetTag("app", fallback, digestOf("evil"))
	r.Put("app", digestOf("evil"), ociIndex, []byte("tampered with"))
	_, err = list()
	wantKind(t, "tampered with", err, registry.ErrDigestMismatch)
}

func TestStore_EndsAListWhenTheContextEnds(t *testing.T) {
	r, s := newStore(registrytest.Options{})
	repo := mustRepo(t, "registry.example/app")
	for i := range 3 {
		r.Put("app", "", ociManifest, []byte(manifestOf(fmt.Sprint(i), fmt.Sprintf(`,"subject":{"digest":%q}`, digestOf("subject")))))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var listed int
	var last error
	for _, err := range s.Referrers(ctx, repo.Digest(digestOf("subject"))) {
		if last = err; err == nil {
			listed++
		}
		cancel()
	}
	if listed != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d listed, then %v", listed, last)
	}
}

func TestStore_BoundsAndRefusals(t *testing.T) {
	_, s := newStore(registrytest.Options{MaxManifest: 1000, MaxBlob: 10})
	repo := mustRepo(t, "registry.example/app")
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("twelve bytes")), nil }
	ref := repo.Digest(digestOf("twelve bytes"))
	wantKind(t, "blob", s.PushBlob(t.Context(), ref, 12, open), registry.ErrTooLarge)
	wantKind(t, "negative size", s.PushBlob(t.Context(), ref, -1, open), registry.ErrMalformed)
	push := func(ref name.Reference, mediaType, data string) error {
		m, err := registry.NewManifest(mediaType, []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.PushManifest(t.Context(), ref, m, registry.PushOptions{})
		return err
	}
	wantKind(t, "manifest", push(repo.Tag("v1"), ociManifest, manifestOf(strings.Repeat("x", 1000), "")), registry.ErrTooLarge)
	wantKind(t, "media type", push(repo.Tag("v1"), ociIndex, manifestOf("x", "")), registry.ErrMalformed)
	wantKind(t, "no JSON", push(repo.Tag("v1"), ociManifest, "x"), registry.ErrMalformed)
	wantKind(t, "bad tag", push(repo.Tag("a/b"), ociManifest, manifestOf("x", "")), registry.ErrReference)

	_, s = newStore(registrytest.Options{RequireContent: true})
	wantKind(t, "absent content", push(repo.Tag("v1"), ociManifest, manifestOf("x", "")), registry.ErrNotFound)
}

func TestStore_Mounts(t *testing.T) {
	r, s := newStore(registrytest.Options{})
	from, to := mustRepo(t, "registry.example/from"), mustRepo(t, "registry.example/to")
	r.PutBlob("from", []byte("content"))
	mounter, ok := s.(interface {
		MountBlob(context.Context, name.Digest, name.Repository) (bool, error)
	})
	if !ok {
		t.Fatal("the store cannot mount")
	}
	for content, want := range map[string]bool{"content": true, "absent": false} {
		if got, err := mounter.MountBlob(t.Context(), to.Digest(digestOf(content)), from); got != want || err != nil {
			t.Errorf("mount %q: %v, %v", content, got, err)
		}
	}
	if got, err := readAll(s, to.Digest(digestOf("content")), 7); got != "content" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	_, err := mounter.MountBlob(t.Context(), to.Digest("sha256:x"), from)
	wantKind(t, "bad digest", err, registry.ErrReference)
}

func TestFaulty_HooksReplaceTheirMethodAlone(t *testing.T) {
	_, s := newStore(registrytest.Options{})
	repo := mustRepo(t, "registry.example/app")
	lie := errors.New("a lie")
	called := make(map[string]bool)
	mark := func(name string) error { called[name] = true; return lie }
	f := registrytest.Faulty(s, registrytest.Hooks{
		Resolve: func(context.Context, name.Reference) (v1.Descriptor, error) { return v1.Descriptor{}, mark("Resolve") },
		Manifest: func(context.Context, name.Reference) (registry.Manifest, error) {
			return registry.Manifest{}, mark("Manifest")
		},
		Blob: func(context.Context, name.Digest, int64) (io.ReadCloser, error) { return nil, mark("Blob") },
		Referrers: func(context.Context, name.Digest) iter.Seq2[v1.Descriptor, error] {
			return func(yield func(v1.Descriptor, error) bool) { yield(v1.Descriptor{}, mark("Referrers")) }
		},
		HasBlob: func(context.Context, name.Digest) (bool, error) { return false, mark("HasBlob") },
		PushBlob: func(context.Context, name.Digest, int64, func() (io.ReadCloser, error)) error {
			return mark("PushBlob")
		},
		PushManifest: func(context.Context, name.Reference, registry.Manifest, registry.PushOptions) (registry.PushReport, error) {
			return registry.PushReport{}, mark("PushManifest")
		},
	})
	ref := repo.Digest(digestOf("x"))
	_, err1 := f.Resolve(t.Context(), ref)
	_, err2 := f.Manifest(t.Context(), ref)
	_, err3 := f.Blob(t.Context(), ref, 1)
	_, err4 := f.HasBlob(t.Context(), ref)
	err5 := f.PushBlob(t.Context(), ref, 1, nil)
	_, err6 := f.PushManifest(t.Context(), ref, registry.Manifest{}, registry.PushOptions{})
	var err7 error
	for _, err7 = range f.Referrers(t.Context(), ref) {
	}
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		if err != lie {
			t.Errorf("method %d: %v", i, err)
		}
	}
	if len(called) != 7 {
		t.Errorf("called %v", called)
	}
}

func TestPushImage_SameOptionsSameImage(t *testing.T) {
	_, s := newStore(registrytest.Options{})
	repo := mustRepo(t, "registry.example/app")
	digests := make(map[string]string)
	for what, o := range map[string]registrytest.ImageOptions{
		"zero":        {},
		"seed":        {Seed: "x"},
		"platform":    {Platform: v1.Platform{OS: "linux", Architecture: "arm64"}},
		"layers":      {Layers: 3},
		"size":        {LayerSize: 1000},
		"size, seed":  {LayerSize: 1000, Seed: "x"},
		"config":      {Config: v1.Config{User: "root"}},
		"annotations": {Annotations: map[string]string{"a": "b"}},
		"docker":      {Docker: true},
	} {
		var twice [2]name.Digest
		for i := range twice {
			var err error
			if twice[i], err = registrytest.PushImage(t.Context(), s, repo.Tag("v1"), o); err != nil {
				t.Fatal(err)
			}
		}
		if twice[0] != twice[1] {
			t.Errorf("%s: %s, then %s", what, twice[0], twice[1])
		}
		if other, ok := digests[twice[0].DigestStr()]; ok {
			t.Errorf("%s is the same image as %s", what, other)
		}
		digests[twice[0].DigestStr()] = what
		d, err := s.Resolve(t.Context(), twice[0])
		if err != nil || d.Digest.String() != twice[0].DigestStr() {
			t.Errorf("%s: by digest %v, %v", what, d, err)
		}
	}
}

func TestPushIndex_HasThePlatformsAskedFor(t *testing.T) {
	_, s := newStore(registrytest.Options{RequireContent: true})
	repo := mustRepo(t, "registry.example/app")
	platforms := []v1.Platform{{OS: "linux", Architecture: "arm", Variant: "v7"}, {OS: "windows", Architecture: "amd64", OSVersion: "10"}}
	digest, images, err := registrytest.PushIndex(t.Context(), s, repo.Tag("v1"), platforms...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Manifest(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	index, err := v1.ParseIndexManifest(strings.NewReader(string(m.Bytes)))
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range index.Manifests {
		if !d.Platform.Equals(platforms[i]) || d.Digest.String() != images[i].DigestStr() {
			t.Errorf("child %d: %+v", i, d)
		}
	}
	if len(images) != len(platforms) || images[0] == images[1] {
		t.Errorf("images %v", images)
	}
	_, other, err := registrytest.PushIndex(t.Context(), s, repo.Tag("v2"), platforms...)
	if err != nil || other[0] == images[0] {
		t.Errorf("another tag has the same images %v, error %v", other, err)
	}
}

func TestPushReferrer_IsListedAsItSays(t *testing.T) {
	_, s := newStore(registrytest.Options{RequireContent: true})
	repo := mustRepo(t, "registry.example/app")
	subject, err := registrytest.PushImage(t.Context(), s, repo.Tag("v1"), registrytest.ImageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, about := range []name.Digest{subject, repo.Digest(digestOf("absent"))} {
		want, err := registrytest.PushReferrer(t.Context(), s, about, "a/b", []byte("payload"), map[string]string{"k": "v"})
		if err != nil {
			t.Fatal(err)
		}
		for got, err := range s.Referrers(t.Context(), about) {
			if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("listed %+v, error %v, want %+v", got, err, want)
			}
		}
	}
	_, err = registrytest.PushReferrer(t.Context(), s, repo.Digest("sha256:x"), "a/b", nil, nil)
	wantKind(t, "bad subject", err, registry.ErrReference)
}
