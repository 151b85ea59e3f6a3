package registrytest_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

// The tests in this file use go-containerregistry's client, to see that the
// registry is one to others too.

func mustTag(t testing.TB, s string) name.Tag {
	t.Helper()
	tag, err := name.NewTag(s, name.StrictValidation)
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func randomImage(t testing.TB) v1.Image {
	t.Helper()
	img, err := random.Image(4096, 3)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// checkImage reads all of an image; the client verifies blobs against their
// digests, and this the archives against the config.
func checkImage(t *testing.T, img v1.Image) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != len(config.RootFS.DiffIDs) || len(layers) == 0 {
		t.Fatalf("%d layers, %d in the config", len(layers), len(config.RootFS.DiffIDs))
	}
	for i, l := range layers {
		archive, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := v1.SHA256(archive)
		if err != nil || got != config.RootFS.DiffIDs[i] {
			t.Errorf("layer %d unpacks to %s (%v), the config says %s", i, got, err, config.RootFS.DiffIDs[i])
		}
		if err := archive.Close(); err != nil {
			t.Error(err)
		}
	}
}

func checkIndex(t *testing.T, idx v1.ImageIndex) {
	t.Helper()
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 2 {
		t.Fatalf("%d children, want 2", len(m.Manifests))
	}
	for _, d := range m.Manifests {
		img, err := idx.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, img)
	}
}

func TestRemote_PushesAndPullsAnImage(t *testing.T) {
	for name, o := range map[string]registrytest.Options{
		"plain":                {},
		"content is required":  {RequireContent: true},
		"without referrers":    {NoReferrers: true},
		"conditional requests": {Conditional: true},
	} {
		t.Run(name, func(t *testing.T) {
			host := registrytest.Start(t, registrytest.New(o))
			tag := mustTag(t, host+"/a/nested/manifests/blobs/app:v1")
			img := randomImage(t)
			if err := remote.Write(tag, img); err != nil {
				t.Fatal(err)
			}
			got, err := remote.Image(tag)
			if err != nil {
				t.Fatal(err)
			}
			checkImage(t, got)
			want, _ := img.Digest()
			if have, _ := got.Digest(); have != want {
				t.Errorf("pulled %s, want %s", have, want)
			}
		})
	}
}

func TestRemote_PushesAndPullsAnIndex(t *testing.T) {
	host := registrytest.Start(t, registrytest.New(registrytest.Options{RequireContent: true}))
	tag := mustTag(t, host+"/app:v1")
	idx, err := random.Index(1024, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, idx); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Index(tag)
	if err != nil {
		t.Fatal(err)
	}
	checkIndex(t, got)
}

func TestRemote_PullsWhatPushImageAndPushIndexBuild(t *testing.T) {
	r := registrytest.New(registrytest.Options{RequireContent: true})
	host := registrytest.Start(t, r)
	for _, docker := range []bool{false, true} {
		tag := mustTag(t, host+"/app:image")
		digest, err := registrytest.PushImage(t.Context(), r.Store(), tag, registrytest.ImageOptions{
			Seed: "x", Layers: 2, LayerSize: 100_000, Docker: docker, Config: v1.Config{User: "65532"},
		})
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(tag)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, img)
		if got, _ := img.Digest(); got.String() != digest.DigestStr() {
			t.Errorf("pulled %s, PushImage said %s", got, digest.DigestStr())
		}
		if config, err := img.ConfigFile(); err != nil || config.Config.User != "65532" || config.OS != "linux" {
			t.Errorf("config %+v, %v", config, err)
		}
	}
	tag := mustTag(t, host+"/app:index")
	_, images, err := registrytest.PushIndex(t.Context(), r.Store(), tag)
	if err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Index(tag)
	if err != nil {
		t.Fatal(err)
	}
	checkIndex(t, idx)
	arm, err := remote.Image(tag, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "arm64"}))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := arm.Digest(); len(images) != 2 || got.String() != images[1].DigestStr() {
		t.Errorf("arm64 is %s, PushIndex said %v", got, images)
	}
}

func TestRemote_ListsReferrers(t *testing.T) {
	for name, o := range map[string]registrytest.Options{
		"API":         {},
		"pages":       {ReferrersPageSize: 1},
		"config type": {ConfigAsArtifactType: true},
		"no API":      {NoReferrers: true},
	} {
		t.Run(name, func(t *testing.T) {
			host := registrytest.Start(t, registrytest.New(o))
			tag := mustTag(t, host+"/app:v1")
			img := randomImage(t)
			if err := remote.Write(tag, img); err != nil {
				t.Fatal(err)
			}
			subject, err := remote.Head(tag)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for range 3 {
				ref := mutate.Subject(randomImage(t), *subject).(v1.Image)
				digest, _ := ref.Digest()
				if err := remote.Write(tag.Context().Digest(digest.String()), ref); err != nil {
					t.Fatal(err)
				}
				want = append(want, digest.String())
			}
			list, err := remote.Referrers(tag.Context().Digest(subject.Digest.String()))
			if err != nil {
				t.Fatal(err)
			}
			index, err := list.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range index.Manifests {
				got = append(got, d.Digest.String())
			}
			if o.ReferrersPageSize > 0 {
				want = want[:1] // go-containerregistry reads one page
			}
			slices.Sort(got) // go-containerregistry sorts a fallback tag
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("listed %v, want %v", got, want)
			}
		})
	}
}

