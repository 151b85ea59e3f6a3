package kinds_test

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
)

// ustar is an archive of one file that is a JSON object as well, as one line of text. field
// is what stands from the checksum's field on: 8 bytes of it, the type and the name of a
// link, which is 100 bytes.
func ustar(field func(sum int) string) string {
	pad := func(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }
	code := "#!/bin/sh\necho evil >&2\n"
	code = strings.ReplaceAll(code, "\n", " ")
	header := []byte(pad(`{"a":"`, 99) + "x" + "0000755 0000000 0000000 " + fmt.Sprintf("%011o ", len(code)) + "00000000000 " + strings.Repeat(" ", 8+1+100) + "ustar  " + strings.Repeat("0", 100) + strings.Repeat(" ", 148))
	header = header[:512]
	// The name has no NUL: blanks are a part of it.
	sumOf := func() (sum int) {
		for i, b := range header {
			if i >= 148 && i < 156 {
				b = ' '
			}
			sum += int(b)
		}
		return sum
	}
	for n := range 10_000 { // until the sum holds its own digits
		copy(header[400:], fmt.Sprintf("%04d", n))
		want := sumOf()
		copy(header[148:257], pad(field(want), 109))
		if sumOf() == want {
			break
		}
		if n == 9_999 {
			panic("no such header")
		}
	}
	return string(header) + pad(code, 512) + pad(`"}`, 512)
}

// Readers of archives that take a checksum as the gate does not: busybox reads it with
// strtoul, which takes a sign; Rust's tar (bootc) trims
// what Unicode takes for blanks and takes a sign; Python's takes 0o and underscores.
func TestAttack_P16_ArchivesOfOtherReadersAreOfNoKind(t *testing.T) {
	for name, field := range map[string]func(sum int) string{
		"a sign (busybox, Rust, node, Python)": func(sum int) string { return fmt.Sprintf("+%06o 0", sum) },
		"0o (Python)":                          func(sum int) string { return fmt.Sprintf("0o%06o0", sum) },
		"underscore (Python)":                  func(sum int) string { return fmt.Sprintf("0_%06o0", sum) },
		"no-break space (Rust)":                func(sum int) string { return fmt.Sprintf("\u00a0%06o0", sum) },
	} {
		if got := of(t, ustar(field)); got != 0 {
			t.Errorf("%s is taken for %b", name, got)
		}
	}
}

