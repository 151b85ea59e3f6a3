package registry_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// stores are the kinds of store that evidence can be removed from, each with an
// image.
func stores(t *testing.T, test func(t *testing.T, s registry.Store, subject name.Digest)) {
	for label, o := range map[string]registrytest.Options{
		"referrers API": {}, "fallback tag": {NoReferrers: true}, "conditional": {NoReferrers: true, Conditional: true},
	} {
		t.Run(label, func(t *testing.T) {
			host := registrytest.Start(t, registrytest.New(o))
			c, err := remote.New(remote.Options{})
			if err != nil {
				t.Fatal(err)
			}
			test(t, c, pushTagged(t, c, host+"/team/app:v1"))
		})
	}
	t.Run("layout", func(t *testing.T) {
		l, err := layout.Open(t.TempDir(), layout.Options{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		test(t, l, pushTagged(t, l, l.Tag("v1").String()))
	})
}

func pushTagged(t *testing.T, s registry.Store, ref string) name.Digest {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registrytest.PushImage(context.Background(), s, tag, registrytest.ImageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// evidenceOf lists what is attached; a tag without layers is nothing.
func evidenceOf(t *testing.T, s registry.Store, subject name.Digest) []registry.Item {
	t.Helper()
	var all []registry.Item
	for item, err := range registry.Evidence(context.Background(), s, subject, registry.Limits{}) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Format != registry.FormatOther {
			all = append(all, item)
		}
	}
	return all
}

func words(items []registry.Item) []string {
	var all []string
	for _, item := range items {
		all = append(all, string(item.Format)+" "+string(item.Payload))
	}
	return all
}

func TestDetachRemovesOneThingAndNothingElse(t *testing.T) {
	stores(t, func(t *testing.T, s registry.Store, subject name.Digest) {
		ctx := context.Background()
		attach(t, s, subject, bundleItem("a"), bundleItem("b"), simpleItem("a"), simpleItem("b"), envelopeItem("a"), envelopeItem("b"))
		for {
			before := evidenceOf(t, s, subject)
			if len(before) == 0 {
				break
			}
			if err := registry.Detach(ctx, s, subject, before[0]); err != nil {
				t.Fatal(err)
			}
			want := words(before[1:])
			if after := words(evidenceOf(t, s, subject)); !slices.Equal(after, want) {
				t.Fatalf("without %q there is %q, want %q", words(before[:1]), after, want)
			}
		}
		if _, err := s.Resolve(ctx, subject); err != nil {
			t.Errorf("the image itself: %v", err)
		}
		if _, err := s.Resolve(ctx, subject.Context().Tag("v1")); err != nil {
			t.Errorf("its tag: %v", err)
		}
	})
}

func TestDetachTellsWhyTheStoreStillListsTheEvidence(t *testing.T) {
	r := registrytest.New(registrytest.Options{})
	host := registrytest.Start(t, r)
	c, err := remote.New(remote.Options{MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	subject := pushTagged(t, c, host+"/team/app:v1")
	attach(t, c, subject, bundleItem("a"))
	item := evidenceOf(t, c, subject)[0]
	for label, c2 := range map[string]struct {
		do   registrytest.Effect
		want registry.Kind
	}{
		"not allowed":    {registrytest.Status(403), registry.ErrDenied},
		"said, not done": {registrytest.Reply(registrytest.Answer{Status: 202}), registry.ErrNotConfirmed},
	} {
		r.Inject(registrytest.Fault{Method: "DELETE", Times: 1, Do: c2.do})
		if err := registry.Detach(context.Background(), c, subject, item); !errors.Is(err, c2.want) {
			t.Errorf("%s: %v, want %s", label, err, c2.want)
		}
	}
	plain := registrytest.Faulty(c, registrytest.Hooks{})
	if err := registry.Detach(context.Background(), plain, subject, item); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("a store that removes nothing: %v", err)
	}
	if err := registry.Detach(context.Background(), c, subject, registry.Item{}); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("an item from nowhere: %v", err)
	}
}

func TestRemovingWhatIsNotThereIsNotFound(t *testing.T) {
	stores(t, func(t *testing.T, s registry.Store, subject name.Digest) {
		absent := subject.Context().Digest("sha256:" + strings.Repeat("0", 64))
		if err := s.(registry.Remover).RemoveManifest(context.Background(), absent); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%v, want ErrNotFound", err)
		}
		if err := s.(registry.Remover).RemoveManifest(context.Background(), name.Digest{}); !errors.Is(err, registry.ErrReference) {
			t.Errorf("no digest: %v, want ErrReference", err)
		}
	})
}

func TestAttachReadsBackWhatWasAttached(t *testing.T) {
	stores(t, func(t *testing.T, s registry.Store, subject name.Digest) {
		ctx := context.Background()
		for _, item := range []registry.Item{bundleItem("a"), simpleItem("b"), envelopeItem("c")} {
			at, err := registry.Attach(ctx, s, subject, item)
			if err != nil {
				t.Fatal(err)
			}
			item.Payload = []byte("never attached")
			if err := registry.Confirm(ctx, s, subject, item, at); !errors.Is(err, registry.ErrNotConfirmed) && !errors.Is(err, registry.ErrNotFound) {
				t.Errorf("%s of other content: %v", item.Format, err)
			}
		}
		if _, err := registry.Attach(ctx, s, subject, registry.Item{Format: registry.FormatOther}); !errors.Is(err, registry.ErrUnsupported) {
			t.Errorf("an unknown format: %v", err)
		}
	})
}

// failingAt is a store that fails one call.
func failingAt(s registry.Store, call string, err error) registry.Store {
	return &wrapped{Store: s, before: func(c string, _ name.Reference) error {
		if c == call {
			return err
		}
		return nil
	}}
}

func TestDetachFailsWhereItCannotTellWhatIsLeft(t *testing.T) {
	broken := &registry.Error{Op: "test", Kind: registry.ErrUnavailable}
	s := registrytest.New(registrytest.Options{NoReferrers: true}).Store()
	subject := pushTagged(t, s, "registry.example/team/app:v1")
	attach(t, s, subject, bundleItem("a"), simpleItem("b"), envelopeItem("c"))
	items := evidenceOf(t, s, subject)
	if len(items) != 3 {
		t.Fatalf("%v", words(items))
	}
	for _, item := range items {
		for _, call := range []string{"manifest", "push manifest", "push blob", "referrers"} {
			bundle := item.Format == registry.FormatBundle
			if call == "push blob" && bundle || call == "referrers" && !bundle {
				continue // which needs none
			}
			err := registry.Detach(t.Context(), failingAt(s, call, broken), subject, item)
			if !errors.Is(err, broken) {
				t.Errorf("%s where it cannot %s: %v", item.Format, call, err)
			}
		}
	}
}

func TestDetachLeavesAloneWhatHoldsNoSuchEvidence(t *testing.T) {
	index := testIndex(t)
	for what, prepare := range map[string]func(s registry.Store, tag name.Tag){
		"no tag":          func(registry.Store, name.Tag) {},
		"an index":        func(s registry.Store, tag name.Tag) { push(t, s, tag, index) },
		"another's layer": func(s registry.Store, tag name.Tag) { push(t, s, tag, layersManifest(t, "other")) },
	} {
		for _, c := range []struct {
			place  registry.Place
			suffix string
		}{{registry.PlaceReferrers, ""}, {registry.PlaceSignatureTag, ".sig"}, {registry.PlaceAttestationTag, ".att"}} {
			s := registrytest.New(registrytest.Options{NoReferrers: true}).Store()
			subject := pushTagged(t, s, "registry.example/team/app:v1")
			tag := subject.Context().Tag(strings.Replace(subject.DigestStr(), ":", "-", 1) + c.suffix)
			prepare(s, tag)
			before, _ := s.Manifest(t.Context(), tag)
			item := registry.Item{Place: c.place, Manifest: index.Descriptor, Layer: blobDescriptor(simpleType, []byte("gone"))}
			if err := registry.Detach(t.Context(), s, subject, item); err != nil {
				t.Errorf("%s, %s: %v", c.place, what, err)
			}
			if after, _ := s.Manifest(t.Context(), tag); after.Descriptor.Digest != before.Descriptor.Digest {
				t.Errorf("%s, %s: the tag was changed", c.place, what)
			}
		}
	}
}

func TestEvidenceIsChangedOnlyOfASubjectThatHasADigest(t *testing.T) {
	s := registrytest.New(registrytest.Options{}).Store()
	subject := testRepo.Digest("sha512:" + strings.Repeat("0", 128))
	for _, place := range []registry.Place{registry.PlaceReferrers, registry.PlaceSignatureTag, registry.PlaceAttestationTag, ""} {
		wantKind(t, registry.Detach(t.Context(), s, subject, registry.Item{Place: place}), registry.ErrReference)
	}
	for _, item := range []registry.Item{simpleItem("a"), envelopeItem("b")} {
		wantKind(t, registry.Confirm(t.Context(), s, subject, item, subject), registry.ErrReference)
	}
}

func TestConfirmTellsWhatCannotBeRead(t *testing.T) {
	hosted := registrytest.New(registrytest.Options{})
	s := hosted.Store()
	subject := pushTagged(t, s, "registry.example/team/app:v1")
	item := simpleItem("a")
	at, err := registry.Attach(t.Context(), s, subject, item)
	must(t, err)
	broken := &registry.Error{Op: "test", Kind: registry.ErrDenied}
	for _, call := range []string{"manifest", "blob"} {
		if err := registry.Confirm(t.Context(), failingAt(s, call, broken), subject, item, at); !errors.Is(err, broken) {
			t.Errorf("%s: %v", call, err)
		}
	}
	garbage := registrytest.Faulty(s, registrytest.Hooks{Manifest: func(context.Context, name.Reference) (registry.Manifest, error) {
		return mustManifest(t, ociManifest, []byte("{")), nil
	}})
	wantKind(t, registry.Confirm(t.Context(), garbage, subject, item, at), registry.ErrMalformed)
	hosted.Delete("team/app", at.DigestStr())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := registry.Confirm(ctx, s, subject, item, at); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("given up while it waits for the store: %v", err)
	}
}

// Who may push, and not delete, lists the image in production as a referrer of another.
func TestAttack_E19_DetachRemovesNoImageThatIsListedAsEvidence(t *testing.T) {
	stores(t, func(t *testing.T, s registry.Store, subject name.Digest) {
		ctx := context.Background()
		prod, err := registrytest.PushImage(ctx, s, subject.Context().Tag("prod"), registrytest.ImageOptions{Seed: "prod"})
		must(t, err)
		push(t, s, subject.Context().Tag(strings.Replace(subject.DigestStr(), ":", "-", 1)), mustManifest(t, indexType, lying(prod.DigestStr())))
		for _, item := range evidenceOf(t, s, subject) {
			must(t, registry.Detach(ctx, s, subject, item))
		}
		if left := evidenceOf(t, s, subject); len(left) != 0 {
			t.Errorf("it is still listed: %v", words(left))
		}
		if _, err := s.Resolve(ctx, subject.Context().Tag("prod")); err != nil {
			t.Errorf("the image is gone: %v", err)
		}
	})
}

func TestDetachLeavesTheOtherLayersOfAReferrer(t *testing.T) {
	h := host(t, registrytest.Options{}, remote.Options{})
	var layers []v1.Descriptor
	for _, text := range []string{"a", "b"} {
		h.PutBlob("team/app", []byte(text))
		layers = append(layers, v1.Descriptor{MediaType: bundleType, Size: 1, Digest: hashOf(text)})
	}
	h.manifestWith(t, imageHash(h), layers...)
	items := evidenceOf(t, h.client, h.image)
	wantKind(t, registry.Detach(context.Background(), h.client, h.image, items[0]), registry.ErrUnsupported)
	if left := evidenceOf(t, h.client, h.image); len(left) != 2 {
		t.Errorf("what is left is %v", words(left))
	}
}

func TestAReferrerThatMayNotBeReadIsNotDetached(t *testing.T) {
	h := host(t, registrytest.Options{NoReferrers: true}, remote.Options{MaxAttempts: 1})
	attach(t, h.client, h.image, bundleItem("a"))
	item := evidenceOf(t, h.client, h.image)[0]
	h.Inject(registrytest.Fault{Method: "GET", Kind: registrytest.KindManifest, Ref: item.Manifest.Digest.String(), Times: 1, Do: registrytest.Status(503)})
	wantKind(t, registry.Detach(context.Background(), h.client, h.image, item), registry.ErrUnavailable)
	if left := evidenceOf(t, h.client, h.image); len(left) != 1 {
		t.Errorf("what is left is %v", words(left))
	}
}

func TestDetachLooksAgainAlsoWhereATagsManifestIsAReferrer(t *testing.T) {
	stores(t, func(t *testing.T, s registry.Store, subject name.Digest) {
		ctx := context.Background()
		m := layersManifest(t, "a", "b")
		for _, c := range []string{"a", "b", "{}"} {
			pushBlob(t, s, subject.Context(), []byte(c))
		}
		text := strings.TrimSuffix(string(m.Bytes), "}") + `,"subject":{"mediaType":"` + manifestType + `","size":1,"digest":"` + subject.DigestStr() + `"}}`
		push(t, s, subject.Context().Tag(strings.Replace(subject.DigestStr(), ":", "-", 1)+".sig"), mustManifest(t, ociManifest, []byte(text)))
		detached := 0
		for _, item := range evidenceOf(t, s, subject) {
			if item.Place == registry.PlaceSignatureTag && string(item.Payload) == "a" {
				must(t, registry.Detach(ctx, s, subject, item))
				detached++
			}
		}
		left := 0
		for _, item := range evidenceOf(t, s, subject) {
			switch {
			case string(item.Payload) == "a":
				t.Errorf("detached, and still found in %s", item.Place)
			case item.Place == registry.PlaceSignatureTag:
				left++
			}
		}
		if detached != 1 || left != 1 {
			t.Errorf("%d detached, %d left", detached, left)
		}
	})
}
