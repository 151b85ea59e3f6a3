package sigstore

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

const conformance = "../dev/conformance/testdata/"

// files are real ones, as seeds.
func files(f *testing.F, glob string) (all [][]byte) {
	f.Helper()
	paths, err := filepath.Glob(conformance + glob)
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, text)
	}
	return all
}

// bundles are those of the conformance suite that can be read.
func bundles(f *testing.F) (all []*Bundle) {
	f.Helper()
	for _, text := range files(f, "bundle-verify/*/bundle.sigstore.json") {
		if b, err := ParseBundle(text); err == nil {
			all = append(all, b)
		}
	}
	return all
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte("{}"))
	for _, text := range files(f, "bundle-verify/*/bundle.sigstore.json") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ParseBundle(text)
		if err != nil {
			return
		}
		if (b.Envelope == nil) == (b.Message == nil) || len(b.Entries) > MaxEntries || len(b.Timestamps) > MaxTimestamps {
			t.Errorf("%+v", b)
		}
	})
}

func FuzzParseRoots(f *testing.F) {
	f.Add([]byte("{}"))
	for _, text := range files(f, "roots/*.json") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		roots, err := ParseRoots(text)
		if err != nil {
			return
		}
		for _, r := range roots {
			for _, logs := range r.logs {
				for _, l := range logs {
					if l.trusted.start.IsZero() || l.key == nil {
						t.Errorf("%+v", l)
					}
				}
			}
			for _, a := range append(r.authorities, r.stampers...) {
				if a.trusted.start.IsZero() || len(a.certs) == 0 && a.signer == nil {
					t.Errorf("%+v", a)
				}
			}
		}
	})
}

func FuzzParseLeaf(f *testing.F) {
	f.Add([]byte{0x30, 0})
	for _, b := range bundles(f) {
		f.Add(b.Certificate)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		l, err := ParseLeaf(der)
		if err != nil {
			return
		}
		if l.Subject == "" || l.Key == nil || !isPlain(l.Subject) || !isPlain(l.Issuer) {
			t.Errorf("%+v", l)
		}
		if tbs, err := withoutSCTs(l.certificate.RawTBSCertificate); err == nil && len(tbs) > len(l.certificate.RawTBSCertificate) {
			t.Errorf("%d bytes of %d", len(tbs), len(l.certificate.RawTBSCertificate))
		}
	})
}

func FuzzParseTimestamp(f *testing.F) {
	f.Add([]byte{0x30, 0})
	for _, b := range bundles(f) {
		for _, s := range b.Timestamps {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseTimestamp(text)
		if err == nil && (s.at.IsZero() && s.at.Location() == nil || s.imprint.hash == 0 || s.digest == 0) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzFromBER(f *testing.F) {
	f.Add([]byte{0x30, 0x80, 0x24, 0x80, 0x04, 0x01, 1, 0x04, 0x81, 0x01, 2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, ber []byte) {
		der, err := fromBER(ber)
		if err != nil {
			return
		}
		again, err := fromBER(der)
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("%x, %x, %v", der, again, err)
		}
		if _, rest, err := next(der); err != nil || len(rest) > 0 {
			t.Errorf("%x: %v", der, err)
		}
	})
}

func FuzzParseBody(f *testing.F) {
	f.Add([]byte("{}"))
	for _, b := range bundles(f) {
		for _, e := range b.Entries {
			f.Add(e.Body)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parseBody(&Entry{Body: text})
		if err != nil {
			return
		}
		other := &Evidence{Signature: []byte("of another"), Message: &sigkey.Message{Bytes: []byte("of another")}}
		if b.matches(other, []byte("another")) == nil {
			t.Errorf("%+v is about anything", b)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add("log.example\n1\nAAAA\n\n")
	for _, b := range bundles(f) {
		for _, e := range b.Entries {
			if e.Proof != nil {
				f.Add(e.Proof.Checkpoint)
			}
		}
	}
	f.Fuzz(func(t *testing.T, note string) {
		c, err := parseCheckpoint(note)
		if err == nil && (c.origin == "" || c.size < 1 || len(c.root) != 32 || len(c.signatures) == 0) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzParseSCTs(f *testing.F) {
	f.Add([]byte{4, 2, 0, 0})
	for _, b := range bundles(f) {
		l, err := ParseLeaf(b.Certificate)
		if err != nil {
			continue
		}
		for _, e := range l.certificate.Extensions {
			if e.Id.Equal(sctListOID) {
				f.Add(e.Value)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := parseSCTs(text)
		if err == nil && len(all) > maxSCTs {
			t.Errorf("%d", len(all))
		}
	})
}

func FuzzParseAnnotations(f *testing.F) {
	f.Add("x", `{"SignedEntryTimestamp":"AAAA","Payload":{"body":"AAAA","integratedTime":1,"logIndex":2,"logID":"ab"}}`, `{"SignedRFC3161Timestamp":"AAAA"}`)
	f.Fuzz(func(t *testing.T, certificate, entry, stamp string) {
		m, err := ParseAnnotations(map[string]string{"dev.sigstore.cosign/certificate": certificate, annotationBundle: entry, annotationTimestamp: stamp})
		if err != nil {
			return
		}
		for _, e := range m.Entries {
			if len(e.Promise) == 0 {
				t.Errorf("an entry without promise: %+v", e)
			}
		}
	})
}

func FuzzMerkleRoot(f *testing.F) {
	f.Add(int64(0), int64(1), "")
	f.Add(int64(5), int64(7), base64.StdEncoding.EncodeToString(make([]byte, 96)))
	f.Fuzz(func(t *testing.T, index, size int64, text string) {
		var hashes [][]byte
		for b := []byte(text); len(b) >= 32 && len(hashes) < 70; b = b[32:] {
			hashes = append(hashes, b[:32])
		}
		root, ok := merkleRoot(make([]byte, 32), index, size, hashes)
		if ok && (index < 0 || index >= size || len(root) != 32) {
			t.Errorf("%d of %d: %x", index, size, root)
		}
	})
}
