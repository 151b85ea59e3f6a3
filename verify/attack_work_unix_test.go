//go:build unix && !race

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
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/dev/processor"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// These tests look at the time that a processor has worked: what they bound is that, and
// under the race detector it is another one.

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
	pile, verifier := newPile(t, w.image, pieces...), w.verifier(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key}, Threshold: 1})
	before := processor.Time()
	_, err = verifier.Image(t.Context(), pile, w.image)
	if took := processor.Time() - before; took > 3*time.Second {
		t.Errorf("%s: %.100v", took, err)
	}
}

// A check with RSA makes two operations, and each takes longer than one with P-256.
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
	pile, verifier := newPile(t, w.image, pieces...), w.verifier(policy.Signatures{Keys: []policy.PublicKey{p.key}, Threshold: 1})
	before := processor.Time()
	_, err = verifier.Image(t.Context(), pile, w.image)
	if took := processor.Time() - before; took > 4*time.Second { // 20,000 checks with P-256 take 1.6 s
		t.Errorf("%s: %.100v", took, err)
	}
}

// Garbage that is about the image costs a check each, within a bound: 4,000 pieces take
// at most what the checks of 2,400 take.
func TestAttack_E22_BundlesNamingACostlyKeyAreBounded(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v := newVandal(t, registrytest.Options{})
	v.trusted = personWith(t, p521)
	garbage := v.forged(0).Payload
	verifier := v.verifier(policy.Signatures{Keys: []policy.PublicKey{v.trusted.key}, Threshold: 1})
	taken := func(n int) time.Duration {
		var pieces []piece
		for i := range n {
			pieces = append(pieces, piece{item: bundleOf(string(bytes.Replace(garbage, []byte(`"publicKey":{`), fmt.Appendf(nil, `"publicKey":{"n":"%d",`, i), 1)))})
		}
		pile := newPile(t, v.image, pieces...)
		before := processor.Time()
		if _, err := verifier.Image(t.Context(), pile, v.image); err == nil {
			t.Error("garbage was counted")
		}
		return processor.Time() - before
	}
	if few, many := taken(200), taken(4000); many > 12*few {
		t.Errorf("200 pieces take %s, 4,000 take %s", few, many)
	}
}
