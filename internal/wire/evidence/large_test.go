package evidence_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

const digest64 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func statementWith(predicate string) string {
	return fmt.Sprintf(`{"_type":%q,"subject":[{"digest":{"sha256":%q}}],"predicateType":"https://spdx.dev/Document","predicate":%s}`,
		intoto.StatementV1, digest64, predicate)
}

func opener(text string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

func envelopeOf(payload string, sig []byte) string {
	return fmt.Sprintf(`{"payload":%q,"payloadType":%q,"signatures":[{"sig":%q}]}`,
		base64.StdEncoding.EncodeToString([]byte(payload)), dsse.PayloadTypeInToto, base64.StdEncoding.EncodeToString(sig))
}

func bundleText(envelope string) string {
	return fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":"h"}},"dsseEnvelope":%s}`, bundle.MediaTypeV03, envelope)
}

func TestOpenLarge_ReadsWhatOpenReads(t *testing.T) {
	predicate := `{"a": "` + strings.Repeat("x", 200_000) + `", "b":[1,{"c":null}]}`
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	payload := statementWith(predicate)
	pae := dsse.PAE(dsse.PayloadTypeInToto, []byte(payload))
	for name, key := range map[string]crypto.Signer{"ECDSA": ec, "pure Ed25519": ed} {
		signed, opts := pae, crypto.SignerOpts(crypto.Hash(0))
		if key == crypto.Signer(ec) {
			sum := crypto.SHA256.New()
			sum.Write(pae)
			signed, opts = sum.Sum(nil), crypto.SHA256
		}
		sig, err := key.Sign(rand.Reader, signed, opts)
		if err != nil {
			t.Fatal(err)
		}
		envelope := envelopeOf(payload, sig)
		for mediaType, text := range map[string]string{bundle.MediaTypeV03: "\n " + bundleText(envelope) + "\n", dsse.EnvelopeMediaType: envelope} {
			l, err := evidence.OpenLarge(mediaType, opener(text))
			if err != nil {
				t.Fatalf("%s, %s: %v", name, mediaType, err)
			}
			if l.Statement.PredicateType != "https://spdx.dev/Document" || l.Statement.Subjects[0].Digest["sha256"] != digest64 || l.Statement.Predicate != nil {
				t.Errorf("%s: %+v", name, l.Statement)
			}
			var gotPredicate, gotEnvelope bytes.Buffer
			if err := errors.Join(l.WritePredicate(&gotPredicate), l.WriteEnvelope(&gotEnvelope)); err != nil {
				t.Fatal(err)
			}
			if gotPredicate.String() != predicate || gotEnvelope.String() != envelope {
				t.Errorf("%s, %s: wrote %d and %d bytes", name, mediaType, gotPredicate.Len(), gotEnvelope.Len())
			}
			for _, k := range []struct {
				key  crypto.PublicKey
				made bool
			}{{key.Public(), true}, {newPublic(t), false}, {newEd25519(t), false}} {
				by, err := sigkey.New(k.key)
				if err != nil {
					t.Fatal(err)
				}
				if made, err := l.MadeBy(t.Context(), by); made != k.made || err != nil {
					t.Errorf("%s, %s: made by %T: %v, %v", name, mediaType, k.key, made, err)
				}
			}
		}
	}
}

func newPublic(t *testing.T) crypto.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}

