package gate_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify/gate"
	"github.com/hallmark-oci/hallmark/verify/gate/store"
)

// somethingElse are contents that are no evidence, whatever their media type says.
func somethingElse() map[string][]byte {
	unsigned := func(c byte) int { return int(c) }
	padded := func(magic string) []byte { return append([]byte(magic), make([]byte, 600)...) }
	printable := func(field func(sum int) string) []byte {
		b := []byte(`{"bin/sh` + strings.Repeat("x", 92) + "0000755 0000000 0000000 00000000000 00000000000         0" + strings.Repeat("y", 355))
		copy(b[148:156], field(checksum(slices.Concat(b[:148], []byte("        "), b[156:]), unsigned)-8*' '))
		return append(b, []byte(`":1}`)...)
	}
	all := archives()
	for name, content := range map[string][]byte{
		"a tar with a tab before the checksum": oldTar(func(h []byte) string { return fmt.Sprintf("\t%06o\x00", checksum(h, unsigned)) }),
		"a tar with a checksum in base 256": oldTar(func(h []byte) string {
			n := checksum(h, unsigned)
			return string([]byte{0x80, 0, 0, 0, 0, 0, byte(n >> 8), byte(n)})
		}),
		"a tar that is JSON":           printable(func(sum int) string { return fmt.Sprintf("%06o  ", sum) }),
		"a tar that is JSON, with tab": printable(func(sum int) string { return fmt.Sprintf(" %06o ", sum) }),
		"lzma":                         padded("\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff"),
		"a script":                     []byte("#!/bin/sh\nevil\n"),
		"text":                         []byte("evil\n"),
		"WASM":                         padded("\x00asm\x01\x00\x00\x00"),
		"PE":                           padded("MZ"),
		"Mach-O":                       padded("\xcf\xfa\xed\xfe"),
		"cpio":                         []byte("070701" + strings.Repeat("0", 104)),
		"7z":                           padded("7z\xbc\xaf\x27\x1c"),
		"ISO":                          append(make([]byte, 0x8000), "\x01CD001\x01"...),
		"EROFS":                        append(make([]byte, 1024), "\xe2\xe1\xf5\xe0"...),
		"ext4":                         append(make([]byte, 1080), "\x53\xef"...),
		"cramfs":                       padded("\x45\x3d\xcd\x28"),
		"a list":                       []byte(`[{"x":1}]`),
		"an object and more":           []byte("{}\x1f\x8b\x08"),
		"an object and a script":       []byte("{}\n#!/bin/sh\n"),
		"nothing":                      {},
	} {
		all[name] = content
	}
	return all
}

// The media types that evidence may have, but for those of signatures, which have shapes
// of their own.
var evidenceMediaTypes = []string{"application/json", "application/spdx+json", "text/spdx", "application/vnd.cyclonedx+json", "application/sarif+json", "application/cose", "application/jose+json", "application/vnd.in-toto+json", "application/vnd.dev.sigstore.bundle.v0.3+json"}

