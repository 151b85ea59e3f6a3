package proxy

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hallmark-oci/hallmark/internal/oci"
)

// knownEvidence are media types of layers that hold evidence. What runs is in none
// of them: an image that names an allowed one as its subject does not pass for
// that.
var knownEvidence = []string{
	"application/vnd.dev.cosign.*",
	"application/vnd.dev.sigstore.*",
	"application/vnd.in-toto*",
	"application/vnd.dsse.envelope.*",
	"application/vnd.cncf.notary.*",
	"application/jose+json",
	"application/cose",
	"application/spdx+json",
	"text/spdx*",
	"application/vnd.cyclonedx*",
	"application/vnd.syft+json",
	"application/sarif+json",
	"application/vnd.openvex*",
	"application/openvex+json",
	"application/json",
	oci.MediaTypeEmpty,
}

// evidenceTypes tell evidence from images.
type evidenceTypes []string

func newEvidenceTypes(more []string) evidenceTypes { return slices.Concat(knownEvidence, more) }

func (e evidenceTypes) has(mediaType string) bool {
	return slices.ContainsFunc(e, func(known string) bool {
		prefix, open := strings.CutSuffix(known, "*")
		return mediaType == known || open && strings.HasPrefix(mediaType, prefix)
	})
}

// rules names what fits decides by.
func (e evidenceTypes) rules(maxBytes int64) string {
	sum := sha256.New()
	for _, known := range slices.Sorted(slices.Values(e)) {
		_, _ = fmt.Fprintf(sum, "%q\n", known) // a hash does not fail
	}
	_, _ = fmt.Fprintf(sum, "%d %d", maxBytes, maxEvidenceLayers)
	return hexOf(sum.Sum(nil))
}

// isImageConfig reports whether a manifest says that it can be run. What cosign
// puts under its tags says so too; a referrer does not need to.
func isImageConfig(mediaType types.MediaType) bool {
	return mediaType == types.OCIConfigJSON || mediaType == types.DockerConfigJSON
}

// maxEvidenceLayers bounds what one manifest of evidence lists, each of which is
// remembered. cosign keeps all signatures of an image in one manifest.
const maxEvidenceLayers = 1000

// fits reports whether a manifest can be nothing but evidence: each layer is of a
// type that evidence has, and not too large.
func (e evidenceTypes) fits(d *oci.Document, maxBytes int64) bool {
	if d.IsIndex || len(d.Layers) == 0 || len(d.Layers) > maxEvidenceLayers || d.Config.Size > maxBytes {
		return false
	}
	for _, l := range d.Layers {
		if !e.has(string(l.MediaType)) || l.Size > maxBytes {
			return false
		}
	}
	return true
}

// sniffLength is how much of a blob tells whether it is an archive.
const sniffLength = 512

// magics begin gzip, zstd, bzip2, xz, zip, SquashFS (of both byte orders), ELF,
// compress, LZH, LZ4 and lzip.
var magics = []string{
	"\x1f\x8b", "\x28\xb5\x2f\xfd", "BZh", "\xfd7zXZ", "PK\x03\x04", "hsqs", "sqsh", "\x7fELF",
	"\x1f\x9d", "\x1f\xa0", "\x04\x22\x4d\x18", "LZIP",
}

// isArchive reports whether a blob begins as layers of images do, whatever its
// media type says: some clients unpack without looking at that.
func isArchive(start []byte) bool {
	for _, magic := range magics {
		if bytes.HasPrefix(start, []byte(magic)) {
			return true
		}
	}
	// A skippable frame of Zstandard (RFC 8878, section 3.1.2): decompressors look for
	// more behind it.
	if len(start) >= 4 && start[0]&0xf0 == 0x50 && string(start[1:4]) == "\x2a\x4d\x18" {
		return true
	}
	return isTar(start) || len(start) >= 262 && string(start[257:262]) == "ustar"
}

// isTar recognises the header of an archive's first file by its checksum, which
// tar of all ages has (POSIX.1, ustar): the sum of all bytes, those of the checksum
// itself counted as blanks.
func isTar(start []byte) bool {
	if len(start) < sniffLength {
		return false
	}
	// As lenient readers have it: what is behind a NUL or blank does not count, and the
	// sum may be that of signed bytes, as old writers made it.
	field := strings.TrimLeft(string(start[148:156]), " \x00")
	if end := strings.IndexAny(field, " \x00"); end >= 0 {
		field = field[:end]
	}
	want, err := strconv.ParseInt(field, 8, 32)
	sum, signed := int64(8*' '), int64(8*' ')
	for i, b := range start[:sniffLength] {
		if i < 148 || i >= 156 {
			sum += int64(b)
			signed += int64(int8(b)) //nolint:gosec // so it was added
		}
	}
	return err == nil && (want == sum || want == signed)
}

// evidenceTag reads cosign's tags, and the fallback tag of the referrers API, and
// returns the digest that they are about.
// Source: OCI Distribution Specification v1.1, "Referrers Tag Schema".
func evidenceTag(tag string) (subject, suffix string, ok bool) {
	rest, ok := strings.CutPrefix(tag, "sha256-")
	if !ok || len(rest) < 64 || !isHex(rest[:64]) {
		return "", "", false
	}
	switch suffix = rest[64:]; suffix {
	case "", ".sig", ".att", ".sbom":
		return "sha256:" + rest[:64], suffix, true
	}
	return "", "", false
}
