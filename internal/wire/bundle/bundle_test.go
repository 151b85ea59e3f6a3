package bundle_test

import (
	"bytes"
	"crypto"
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
)

const (
	material = `"verificationMaterial":{"publicKey":{"hint":"aGludA=="}}`
	envelope = `"dsseEnvelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"AQI="}]}`
	message  = `"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AQI="},"signature":"AwQ="}`
	v03      = `"mediaType":"` + bundle.MediaTypeV03 + `"`
)

func doc(parts ...string) string { return "{" + strings.Join(parts, ",") + "}" }

func TestBundlesOfEveryVersionAreRead(t *testing.T) {
	for _, mediaType := range []string{
		bundle.MediaTypeV03,
		"application/vnd.dev.sigstore.bundle+json;version=0.1",
		"application/vnd.dev.sigstore.bundle+json;version=0.2",
		"application/vnd.dev.sigstore.bundle+json;version=0.3",
	} {
		b, err := bundle.Parse([]byte(doc(`"mediaType":"`+mediaType+`"`, material, envelope)))
		if err != nil || b.Hint != "aGludA==" || string(b.Envelope.Payload) != "{}" || b.Message != nil || b.Certificate {
			t.Errorf("%s: %+v, %v", mediaType, b, err)
		}
	}
	b, err := bundle.Parse([]byte(doc(v03, material, message)))
	if err != nil || !bytes.Equal(b.Message.Signature, []byte{3, 4}) || !bytes.Equal(b.Message.Digest, []byte{1, 2}) || b.Message.Hash != crypto.SHA256 {
		t.Errorf("message signature: %+v, %v", b, err)
	}
	b, err = bundle.Parse([]byte(doc(v03, `"verificationMaterial":{"certificate":{"rawBytes":"AQI="},"tlogEntries":[]}`, envelope)))
	if err != nil || !b.Certificate {
		t.Errorf("certificate: %+v, %v", b, err)
	}
}

func TestMalformedBundlesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no mediaType":           doc(material, envelope),
		"unknown version":        doc(`"mediaType":"application/vnd.dev.sigstore.bundle.v9+json"`, material, envelope),
		"no material":            doc(v03, envelope),
		"key and certificate":    doc(v03, `"verificationMaterial":{"publicKey":{},"certificate":{}}`, envelope),
		"key is a string":        doc(v03, `"verificationMaterial":{"publicKey":"k"}`, envelope),
		"no content":             doc(v03, material),
		"two contents":           doc(v03, material, envelope, message),
		"two signatures":         doc(v03, material, strings.Replace(envelope, `{"sig":"AQI="}`, `{"sig":"AQI="},{"sig":"AQI="}`, 1)),
		"no signature":           doc(v03, material, strings.Replace(envelope, `{"sig":"AQI="}`, ``, 1)),
		"message w/o signature":  doc(v03, material, strings.Replace(message, `"AwQ="`, `""`, 1)),
		"message w/ bad digest":  doc(v03, material, strings.Replace(message, `"AQI="`, `"!"`, 1)),
		"duplicate envelope":     doc(v03, material, envelope, envelope),
		"case variant envelope":  doc(v03, material, envelope, strings.Replace(envelope, "dsseEnvelope", "DSSEEnvelope", 1)),
		"case variant mediaType": doc(strings.Replace(v03, "mediaType", "MediaType", 1), material, envelope),
		"trailing data":          doc(v03, material, envelope) + "{}",
		"byte order mark":        "\ufeff" + doc(v03, material, envelope),
		"a list":                 "[]",
	} {
		if b, err := bundle.Parse([]byte(text)); !errors.Is(err, bundle.ErrMalformed) {
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, b, err)
		}
	}
}

func TestABundleHoldsExactlyOneSignature(t *testing.T) {
	for n := range 3 {
		e := &dsse.Envelope{PayloadType: "t", Payload: []byte("p"), Signatures: make([][]byte, n)}
		if _, err := bundle.NewEnvelope(bundle.Material{Hint: "h"}, e); (err == nil) != (n == 1) {
			t.Errorf("%d signatures: %v", n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(doc(v03, material, envelope)))
	f.Add([]byte(doc(v03, material, message)))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := bundle.Parse(text)
		if err != nil || b.Certificate {
			return
		}
		var out []byte
		if b.Envelope != nil {
			var written *dsse.Text
			if written, err = bundle.NewEnvelope(bundle.Material{Hint: b.Hint}, b.Envelope); err == nil {
				out = written.Bytes()
			}
		} else {
			out, err = bundle.NewMessage(bundle.Material{Hint: b.Hint}, b.Message.Hash, b.Message.Digest, b.Message.Signature)
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := bundle.Parse(out)
		if err != nil || again.Hint != b.Hint {
			t.Fatalf("written and read again: %+v, %v", again, err)
		}
		if b.Envelope != nil && !bytes.Equal(again.Envelope.PAE(), b.Envelope.PAE()) ||
			b.Message != nil && !bytes.Equal(again.Message.Signature, b.Message.Signature) {
			t.Fatalf("written and read again, it means something else:\n%s\n%s", text, out)
		}
	})
}