func newEd25519(t *testing.T) crypto.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestAttack_E5_LargeEvidenceIsReadStrictlyToo(t *testing.T) {
	good := statementWith(`{"a":1}`)
	encoded := base64.StdEncoding.EncodeToString([]byte(good))
	envelope := envelopeOf(good, []byte("sig"))
	for name, text := range map[string]string{
		"payload twice":             strings.Replace(envelope, `"payloadType"`, `"payload":"e30=","payloadType"`, 1),
		"payload in another case":   strings.Replace(envelope, `"payloadType"`, `"Payload":"e30=","payloadType"`, 1),
		"payload by an escape":      strings.Replace(envelope, `"payloadType"`, `"payl\u006fad":"e30=","payloadType"`, 1),
		"no payload":                `{"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":""}]}`,
		"payload is a number":       strings.Replace(envelope, `"`+encoded+`"`, "7", 1),
		"payload is an object":      strings.Replace(envelope, `"`+encoded+`"`, "{}", 1),
		"not base64":                strings.Replace(envelope, encoded, "*"+encoded[1:], 1),
		"padding within":            strings.Replace(envelope, encoded, encoded[:4]+"e30="+encoded[4:], 1),
		"two texts in a row":        strings.Replace(envelope, encoded, "e30="+encoded, 1),
		"cut":                       envelope[:len(envelope)-5],
		"cut in the payload":        envelope[:40],
		"data behind":               envelope + "{}",
		"a byte order mark":         "\ufeff" + envelope,
		"predicate twice":           envelopeOf(strings.Replace(good, `"predicate":`, `"predicate":{},"predicate":`, 1), nil),
		"predicate by an escape":    envelopeOf(strings.Replace(good, `"predicate":`, `"predicat\u0065":{},"predicate":`, 1), nil),
		"predicate in another case": envelopeOf(strings.Replace(good, `"predicate":`, `"Predicate":{},"predicate":`, 1), nil),
		"subject twice":             envelopeOf(strings.Replace(good, `"subject":`, `"subject":[],"subject":`, 1), nil),
		"another statement type":    envelopeOf(strings.Replace(good, intoto.StatementV1, "x", 1), nil),
		"statement is cut":          envelopeOf(good[:len(good)-1], nil),
		"data behind the statement": envelopeOf(good+"x", nil),
		"a long member beside":      strings.Replace(envelope, `"payloadType"`, `"x":"`+strings.Repeat("x", 5<<20)+`","payloadType"`, 1),
		"a long member of subject":  envelopeOf(strings.Replace(good, `"digest"`, `"name":"`+strings.Repeat("x", 5<<20)+`","digest"`, 1), nil),
		"empty":                     "", "not an object": `"x"`,
	} {
		l, err := evidence.OpenLarge(dsse.EnvelopeMediaType, opener(text))
		if l != nil || !errors.Is(err, evidence.ErrMalformed) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
	for name, text := range map[string]string{
		"another payload type": strings.Replace(envelope, "in-toto", "other", 1),
	} {
		if l, err := evidence.OpenLarge(dsse.EnvelopeMediaType, opener(text)); l != nil || !errors.Is(err, evidence.ErrWrongType) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
	if _, err := evidence.OpenLarge("text/plain", opener("{}")); !errors.Is(err, evidence.ErrWrongType) {
		t.Error(err)
	}
	overBytes, err := bundle.NewMessage(bundle.Material{Hint: "h"}, crypto.SHA256, make([]byte, 32), []byte("sig"))
	if err != nil {
		t.Fatal(err)
	}
	if l, err := evidence.OpenLarge(bundle.MediaTypeV03, opener(string(overBytes))); l != nil || !errors.Is(err, evidence.ErrOverBytes) {
		t.Error(l, err)
	}
	failing := errors.New("disk gone")
	if _, err := evidence.OpenLarge(dsse.EnvelopeMediaType, func() (io.ReadCloser, error) { return nil, failing }); !errors.Is(err, failing) {
		t.Error(err)
	}
}

func TestOpenLarge_TakesBothAlphabetsAndNoPadding(t *testing.T) {
	payload := statementWith(`{"a":"` + strings.Repeat("???>>>~~~", 50) + `"}`)
	for name, text := range map[string]string{
		"standard":     base64.StdEncoding.EncodeToString([]byte(payload)),
		"no padding":   base64.RawStdEncoding.EncodeToString([]byte(payload)),
		"URL":          base64.URLEncoding.EncodeToString([]byte(payload)),
		"URL, bare":    base64.RawURLEncoding.EncodeToString([]byte(payload)),
		"slash escape": strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(payload)), "/", `\/`),
	} {
		envelope := `{"payloadType":"application/vnd.in-toto+json","payload":"` + text + `","signatures":[{"sig":"AQ=="}]}`
		l, err := evidence.OpenLarge(dsse.EnvelopeMediaType, opener(envelope))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got bytes.Buffer
		if err := l.WritePredicate(&got); err != nil || !strings.Contains(payload, got.String()) || got.Len() < 450 {
			t.Errorf("%s: %q, %v", name, got.String(), err)
		}
	}
}