func TestAttack_P16_EvidenceIsWhatItsMediaTypeSays(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	n := 0
	var manifests []string
	blobs := make(map[string][]byte)
	for name, content := range somethingElse() {
		for _, mediaType := range evidenceMediaTypes {
			n++
			own := append(slices.Clone(content), bytes.Repeat([]byte("\x00"), n%7)...) // several blobs of each
			blob := s.blob(mediaType, own)
			blobs[blob.Digest] = own
			manifests = append(manifests, s.attach(s.signed.DigestStr(), n, blob))
			if _, there := blobs[name]; there {
				t.Fatal(name)
			}
		}
	}
	for kind, change := range map[string]func(*gate.Config){
		"without a store": nil,
		"with a store":    func(c *gate.Config) { c.Store = openStore(t, t.TempDir(), store.Options{}) },
	} {
		for face, get := range s.faces(change) {
			for _, m := range manifests {
				if r := get(manifestPath + m); r.status != http.StatusOK {
					t.Fatalf("%d %s", r.status, r.body)
				}
			}
			for digest, content := range blobs {
				if r := get("/v2/team/app/blobs/" + digest); r.status != http.StatusForbidden || !strings.Contains(r.message(), "attached as evidence") {
					t.Errorf("%s, %s: %.40q: %d %s", kind, face, content, r.status, r.body)
				}
			}
		}
		for digest := range blobs {
			for _, x := range [][]string{{http.MethodHead}, {http.MethodGet, "Range", "bytes=0-0"}, {http.MethodGet, "If-None-Match", `"` + digest + `"`}} {
				if r := s.ask(x[0], "/v2/team/app/blobs/"+digest, x[1:]...); r.status != http.StatusForbidden {
					t.Errorf("%s: %v: %d %s", kind, x, r.status, r.body)
				}
			}
		}
	}
	for _, reason := range s.events.reasons(gate.EventDenied) {
		if reason != "not-evidence" {
			t.Errorf("denied for %s", reason)
		}
	}
}

func TestEvidenceOfEachKindPasses(t *testing.T) {
	s := newScene(t, registrytest.Options{}, nil)
	n := 0
	for mediaType, content := range map[string]string{
		"application/json":                      ` {"x":1}`,
		"application/spdx+json":                 `{"spdxVersion":"SPDX-2.3"}`,
		"text/spdx":                             "SPDXVersion: SPDX-2.3\nPackageName: x\n",
		"application/vnd.cyclonedx+json":        `{"bomFormat":"CycloneDX"}`,
		"application/vnd.in-toto+json":          `{"_type":"https://in-toto.io/Statement/v0.1","subject":[],"predicateType":"x"}`,
		"application/vnd.dsse.envelope.v1+json": `{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="}]}`,
		"application/jose+json":                 `{"payload":"e30","protected":"e30","header":{},"signature":"AA"}`,
		"application/cose":                      "\xd2\x84\x41\xa0\xa0\x42{}\x41s",
	} {
		n++
		blob := s.blob(mediaType, []byte(content))
		s.passes(s.attach(s.signed.DigestStr(), n, blob))
		for range 2 {
			if r := s.serves("/v2/team/app/blobs/" + blob.Digest); string(r.body) != content {
				t.Errorf("%s: %q", mediaType, r.body)
			}
			r := s.get("/v2/team/app/blobs/"+blob.Digest, "Range", "bytes=1-3")
			if r.status != http.StatusPartialContent || string(r.body) != content[1:4] {
				t.Errorf("%s: %d %q", mediaType, r.status, r.body)
			}
			if r := s.ask(http.MethodHead, "/v2/team/app/blobs/"+blob.Digest); r.status != http.StatusOK || r.header.Get("Content-Length") != itoa(len(content)) {
				t.Errorf("%s: %d %v", mediaType, r.status, r.header)
			}
		}
	}
}

// Evidence of an attacker's lists the blob of another's as something else, or with another
// size: the other's goes on to pass.
func TestAttack_E21_EvidenceThatLiesAboutABlobHidesNone(t *testing.T) {
	for _, order := range []string{"before", "after"} {
		s := newScene(t, registrytest.Options{}, nil)
		content := []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x"}`)
		good := s.blob("application/vnd.in-toto+json", content)
		evidence := s.attach(s.signed.DigestStr(), 0, good)
		lies := func() {
			for i := range 6 {
				bad := piece{"application/cose", good.Digest, good.Size + i - 1}
				s.passes(s.attach(s.signed.DigestStr(), 1+i, bad))
				s.get("/v2/team/app/blobs/" + good.Digest)
			}
		}
		if order == "before" {
			lies()
		}
		s.passes(evidence)
		if order == "after" {
			lies()
		}
		if r := s.serves("/v2/team/app/blobs/" + good.Digest); !bytes.Equal(r.body, content) {
			t.Errorf("%s: %q", order, r.body)
		}
	}
}
