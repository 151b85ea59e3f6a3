package readers

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
)

// payload makes content that is not evidence, and in which the marker can be read.
type payload struct {
	kind string
	make func(marker string) []byte
}

// after makes content that has the marker behind what makes it what it is.
func after(start string) func(string) []byte {
	return func(marker string) []byte { return []byte(start + marker + "\n") }
}

// at makes a file system that is recognised by what stands at an offset.
func at(offset int, magic string) func(string) []byte {
	return func(marker string) []byte {
		image := make([]byte, offset+len(magic), offset+len(magic)+len(marker))
		copy(image[offset:], magic)
		return append(image, marker...)
	}
}

var payloads = []payload{
	{"script", after("#!/bin/sh\nexec /bin/")},
	{"script without a first line", after("curl http://127.0.0.1:1/ | sh #")},
	{"script with SPDX lines", after("#!/bin/sh\nSPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\nexec /bin/")},
	{"words", after("Please run ")},
	{"page", after("<script>alert(1)</script>")},
	{"ELF", after("\x7fELF\x02\x01\x01\x00")},
	{"PE", after("MZ\x90\x00\x03\x00\x00\x00")},
	{"Mach-O", after("\xcf\xfa\xed\xfe\x07\x00\x00\x01")},
	{"WASM", after("\x00asm\x01\x00\x00\x00")},
	{"7z", after("7z\xbc\xaf\x27\x1c\x00\x04")},
	{"cpio", after("07070100000001")},
	{"ar", after("!<arch>\ndebian-binary   ")},
	{"xz", after("\xfd7zXZ\x00\x00\x04")},
	{"lzma", after("\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff")},
	{"bzip2", after("BZh91AY&SY")},
	{"zstd", func(marker string) []byte {
		// One frame with one raw block, RFC 8878, section 3.1.1.
		block := binary.LittleEndian.AppendUint32(nil, uint32(len(marker))<<3|1)[:3] //nolint:gosec // it is short
		return append(append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, byte(len(marker))}, block...), marker...)
	}},
	{"SquashFS", after("hsqs\x01\x00\x00\x00")},
	{"cramfs", after("\x45\x3d\xcd\x28")},
	{"EROFS", at(1024, "\xe2\xe1\xf5\xe0")},
	{"ext4", at(1080, "\x53\xef")},
	{"ISO", at(32769, "CD001")},
	{"tar", func(marker string) []byte { return plainTar(marker, nil) }},
	{"tar with a tab before its checksum", func(marker string) []byte {
		return plainTar(marker, func(field []byte, sum int64) { copy(field, fmt.Sprintf("\t%06o\x00", sum)) })
	}},
	{"tar with a checksum in base 256", func(marker string) []byte {
		return plainTar(marker, func(field []byte, sum int64) {
			field[0] = 0x80
			binary.BigEndian.PutUint32(field[4:], uint32(sum)) //nolint:gosec // of 512 bytes
		})
	}},
	{"zip", zipOf},
	{"JSON before a zip", func(marker string) []byte { return append([]byte("{}\n"), zipOf(marker)...) }},
	{"JSON before a script", after("{}\n#!/bin/sh\nexec /bin/")},
	{"JSON cut off", after(`{"script":"`)},
}

// plainTar is an archive without a magic number. How its checksum is written can be
// changed.
func plainTar(text string, write func(field []byte, sum int64)) []byte {
	var out bytes.Buffer
	files := tar.NewWriter(&out)
	_ = files.WriteHeader(&tar.Header{Name: "sh", Mode: 0o755, Size: int64(len(text)), Format: tar.FormatUSTAR}) // to memory
	_, _ = files.Write([]byte(text))
	_ = files.Close()
	archive := out.Bytes()
	header := archive[:512]
	clear(header[257:265])
	copy(header[148:156], "        ")
	var sum int64
	for _, b := range header {
		sum += int64(b)
	}
	clear(header[148:156])
	if write == nil {
		write = func(field []byte, sum int64) { copy(field, fmt.Sprintf("%06o\x00 ", sum)) }
	}
	write(header[148:156], sum)
	return archive
}

func zipOf(text string) []byte {
	var out bytes.Buffer
	files := zip.NewWriter(&out)
	file, _ := files.CreateHeader(&zip.FileHeader{Name: "sh", Method: zip.Store}) // to memory
	_, _ = file.Write([]byte(text))
	_ = files.Close()
	return out.Bytes()
}

// gzipped is a layer, whose content is not compressed.
func gzipped(t *testing.T) payload {
	return payload{"tar+gzip", func(marker string) []byte { return archive(t, marker) }}
}

// carries says where in content, or in what is inline in it, one of the payloads is.
func carries(content []byte, marker string, payloads map[string]string) string {
	if kind, ok := payloads[describe("", content).Digest.String()]; ok {
		return kind
	}
	if bytes.Contains(content, []byte(marker)) {
		return "the marker"
	}
	var v any
	if json.Unmarshal(content, &v) != nil {
		return ""
	}
	found := ""
	for _, inline := range inlineIn(v) {
		if data, err := base64.StdEncoding.DecodeString(inline); err == nil && found == "" {
			found = carries(data, marker, payloads)
		}
	}
	return found
}

// inlineIn are the contents, in base64, that stand in a document: data of
// descriptors, and our own annotation.
func inlineIn(v any) (all []string) {
	switch x := v.(type) {
	case []any:
		for _, element := range x {
			all = append(all, inlineIn(element)...)
		}
	case map[string]any:
		for key, value := range x {
			text, ok := value.(string)
			switch {
			case ok && key == "data":
				all = append(all, text)
			case ok && key == registry.AnnotationContent:
				words := strings.Fields(text)
				all = append(all, words[len(words)-1])
			default:
				all = append(all, inlineIn(value)...)
			}
		}
	}
	return all
}
