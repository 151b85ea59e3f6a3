package verify_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func blobDenied(t *testing.T, res *verify.BlobResult, err error, reason verify.Reason, because ...verify.Reason) {
	t.Helper()
	var denial *verify.Error
	if res != nil || !errors.As(err, &denial) || denial.Reason != reason {
		t.Fatalf("%+v, %v; want a denial for %s", res, err, reason)
	}
	var got []verify.Reason
	for _, e := range denial.Evidence {
		got = append(got, e.Reason)
	}
	if fmt.Sprint(got) != fmt.Sprint(because) {
		t.Fatalf("because of %s, want %s", got, because)
	}
}

func TestAFileIsSignedAndVerified(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := []byte("a release tarball")
	sum := fmt.Sprintf("%x", sha256.Sum256(file))
	for name, by := range map[string]person{"ECDSA": newPerson(t), "Ed25519": personWith(t, ed)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bundle, err := sign.Blob(context.Background(), bytes.NewReader(file), by)
			if err != nil {
				t.Fatal(err)
			}
			v := w.verifier(policy.Signatures{Keys: []policy.PublicKey{by.key}})
			res, err := v.Blob(context.Background(), bytes.NewReader(file), bundle)
			if err != nil || res.SHA256 != sum || res.Size != int64(len(file)) || res.Keys[0].ID != by.key.ID() {
				t.Errorf("%+v, %v", res, err)
			}
			got, err := v.Blob(context.Background(), bytes.NewReader(append(file, '!')), bundle)
			blobDenied(t, got, err, verify.ReasonNoTrustedSignature, verify.ReasonWrongSubject)
			got, err = w.verifier(policy.Signatures{}).Blob(context.Background(), bytes.NewReader(file), bundle)
			blobDenied(t, got, err, verify.ReasonNoTrustedSignature, verify.ReasonUntrustedKey)
			got, err = v.Blob(context.Background(), bytes.NewReader(file))
			blobDenied(t, got, err, verify.ReasonNoSignature)
		})
	}
}

func TestThresholdOfAFileCountsDistinctKeys(t *testing.T) {
	w := newWorld(t)
	file := []byte("file")
	var bundles [][]byte
	for _, p := range []person{w.trusted, w.trusted, w.other} {
		b, err := sign.Blob(context.Background(), bytes.NewReader(file), p)
		if err != nil {
			t.Fatal(err)
		}
		bundles = append(bundles, b)
	}
	v := w.verifier(policy.Signatures{Keys: []policy.PublicKey{w.trusted.key, w.other.key}, Threshold: 2})
	res, err := v.Blob(context.Background(), bytes.NewReader(file), bundles[:2]...)
	blobDenied(t, res, err, verify.ReasonThreshold, verify.ReasonCounted, verify.ReasonRepeated)
	if res, err := v.Blob(context.Background(), bytes.NewReader(file), bundles...); err != nil || len(res.Keys) != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestAttack_E3_AnAttestationAboutAFileIsNoSignature(t *testing.T) {
	w := newWorld(t)
	file := []byte("file")
	subject := fmt.Sprintf(`{"digest":{"sha256":"%x"}}`, sha256.Sum256(file))
	v := w.verifier(policy.Signatures{})
	for name, c := range map[string]struct {
		predicateType, subject string
		because                verify.Reason
	}{
		"attestation": {"https://slsa.dev/provenance/v1", subject, verify.ReasonWrongType},
		"other file":  {intoto.PredicateSignature, `{"digest":{"sha256":"00"}}`, verify.ReasonWrongSubject},
	} {
		item := bundleItem(t, dsse.PayloadTypeInToto, statement(c.predicateType, c.subject), w.trusted)
		res, err := v.Blob(context.Background(), bytes.NewReader(file), item.Payload)
		t.Log(name)
		blobDenied(t, res, err, verify.ReasonNoTrustedSignature, c.because)
	}
	item := bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, subject), w.trusted)
	if _, err := v.Blob(context.Background(), bytes.NewReader(file), item.Payload); err != nil {
		t.Errorf("a statement that says that it is a signature: %v", err)
	}
}

