package verify_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/dsse"
	"github.com/hallmark-oci/hallmark/internal/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A fifth of the referrers that there may be, each a bundle that names the key: with a
// P-521 key they took 7 s, and all of them 36 s.
func TestAttack_E22_BundlesThatNameACostlyKeyTakeNoTime(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.trusted = personWith(t, p521)
	good := hinted(t, w, w.trusted, w.trusted).Payload
	at := bytes.Index(good, []byte(`"payload":"`)) + len(`"payload":"`)
	end := at + bytes.IndexByte(good[at:], '"')
	var pieces []piece
	for i := range 2000 {
		payload := base64.StdEncoding.EncodeToString(fmt.Append(nil, i))
		pieces = append(pieces, piece{item: bundleOf(string(slices.Concat(good[:at], []byte(payload), good[end:])))})
	}
	pile, verifier := newPile(t, w.image, pieces...), w.verifier(verify.Signatures{Keys: []verify.Key{w.trusted.key}, Threshold: 1})
	before := processorTime()
	_, err = verifier.Image(t.Context(), pile, w.image)
	if took := processorTime() - before; took > 3*time.Second {
		t.Errorf("%s: %.100v", took, err)
	}
}

// A check with RSA makes two operations, each of which takes longer than one with P-256.
func TestAttack_E22_ChecksWithRSAAreChargedByWhatTheyTake(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	p := personWith(t, key)
	one := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0x30}, 64))
	made := base64.StdEncoding.EncodeToString(append([]byte{1}, make([]byte, 511)...))
	var pieces []piece
	for i := range 400 {
		payload := statement(intoto.PredicateSignature, about(w.image)) + strings.Repeat(" ", i)
		text := strings.ReplaceAll(string(flood(64, []byte(payload))), one, made)
		pieces = append(pieces, piece{item: registry.Item{Layer: v1.Descriptor{MediaType: dsseType}, Payload: []byte(text)}})
	}
	pile, verifier := newPile(t, w.image, pieces...), w.verifier(verify.Signatures{Keys: []verify.Key{p.key}, Threshold: 1})
	before := processorTime()
	_, err = verifier.Image(t.Context(), pile, w.image)
	if took := processorTime() - before; took > 4*time.Second { // 20,000 checks with P-256 take 1.6 s
		t.Errorf("%s: %.100v", took, err)
	}
}

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
		verifier := w.verifier(verify.Signatures{Keys: []verify.Key{w.trusted.key}, Threshold: 1})
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
		keys := []verify.Key{v.trusted.key, newPerson(t).key}
		if _, err := v.verifier(verify.Signatures{Keys: keys, Threshold: 1}).Image(t.Context(), newPile(t, v.image, pieces...), v.image); err != nil {
			t.Errorf("%s: %.300v", form, err)
		}
	}
}

// Garbage that is about the image costs a check each, within a bound.
func TestAttack_E22_BundlesAboutTheImageThatNameACostlyKeyAreBounded(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v := newVandal(t, registrytest.Options{})
	v.trusted = personWith(t, p521)
	garbage := v.forged(0).Payload
	var pieces []piece
	for i := range 4000 {
		pieces = append(pieces, piece{item: bundleOf(string(bytes.Replace(garbage, []byte(`"publicKey":{`), fmt.Appendf(nil, `"publicKey":{"n":"%d",`, i), 1)))})
	}
	pile, verifier := newPile(t, v.image, pieces...), v.verifier(verify.Signatures{Keys: []verify.Key{v.trusted.key}, Threshold: 1})
	before := processorTime()
	_, err = verifier.Image(t.Context(), pile, v.image)
	if took := processorTime() - before; took > 9*time.Second { // 4,000 checks take 15 s
		t.Errorf("%s: %.100v", took, err)
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
	keys := []verify.Key{newPerson(t).key, newPerson(t).key, v.trusted.key, newPerson(t).key}
	if _, err := v.verifier(verify.Signatures{Keys: keys, Threshold: 1}).Image(t.Context(), newPile(t, v.image, pieces...), v.image); err != nil {
		t.Errorf("%.300v", err)
	}
}
