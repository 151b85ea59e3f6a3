package verify_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// A registry that gives ten referrers on a page, or one: 1,100 of garbage are within the
// limit of referrers, and above the client's of pages.
func TestAttack_E21_ShortPagesHideNoEvidence(t *testing.T) {
	for _, c := range []struct{ garbage, page int }{{1100, 10}, {150, 1}} {
		w := newWorld(t)
		r := registrytest.New(registrytest.Options{ReferrersPageSize: c.page})
		client, err := registry.NewClient(registry.Options{RetryDelay: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.CloseIdleConnections)
		w.store = r.Store()
		w.image = w.push()
		v := &vandal{w, r}
		for i := range c.garbage {
			v.refer(bundleType, v.blob("application/x", fmt.Append(nil, i)))
		}
		w.sign(w.image, sign.ImageOptions{}, w.trusted)
		repo, err := name.NewRepository(registrytest.Start(t, r) + "/" + w.image.Context().RepositoryStr())
		if err != nil {
			t.Fatal(err)
		}
		image := repo.Digest(w.image.DigestStr())
		verifier := w.verifier(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1})
		if _, err := verifier.Image(t.Context(), client, image); err != nil {
			t.Errorf("%+v: %.300v", c, err)
		}
		if _, err := sign.Image(t.Context(), client, image, sign.ImageOptions{}, newPerson(t).Signer); err != nil {
			t.Errorf("%+v, signing: %.300v", c, err)
		}
	}
}

// Evidence that names no key, among as many referrers as there may be that name none
// either, are smaller, and have one signature; the policy has two keys.
func TestAttack_E21_SmallGarbageWithoutHintsHidesNoReferrer(t *testing.T) {
	for _, form := range []string{"bundle", "envelope"} {
		v := newVandal(t, registrytest.Options{})
		good := envelope(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, about(v.image))+strings.Repeat(" ", 2000), v.trusted)
		wrap := func(e []byte) piece {
			if form == "bundle" {
				return piece{item: bundleOf(fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{}},"dsseEnvelope":%s}`, bundleType, e))}
			}
			return piece{item: registry.Item{Layer: v1.Descriptor{MediaType: dsseType}, Payload: e}}
		}
		_, sig, _ := strings.Cut(string(good), `"sig":"`)
		sig, _, _ = strings.Cut(sig, `"`)
		var pieces []piece
		for i := range 9998 {
			pieces = append(pieces, wrap(fmt.Appendf(nil, `{"payloadType":%q,"payload":%q,"signatures":[{"sig":%q}]}`,
				dsse.PayloadTypeInToto, base64.StdEncoding.EncodeToString(fmt.Append(nil, i)), sig)))
		}
		pieces = slices.Insert(pieces, 6000, wrap(good))
		keys := []policy.PublicKey{v.trusted.key, newPerson(t).key}
		if _, err := v.verifier(policy.Signatures{Keys: keys, Threshold: 1}).Image(t.Context(), newPile(t, v.image, pieces...), v.image); err != nil {
			t.Errorf("%s: %.300v", form, err)
		}
	}
}

// As before, but the garbage is about the image, too.
func TestAttack_E21_SmallGarbageAboutTheImageHidesNoReferrer(t *testing.T) {
	v := newVandal(t, registrytest.Options{})
	wrap := func(e []byte) piece {
		return piece{item: registry.Item{Layer: v1.Descriptor{MediaType: dsseType}, Payload: e}}
	}
	text := statement(intoto.PredicateSignature, about(v.image))
	garbage := envelope(t, dsse.PayloadTypeInToto, text, v.other)
	var pieces []piece
	for i := range 9998 {
		pieces = append(pieces, wrap(bytes.Replace(garbage, []byte(`{`), fmt.Appendf(nil, `{"n":"%d",`, i), 1)))
	}
	pieces = append(pieces, wrap(envelope(t, dsse.PayloadTypeInToto, text+strings.Repeat(" ", 2000), v.trusted)))
	keys := []policy.PublicKey{newPerson(t).key, newPerson(t).key, v.trusted.key, newPerson(t).key}
	if _, err := v.verifier(policy.Signatures{Keys: keys, Threshold: 1}).Image(t.Context(), newPile(t, v.image, pieces...), v.image); err != nil {
		t.Errorf("%.300v", err)
	}
}

// Pieces of one content whose layers have annotations are told apart by them.
func TestPiecesWithAnnotationsOfTheirOwnAreLookedAt(t *testing.T) {
	w := newWorld(t)
	good := hinted(t, w, w.trusted, w.trusted)
	first, second := good, good
	first.Layer.Annotations = map[string]string{"a": "b", "c": "d"}
	second.Layer.Annotations = map[string]string{"a": "c"}
	pile := newPile(t, w.image, piece{item: first}, piece{item: second}, piece{item: good})
	v := w.verifier(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key, newPerson(t).key}, Threshold: 1})
	if _, err := v.Image(t.Context(), pile, w.image); err != nil {
		t.Error(err)
	}
}