func TestAFileThatCannotBeReadIsNotJudged(t *testing.T) {
	w := newWorld(t)
	broken := errors.New("disk on fire")
	res, err := w.verifier(policy.Signatures{}).Blob(context.Background(), io.MultiReader(bytes.NewReader([]byte("x")), failing{broken}), []byte("{}"))
	var denial *verify.Error
	if res != nil || !errors.Is(err, broken) || errors.As(err, &denial) {
		t.Errorf("%v, %v", res, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if res, err := w.verifier(policy.Signatures{}).Blob(ctx, bytes.NewReader(nil)); res != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", res, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// The signature of evidence is no signature of the file that its signed bytes
// would be, and no signer is made to sign such a file.
func TestAttack_E3_WhatASignatureAboutAnImageCoversIsNoFile(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	simple := payloadFor(w.repo.Name(), w.image.DigestStr())
	for label, file := range map[string][]byte{
		"an attestation":          dsse.PAE(dsse.PayloadTypeInToto, []byte(statement("https://slsa.dev/provenance/v1", about(w.image)))),
		"an image signature":      dsse.PAE(dsse.PayloadTypeInToto, []byte(statement(intoto.PredicateSignature, about(w.image)))),
		"simple signing":          []byte(simple),
		"simple signing, loosely": []byte(strings.Replace(simple, `"critical"`, `"Critical"`, 1) + "\n"),
	} {
		sig, err := w.trusted.Sign(ctx, file)
		if err != nil {
			t.Fatal(err)
		}
		bundle := overBytes(file, sig, "")
		res, err := w.verifier(policy.Signatures{}).Blob(ctx, bytes.NewReader(file), bundle)
		blobDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonWrongType)
		if out, err := sign.Blob(ctx, bytes.NewReader(file), w.trusted); out != nil || !errors.Is(err, sign.ErrOptions) {
			t.Errorf("%s is signed as a file: %v", label, err)
		}
	}
}

// overBytes is a bundle of a signature over a file's bytes.
func overBytes(file, sig []byte, hint string) []byte {
	sum := sha256.Sum256(file)
	return fmt.Appendf(nil, `{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":%q}},"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":%q},"signature":%q}}`,
		bundleType, hint, base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sig))
}

// What ends a policy, and what it denies whatever stands for it, holds for files
// too.
func TestAttack_T6_FilesAreDeniedByWhatDeniesImages(t *testing.T) {
	a, b, c := newPerson(t), newPerson(t), newPerson(t)
	const hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	bundle := bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, `{"digest":{"sha256":"`+hello+`"}}`), a).Payload
	for more, reason := range map[string]verify.Reason{
		"":                                "",
		"expires: 2020-01-01T00:00:00Z\n": verify.ReasonPolicyExpired,
		"denyDigests: [{digest: \"sha256:" + hello + "\", reason: x}]\n": verify.ReasonDeniedDigest,
	} {
		v, err := verify.New(loaded(t, policyText+"files: [{signature: {by: release}}]\n"+more, a, b, c), verify.Options{Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		res, err := v.Blob(context.Background(), strings.NewReader("hello"), bundle)
		var denied *verify.Error
		if reason == "" && err != nil || reason != "" && (res != nil || !errors.As(err, &denied) || denied.Reason != reason) {
			t.Errorf("%q: %v, %v; want %q", more, res, err, reason)
		}
	}
}

func TestAttack_E9_ChecksThatAreUsedUpForAFileAreTooMuchEvidence(t *testing.T) {
	file, good, mallory := []byte("a release"), newPerson(t), newPerson(t)
	keys := []policy.PublicKey{good.key}
	for range 2500 {
		keys = append(keys, newPerson(t).key)
	}
	v, err := verify.New(policy.Signatures{Keys: keys, Threshold: 1}.Policy(), verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	statement := bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, `{"digest":{"sha256":"`+strings.Repeat("ab", 32)+`"}}`), mallory).Payload
	signature, err := sign.Blob(t.Context(), bytes.NewReader(file), mallory)
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := sign.Blob(t.Context(), bytes.NewReader(file), good)
	if err != nil {
		t.Fatal(err)
	}
	because := append(slices.Repeat([]verify.Reason{verify.ReasonUntrustedKey}, 7), verify.ReasonTooMuchEvidence)
	made := regexp.MustCompile(`"(sig|signature)":"[^"]+"`)
	for label, bundle := range map[string][]byte{"statements": statement, "signatures over the bytes": signature} {
		bundle = made.ReplaceAll(bundle, []byte(`"$1":"AAAA"`)) // which is quickly seen to be none
		flood := slices.Repeat([][]byte{bundle}, 9)
		res, err := v.Blob(t.Context(), bytes.NewReader(file), append(flood, genuine)...)
		t.Log(label)
		blobDenied(t, res, err, verify.ReasonTooMuchEvidence, because...)
		if _, err := v.Blob(t.Context(), bytes.NewReader(file), genuine, bundle); err != nil {
			t.Error(err)
		}
	}
}

func TestAContextThatEndsIsNoVerdictAboutAFile(t *testing.T) {
	file, w, by := []byte("a release"), newWorld(t), newPerson(t)
	bundle, err := sign.Blob(t.Context(), bytes.NewReader(file), by)
	if err != nil {
		t.Fatal(err)
	}
	v, ended, allowed := w.verifier(policy.Signatures{Keys: []policy.PublicKey{by.key}}), 0, 0
	for n := range 12 {
		switch res, err := v.Blob(&endsAfter{t.Context(), n}, bytes.NewReader(file), bundle); {
		case errors.Is(err, context.Canceled) && res == nil:
			ended++
		case err == nil:
			allowed++
		default:
			t.Errorf("ended after %d, of a file that is signed: %v", n, err)
		}
	}
	if ended == 0 || allowed == 0 {
		t.Errorf("ended %d times and allowed %d times; want both", ended, allowed)
	}
}
