package keyless_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
)

func TestAttack_T21_CertificatesOfAnotherIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		claims sigstoretest.Object
		change func(*sigstoretest.Leaf)
	}{
		"another email":    {sigstoretest.Object{"sub": "1", "email": "jane@acme.example"}, func(l *sigstoretest.Leaf) { l.Email = "john@acme.example" }},
		"another case":     {sigstoretest.Object{"sub": "1", "email": "jane@acme.example"}, func(l *sigstoretest.Leaf) { l.Email = "Jane@acme.example" }},
		"another workload": {sigstoretest.Object{"sub": "spiffe://acme.example/a"}, func(l *sigstoretest.Leaf) { l.URI = "spiffe://acme.example/b" }},
	} {
		w := newWorld(t)
		w.Certificate = c.change
		o := w.options(2)
		o.Identity = keyless.Token(w.IDToken(c.claims))
		w.refuses(o, keyless.ErrUntrusted, "another identity")
		if n := w.Asked("POST /api/v2/log"); n != 0 {
			t.Errorf("%s: %d entries were logged", name, n)
		}
	}
}

// What stands in a chain beside the certificate is read by other verifiers.
func TestAttack_T21_ChainsOfStrangers(t *testing.T) {
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	above, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	stranger, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{}, &key.PublicKey, above)
	if err != nil {
		t.Fatal(err)
	}
	w.Handle = w.answered("/api/v2/signingCert", func(text []byte) []byte {
		var answer map[string]map[string]map[string][]string
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Error(err)
		}
		chain := answer["signedCertificateEmbeddedSct"]["chain"]
		chain["certificates"] = append(chain["certificates"], string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: stranger})))
		return w.Marshal(answer)
	})
	message := []byte("app")
	_, material, err := w.signer(w.options(1)).SignWithMaterial(t.Context(), sign.Message{Bytes: message, SHA256: sha256.Sum256(message), Annotations: true})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(material.Chain, func(der []byte) bool { return string(der) == string(stranger) }) {
		t.Error("the chain holds a certificate that has issued nothing")
	}
}

// answered changes what a service answers.
func (w *world) answered(path string, change func([]byte) []byte) func(http.ResponseWriter, *http.Request) bool {
	return func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path || r.Header.Get("X-Again") != "" {
			return false
		}
		again, err := http.NewRequest(r.Method, w.URL+path, r.Body)
		if err != nil {
			panic(err)
		}
		again.Header = r.Header.Clone()
		again.Header.Set("X-Again", "1")
		resp, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			panic(err)
		}
		defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(err)
		}
		rw.WriteHeader(resp.StatusCode)
		rw.Write(change(text))
		return true
	}
}
