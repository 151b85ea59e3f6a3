// Package signtest tests implementations of sign.Signer and policy.Matcher against their
// contracts.
//
//	func TestMySigner(t *testing.T) {
//		signtest.TestSigner(t, func(t *testing.T) sign.Signer { return mine.New() })
//	}
//
// Each part of a contract is a subtest, whose name says what must hold. A test function
// calls the implementation some hundred times: give it a key in a test instance, where a
// signature costs money.
//
// What cannot be seen from outside is not tested: that a key is kept secret, and that a
// Matcher asks no network.
package signtest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/signer"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/sign"
)

// promptly is far more than an implementation needs to notice the end of a context.
const promptly = 30 * time.Second

// atOnce is how many calls are made at the same time.
const atOnce = 8

// TestSigner tests a Signer, in subtests. A sign.MaterialSigner is tested by
// SignWithMaterial, and its Sign may refuse. newSigner returns a new Signer; it is called
// for each subtest.
func TestSigner(t *testing.T, newSigner func(t *testing.T) sign.Signer) {
	for _, part := range []struct {
		name string
		run  func(t *testing.T, s sign.Signer)
	}{
		{"the public key can be used, and stays the same", testPublic},
		{"signatures verify with the public key", testSignatures},
		{"a signature is over its message alone", testOtherMessages},
		{"the message is not changed", testUnchanged},
		{"calls at the same time do not disturb each other", testAtOnce},
		{"the end of the context gives an error or a good signature", testCancelled},
		{"envelopes are signed over their encoding", testEnvelopes},
		{"a large file is signed by its digest, or refused", testDigests},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, newSigner(t)) })
	}
}

// checked is the signer, whose signatures are verified as package sign does.
func checked(t *testing.T, s sign.Signer) signer.Checked {
	t.Helper()
	all, err := signer.Check([]sign.Signer{s})
	if err != nil {
		t.Fatalf("the public key cannot be used: %v", err)
	}
	return all[0]
}

func testPublic(t *testing.T, s sign.Signer) {
	first := checked(t, s)
	if _, err := first.SignBlob(t.Context(), message("a file")); err != nil {
		t.Fatal(err)
	}
	if again := checked(t, s); again.Key.ID() != first.Key.ID() {
		t.Errorf("the public key was %s, and is %s", first.Key.ID(), again.Key.ID())
	}
}

func message(text string) *sigkey.Message { return &sigkey.Message{Bytes: []byte(text)} }

func testSignatures(t *testing.T, s sign.Signer) {
	for name, m := range map[string]*sigkey.Message{
		"empty": {Bytes: []byte{}}, "one byte": message("a"), "a digest": {Bytes: make([]byte, 32)}, "a MiB": {Bytes: make([]byte, 1<<20)},
	} {
		if _, err := checked(t, s).SignBlob(t.Context(), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func testOtherMessages(t *testing.T, s sign.Signer) {
	c := checked(t, s)
	signed, err := c.SignBlob(t.Context(), message("a file"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("a file"))
	for name, m := range map[string]*sigkey.Message{"another": message("a filf"), "a longer one": message("a file "), "its digest": {Bytes: sum[:]}, "an empty one": {Bytes: []byte{}}} {
		if c.Key.Verify(m, signed.Signature) == nil {
			t.Errorf("the signature is also over another message: %s", name)
		}
	}
}

func testUnchanged(t *testing.T, s sign.Signer) {
	text := []byte("a file")
	if _, err := checked(t, s).SignBlob(t.Context(), &sigkey.Message{Bytes: text}); err != nil {
		t.Fatal(err)
	}
	if string(text) != "a file" {
		t.Errorf("the message is %q afterwards", text)
	}
}

func testAtOnce(t *testing.T, s sign.Signer) {
	c := checked(t, s)
	var all sync.WaitGroup
	for n := range atOnce {
		all.Go(func() {
			if _, err := c.SignBlob(t.Context(), message(fmt.Sprint("file ", n))); err != nil {
				t.Errorf("call %d: %v", n, err)
			}
		})
	}
	all.Wait()
}

func testCancelled(t *testing.T, s sign.Signer) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	key := checked(t, s).Key
	done := make(chan error, 1)
	go func() {
		var sig []byte
		var err error
		if with, is := s.(sign.MaterialSigner); is {
			sig, _, err = with.SignWithMaterial(ctx, sign.Message{Bytes: []byte("a file"), SHA256: sha256.Sum256([]byte("a file"))})
		} else {
			sig, err = s.Sign(ctx, []byte("a file"))
		}
		var broken error
		if err == nil && key.Verify(message("a file"), sig) != nil {
			broken = fmt.Errorf("a bad signature without an error: %x", sig)
		}
		done <- broken
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(promptly):
		t.Errorf("it does not return within %s", promptly)
	}
}

func testEnvelopes(t *testing.T, s sign.Signer) {
	c, e := checked(t, s), dsse.New(dsse.PayloadTypeInToto, []byte("{}"))
	signed, err := c.SignEnvelope(t.Context(), e, false)
	if err != nil {
		t.Fatal(err)
	}
	if c.Key.Verify(&sigkey.Message{Bytes: e.PAE()}, signed.Signature) != nil || c.Key.Verify(message("{}"), signed.Signature) == nil {
		t.Error("the signature is not over the encoding of the envelope")
	}
	if !bytes.Equal(e.Payload, []byte("{}")) {
		t.Errorf("the payload is %q afterwards", e.Payload)
	}
}

func testDigests(t *testing.T, s sign.Signer) {
	c := checked(t, s)
	if !c.GivesMaterial() {
		t.Skip("a Signer without material is given whole messages")
	}
	sums := func(h crypto.Hash) []byte {
		d := h.New()
		d.Write([]byte("a file"))
		return d.Sum(nil)
	}
	m := sigkey.Hashed(sums(crypto.SHA256), sums(crypto.SHA384), sums(crypto.SHA512))
	signed, err := c.SignBlob(t.Context(), m)
	if err == nil && c.Key.Verify(message("a file"), signed.Signature) != nil {
		t.Error("the signature is not over the file")
	}
}