func TestRemote_ListsTagsOverPages(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	host := registrytest.Start(t, r)
	want := []string{"a", "b", "c", "d", "e"}
	for _, tag := range want {
		r.SetTag("app", tag, "sha256:0")
	}
	got, err := remote.List(mustTag(t, host+"/app:x").Context(), remote.WithPageSize(2))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("tags %v, want %v", got, want)
	}
}

func TestRemote_DeletesManifests(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	host := registrytest.Start(t, r)
	tag := mustTag(t, host+"/app:v1")
	if err := remote.Write(tag, randomImage(t)); err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(tag.Context().Digest(d.Digest.String())); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(tag); !isStatus(err, http.StatusNotFound) {
		t.Errorf("after deletion: %v", err)
	}
}

func isStatus(err error, status int) bool {
	var te *transport.Error
	return errors.As(err, &te) && te.StatusCode == status
}

func TestRemote_MountsBlobsOfAnotherRepository(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	host := registrytest.Start(t, r)
	from := mustTag(t, host+"/from:v1")
	if err := remote.Write(from, randomImage(t)); err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(from)
	if err != nil {
		t.Fatal(err)
	}
	r.ResetRequests()
	if err := remote.Write(mustTag(t, host+"/to:v1"), img); err != nil {
		t.Fatal(err)
	}
	for _, req := range r.Requests() {
		if req.Method == http.MethodPatch && req.Repo == "to" {
			t.Errorf("sent what could be mounted: %+v", req)
		}
	}
}

func TestRemote_LogsInWithTokens(t *testing.T) {
	r := registrytest.New(registrytest.Options{Auth: &registrytest.TokenAuth{
		Users: map[string]string{"alice": "secret"}, AnonymousPull: true,
	}})
	host := registrytest.Start(t, r)
	tag := mustTag(t, host+"/team/app:v1")
	alice := remote.WithAuth(&authn.Basic{Username: "alice", Password: "secret"})
	if err := remote.Write(tag, randomImage(t), alice); err != nil {
		t.Fatal(err)
	}
	if scopes := r.TokenScopes(); !slices.Contains(scopes, "repository:team/app:push,pull") {
		t.Errorf("scopes asked for: %q", scopes)
	}
	if _, err := remote.Get(tag); err != nil {
		t.Errorf("anonymous pull: %v", err)
	}
	if err := remote.Write(tag, randomImage(t)); !isStatus(err, http.StatusUnauthorized) {
		t.Errorf("anonymous push: %v", err)
	}
	mallory := remote.WithAuth(&authn.Basic{Username: "alice", Password: "guess"})
	if _, err := remote.Get(tag, mallory); !isStatus(err, http.StatusUnauthorized) {
		t.Errorf("wrong password: %v", err)
	}
}

func TestRemote_RenewsTokensThatWereRevoked(t *testing.T) {
	r := registrytest.New(registrytest.Options{Auth: &registrytest.TokenAuth{AnonymousPull: true}})
	host := registrytest.Start(t, r)
	tag := mustTag(t, host+"/app:v1")
	if _, err := registrytest.PushImage(t.Context(), r.Store(), tag, registrytest.ImageOptions{}); err != nil {
		t.Fatal(err)
	}
	puller, err := remote.NewPuller()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := puller.Get(t.Context(), tag); err != nil {
			t.Fatal(err)
		}
		r.RevokeTokens()
	}
	if n := len(r.TokenScopes()); n < 2 {
		t.Errorf("%d tokens were asked for, want 2", n)
	}
}

func TestRemote_LogsInWithBasicAuthentication(t *testing.T) {
	r := registrytest.New(registrytest.Options{BasicUsers: map[string]string{"alice": "secret"}})
	host := registrytest.Start(t, r)
	tag := mustTag(t, host+"/app:v1")
	if err := remote.Write(tag, randomImage(t), remote.WithAuth(&authn.Basic{Username: "alice", Password: "secret"})); err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Get(tag); !isStatus(err, http.StatusUnauthorized) {
		t.Errorf("without credentials: %v", err)
	}
}