// What is refused, and as what, does not depend on the size.
func TestOpenLarge_RefusesBundlesAsOpenDoes(t *testing.T) {
	good := bundleText(envelopeOf(statementWith(`{"a":1}`), []byte("sig")))
	material := fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":"h"}},`, bundle.MediaTypeV03)
	for name, text := range map[string]string{
		"over a file":              material + `"messageSignature":{"signature":"AQ=="}}`,
		"over a file, padded":      material + `"messageSignature":{"signature":"AQ=="},"x":"` + strings.Repeat("x", 2<<20) + `"}`,
		"no signature":             material + `"messageSignature":{}}`,
		"neither":                  material + `"x":{"payload":"e30="}}`,
		"both":                     strings.Replace(good, `"dsseEnvelope"`, `"messageSignature":{"signature":"AQ=="},"dsseEnvelope"`, 1),
		"no payload":               material + `"dsseEnvelope":{"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AQ=="}]}}`,
		"payload is null":          material + `"dsseEnvelope":{"payload":null,"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AQ=="}]}}`,
		"payload is a number":      material + `"dsseEnvelope":{"payload":1,"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AQ=="}]}}`,
		"payload is an object":     material + `"dsseEnvelope":{"payload":{},"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AQ=="}]}}`,
		"payload is empty":         material + `"dsseEnvelope":{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AQ=="}]}}`,
		"the envelope is a list":   material + `"dsseEnvelope":[]}`,
		"the envelope is null":     material + `"dsseEnvelope":null}`,
		"another media type":       strings.Replace(good, bundle.MediaTypeV03, "text/plain", 1),
		"a payload of other types": strings.Replace(good, "in-toto", "other", 1),
		"two signatures":           strings.Replace(good, `"signatures":[`, `"signatures":[{"sig":"AQ=="},`, 1),
		"an empty object":          `{}`,
	} {
		large, err := evidence.OpenLarge(bundle.MediaTypeV03, opener(text))
		small, as := evidence.Open(bundle.MediaTypeV03, nil, []byte(text))
		if as == nil {
			_, as = small.Content()
		}
		if large != nil || err == nil || as == nil {
			t.Errorf("%s: %v, %v; %v", name, large, err, as)
		}
		for _, kind := range []error{evidence.ErrMalformed, evidence.ErrWrongType, evidence.ErrOverBytes} {
			if errors.Is(err, kind) != errors.Is(as, kind) {
				t.Errorf("%s: %v if large, %v if small", name, err, as)
			}
		}
	}
}

// What both read says the same.
func FuzzOpenLarge(f *testing.F) {
	good := envelopeOf(statementWith(`{"a":1}`), []byte("sig"))
	f.Add(false, []byte(good))
	f.Add(true, []byte(bundleText(good)))
	f.Fuzz(func(t *testing.T, isBundle bool, text []byte) {
		mediaType := dsse.EnvelopeMediaType
		if isBundle {
			mediaType = bundle.MediaTypeV03
		}
		l, err := evidence.OpenLarge(mediaType, opener(string(text)))
		if err != nil {
			return
		}
		o, err := evidence.Open(mediaType, nil, text)
		if err != nil && !errors.Is(err, evidence.ErrNotByKey) {
			return // the predicate is read less strictly
		}
		content, err := o.Content()
		if err != nil {
			return
		}
		var predicate, envelope bytes.Buffer
		if err := errors.Join(l.WritePredicate(&predicate), l.WriteEnvelope(&envelope)); err != nil {
			t.Fatal(err)
		}
		want := content.Statement.Predicate
		if len(predicate.Bytes()) > 0 && !bytes.Equal(predicate.Bytes(), want) || content.Statement.PredicateType != l.Statement.PredicateType {
			t.Fatalf("%q, want %q", predicate.Bytes(), want)
		}
		if len(o.Signatures) != len(l.Signatures) {
			t.Fatal("other signatures")
		}
	})
}
