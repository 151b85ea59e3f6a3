package sigstore_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

// K32
func TestAttack_T20_BundlesAreBounded(t *testing.T) {
	w := newWorld(t)
	many := func(n int, one any) []any {
		list := make([]any, n)
		for i := range list {
			list[i] = one
		}
		return list
	}
	for name, change := range map[string]func(b *sigstoretest.Bundle){
		"entries": func(b *sigstoretest.Bundle) { b.Material()["tlogEntries"] = many(sigstore.MaxEntries+1, b.Entry(0)) },
		"timestamps": func(b *sigstoretest.Bundle) {
			set(b.Material()["timestampVerificationData"], "rfc3161Timestamps", many(sigstore.MaxTimestamps+1, sigstoretest.Object{"signedTimestamp": "AAAA"}))
		},
		"hashes": func(b *sigstoretest.Bundle) {
			set(b.Entry(0)["inclusionProof"], "hashes", many(sigstore.MaxProofHashes+1, strings.Repeat("A", 43)+"="))
		},
		"certificates": func(b *sigstoretest.Bundle) {
			b.Chain("0.2")
			one := b.Material()["x509CertificateChain"].(sigstoretest.Object)["certificates"].([]any)[0]
			b.Material()["x509CertificateChain"] = sigstoretest.Object{"certificates": many(sigstore.MaxCertificates+1, one)}
		},
	} {
		b := w.signed()
		change(b)
		if parsed, err := sigstore.ParseBundle(b.Text()); parsed != nil || !errors.Is(err, sigstore.ErrMalformed) || !strings.Contains(err.Error(), "limit is") {
			t.Errorf("%s: %v, %v", name, parsed, err)
		}
	}
	parsed, err := sigstore.ParseBundle(w.signed().Text())
	if err != nil {
		t.Fatal(err)
	}
	root, err := sigstore.ParseRoot(w.Root())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := sigstore.ParseLeaf(parsed.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	e := evidenceOf(parsed)
	e.Timestamps = make([][]byte, sigstore.MaxTimestamps+1)
	if _, err := root.VerifyLeaf(leaf, e, strictest, w.judgedAt); !errors.Is(err, sigstore.ErrMalformed) {
		t.Error(err)
	}
}

func TestAttack_T20_BundlesHaveOneMeaning(t *testing.T) {
	w := newWorld(t)
	text := string(w.signed().Text())
	for name, bad := range map[string]string{
		"repeated member":    strings.Replace(text, `"tlogEntries":`, `"tlogEntries":[],"tlogEntries":`, 1),
		"case-folded member": strings.Replace(text, `"logIndex":`, `"logindex":`, 1),
		"unknown member":     strings.Replace(text, `"tlogEntries":`, `"more":1,"tlogEntries":`, 1),
		"snake case":         strings.Replace(text, `"tlogEntries":`, `"tlog_entries":`, 1),
		"negative index":     strings.Replace(text, `"logIndex":"`, `"logIndex":"-`, 1),
		"index with a zero":  strings.Replace(text, `"logIndex":"`, `"logIndex":"0`, 1),
		"index with a dot":   strings.Replace(text, `"logIndex":"`, `"logIndex":"1.`, 1),
		"version 0.4":        strings.Replace(text, "bundle.v0.3", "bundle.v0.4", 1),
		"data behind":        text + "{}",
		"cut off":            text[:len(text)-1],
	} {
		if bad == text {
			t.Errorf("%s: nothing was changed", name)
		}
		if parsed, err := sigstore.ParseBundle([]byte(bad)); parsed != nil || !errors.Is(err, sigstore.ErrMalformed) {
			t.Errorf("%s: %v, %v", name, parsed, err)
		}
	}
}

func TestBundlesThatTheirVersionForbidsAreRefused(t *testing.T) {
	for name, change := range map[string]func(w *world, b *sigstoretest.Bundle){
		"0.1 without a SET":   func(_ *world, b *sigstoretest.Bundle) { b.Chain("0.1"); delete(b.Entry(0), "inclusionPromise") },
		"0.2 without a proof": func(_ *world, b *sigstoretest.Bundle) { b.Chain("0.2"); delete(b.Entry(0), "inclusionProof") },
		"0.3 without a proof": func(_ *world, b *sigstoretest.Bundle) { delete(b.Entry(0), "inclusionProof") },
		"0.3 with a chain":    func(_ *world, b *sigstoretest.Bundle) { b.Chain("0.3") },
		"0.2 with the root":   func(w *world, b *sigstoretest.Bundle) { b.Chain("0.2", w.CA.Chain...) },
		"a proof no checkpoint": func(_ *world, b *sigstoretest.Bundle) {
			delete(b.Entry(0)["inclusionProof"].(sigstoretest.Object), "checkpoint")
		},
		"a chain and a certificate": func(_ *world, b *sigstoretest.Bundle) {
			m := b.Material()
			raw := m["certificate"]
			b.Chain("0.2")
			m["certificate"] = raw
		},
		"a key and a certificate": func(_ *world, b *sigstoretest.Bundle) { b.Material()["publicKey"] = sigstoretest.Object{"hint": "x"} },
		"neither":                 func(_ *world, b *sigstoretest.Bundle) { delete(b.Material(), "certificate") },
		"an empty chain": func(_ *world, b *sigstoretest.Bundle) {
			b.Chain("0.2")
			set(b.Material()["x509CertificateChain"], "certificates", []any{})
		},
		"no signature": func(_ *world, b *sigstoretest.Bundle) { set(b.JSON["messageSignature"], "signature", "") },
		"no body":      func(_ *world, b *sigstoretest.Bundle) { b.Entry(0)["canonicalizedBody"] = "" },
		"no kind":      func(_ *world, b *sigstoretest.Bundle) { delete(b.Entry(0), "kindVersion") },
		"a digest of another size": func(_ *world, b *sigstoretest.Bundle) {
			set(b.JSON["messageSignature"].(sigstoretest.Object)["messageDigest"], "digest", "AAAA")
		},
	} {
		w := newWorld(t)
		b := w.signed()
		change(w, b)
		if parsed, err := sigstore.ParseBundle(b.Text()); parsed != nil || !errors.Is(err, sigstore.ErrMalformed) {
			t.Errorf("%s: %v, %v", name, parsed, err)
		}
	}
}

func TestAnnotationsOfCosignAreRead(t *testing.T) {
	w := newWorld(t)
	b := w.signer.SignMessage(artifact)
	annotations := b.Annotations(w.Rekor1, "hashedrekord 0.0.1", w.TSA)
	m, err := sigstore.ParseAnnotations(annotations)
	if err != nil || !bytes.Equal(m.Certificate, w.signer.Certificate.Raw) || len(m.Entries) != 1 || len(m.Timestamps) != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	root, err := sigstore.ParseRoot(w.Root())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := sigstore.ParseLeaf(m.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := sigstore.ParseBundle(w.signed().Text())
	if err != nil {
		t.Fatal(err)
	}
	e := evidenceOf(parsed)
	e.Entries, e.Timestamps, e.Signature = m.Entries, m.Timestamps, b.Signature
	if _, err := root.VerifyLeaf(leaf, e, sigstore.Demands{Logs: 1, CTLogs: 1, Times: 2}, w.judgedAt); err != nil {
		t.Error(err)
	}
	for name := range annotations {
		for _, bad := range []string{"x", "{}", `{"Payload":{},"Payload":{}}`} {
			broken := map[string]string{name: bad}
			if m, err := sigstore.ParseAnnotations(broken); err == nil && name != "dev.cosignproject.cosign/signature" && !strings.HasSuffix(name, "rfc3161timestamp") {
				t.Errorf("%s: %q: %+v", name, bad, m)
			}
		}
	}
}