// item is a byte string.
func item(s string) string { return "\x59" + string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

// An attacker's COSE message has no valid signature, and its unprotected header holds what
// they like: a file system or an archive of up to 64 KiB.
func TestAttack_P16_COSEHoldsNothingElse(t *testing.T) {
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	f, _ := w.Create("bin/sh")
	_, _ = f.Write([]byte("#!/bin/sh\nevil\n"))
	_ = w.Close()
	erofs := make([]byte, 4096)
	copy(erofs[1024-8:], "\xe2\xe1\xf5\xe0")
	for name, inside := range map[string]string{
		"zip": archive.String(), "ELF": "\x7fELF" + strings.Repeat("\x00", 600), "EROFS": string(erofs), "ar": "!<arch>\n", "script": "#!/bin/sh\nevil\n",
	} {
		for where, content := range map[string]string{
			"unknown label, unprotected": sign1("\xa1\x01\x26", "\xa1\x18\x63"+item(inside), `{"targetArtifact":{}}`, "sig"),
			"unknown label, protected":   sign1("\xa2\x01\x26\x18\x63"+item(inside), "\xa0", `{"targetArtifact":{}}`, "sig"),
			"as a label":                 sign1("\xa1\x01\x26", "\xa1"+item(inside)+"\x01", `{"targetArtifact":{}}`, "sig"),
		} {
			if got := of(t, content); got != 0 {
				if name == "zip" {
					if r, err := zip.NewReader(strings.NewReader(content), int64(len(content))); err == nil && len(r.File) == 1 {
						t.Errorf("archive/zip opens it: %s", r.File[0].Name)
					}
				}
				t.Errorf("%s, %s: taken for %b", name, where, got)
			}
		}
	}
}

// Clients read the members of a config without regard to case (encoding/json).
func TestAttack_P15_AConfigInAnotherCaseIsNotInert(t *testing.T) {
	for name, content := range map[string]string{
		"case":         `{"Architecture":"amd64","OS":"linux","Config":{"Entrypoint":["sh"]},"rootfs":{"type":"layers","diff_ids":[]}}`,
		"os, long s":   `{"architecture":"","o` + "\u017f" + `":"linux"}`,
		"both":         `{"os":"","o` + "\u017f" + `":"linux"}`,
		"config alone": `{"CONFIG":{"Cmd":["sh"]}}`,
		"container's":  `{"container_config":{"Cmd":["sh"]}}`,
	} {
		if got := of(t, content); got&kinds.Inert != 0 && name != "container's" {
			t.Errorf("%s: taken for a config that names no platform and nothing to run: %b", name, got)
		}
	}
}

// What tools really write.
func TestWhatToolsWriteIsOfItsKind(t *testing.T) {
	long := strings.Repeat("long words of a licence ", 2000)
	straddle := "SPDXVersion: SPDX-2.3\nExtractedText: <text>\n"
	straddle += strings.Repeat("x", 16<<10-3-0) + "</text>\n"
	for name, c := range map[string]struct {
		content string
		want    kinds.Set
	}{
		"a licence on one long line":             {spdxText + "LicenseID: LicenseRef-1\nExtractedText: <text>" + long + "</text>\n", kinds.SPDXText},
		"a long line":                            {spdxText + "PackageLicenseDeclared: " + strings.Repeat("LicenseRef-x AND ", 2000) + "MIT\n", kinds.SPDXText},
		"an end of text across a reader's bound": {straddle, kinds.SPDXText},
		"GPL-2.0 with its form feeds":            {spdxText + "LicenseID: LicenseRef-GPL\nExtractedText: <text>GNU GENERAL PUBLIC LICENSE\n\f\nTERMS</text>\n", kinds.SPDXText},
		"spdx/tools-golang 0.2 (saver2v2)":       {spdxText + "SnippetSPDXIdentifier: SPDXRef-Snippet19\n", kinds.SPDXText},
	} {
		if got := of(t, c.content); got&c.want == 0 {
			t.Errorf("%s: %b, want %b", name, got, c.want)
		}
	}
	const ggcr = `{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{"created":"0001-01-01T00:00:00Z"}],"os":"","rootfs":{"type":"layers","diff_ids":["sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"]},"config":{}}`
	for mediaType, content := range map[string]string{
		// trivy-plugin-referrer: mutate.ConfigMediaType over an image of go-containerregistry's.
		"application/vnd.cyclonedx+json": ggcr, "application/spdx+json": ggcr, "application/sarif+json": ggcr, "application/json": ggcr,
	} {
		if got := of(t, content); got&evidence.KindsOfConfig(mediaType) == 0 {
			t.Errorf("a config of trivy-plugin-referrer's, %s: %b, allowed %b", mediaType, got, evidence.KindsOfConfig(mediaType))
		}
	}
	for mediaType, content := range map[string]string{
		"text/spdx":            `{"spdxVersion":"SPDX-2.3"}`, // cosign attach sbom --sbom x.spdx.json: its default type
		"spdx+json":            `{"spdxVersion":"SPDX-2.3"}`, // cosign 1.8 and later: --type spdx --input-format json
		"application/vnd.syft": `{"artifacts":[]}`,           // cosign 1: SyftMediaType
	} {
		if got := of(t, content); got&evidence.KindsOfLayer(mediaType) == 0 {
			t.Errorf("%s: %b, allowed %b", mediaType, got, evidence.KindsOfLayer(mediaType))
		}
	}
}

// The shapes that Notation writes, with a chain of certificates.
func TestWhatNotationWritesIsOfItsKind(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) string {
		if len(s) < 24 {
			return string([]byte{0x60 | byte(len(s))}) + s
		}
		return "\x78" + string([]byte{byte(len(s))}) + s
	}
	protected := "\xa5\x01\x26\x02\x81" + text("io.cncf.notary.signingScheme") + "\x03" + text("application/vnd.cncf.notary.payload.v1+json") +
		text("io.cncf.notary.signingScheme") + text("notary.x509") + text("io.cncf.notary.signingTime") + "\xc1\x1a\x65\x00\x00\x00"
	unprotected := "\xa3\x18\x21\x82" + item(string(der)) + item(string(der)) + text("io.cncf.notary.signingAgent") + text("notation-go/1.1.0") + text("io.cncf.notary.timestampSignature") + item("\x30\x82\x17\x6c"+strings.Repeat("\x01", 5996))
	payload := `{"targetArtifact":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:x","size":1}}`
	if got := of(t, "\xd2\x84"+item(protected)+unprotected+item(payload)+item(strings.Repeat("\x01", 64))); got != kinds.COSE {
		t.Errorf("COSE: %b", got)
	}
	b := base64.RawURLEncoding.EncodeToString
	for _, more := range []int{0, 3000} { // user metadata, which Notation does not bound
		content := strings.Replace(payload, `"size":1`, `"size":1,"annotations":{"x":"`+strings.Repeat("x", more)+`"}`, 1)
		jose := fmt.Sprintf(`{"payload":%q,"protected":%q,"header":{"x5c":[%q],"io.cncf.notary.signingAgent":"x"},"signature":%q}`, b([]byte(content)), b([]byte(`{"alg":"ES256"}`)), base64.StdEncoding.EncodeToString(der), b([]byte(strings.Repeat("s", 64))))
		if got := of(t, jose); got&kinds.JOSE == 0 {
			t.Errorf("JOSE with %d bytes of metadata: %b", more, got)
		}
	}
}
