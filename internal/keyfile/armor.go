package keyfile

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"strings"
	"unicode/utf16"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// MaxSize bounds a key file, in bytes.
const MaxSize = 64 << 10

const (
	beginMark = "-----BEGIN "
	endMark   = "-----END "
	dashes    = "-----"
)

// only returns the one PEM block of a key file. It passes over text before a
// block, and over the curve's parameters that openssl writes before an EC key.
func only(text []byte, want role) (*pem.Block, error) {
	if len(text) > MaxSize {
		return nil, sigkey.Errorf(sigkey.KindFileSize, "more than %d bytes", MaxSize)
	}
	blocks, after, err := decode(plain(text), want)
	if err != nil {
		return nil, err
	}
	var keys []*pem.Block
	var types []string
	for _, b := range blocks {
		if types = append(types, b.Type); b.Type != "EC PARAMETERS" {
			keys = append(keys, b)
		}
	}
	switch {
	case len(blocks) == 0:
		return nil, foreign(text, want)
	case len(keys) == 0:
		return nil, sigkey.Errorf(sigkey.KindDamaged, "the parameters of a curve, without a key")
	case len(keys) > 1:
		return nil, sigkey.Errorf(sigkey.KindSeveral, "more than one PEM block: %.200q", types).Advise("give each key in a file of its own")
	case after != "":
		return nil, sigkey.Errorf(sigkey.KindSeveral, "text follows the PEM block of type %.40q", keys[0].Type).Advise("delete what follows the line " + endMark + keys[0].Type + dashes)
	}
	return keys[0], nil
}

// plain returns the text of a file in UTF-8, without a byte order mark, and with
// real line breaks in place of the escaped ones of JSON strings and variables.
func plain(text []byte) string {
	switch {
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}):
		text = fromUTF16(text[2:], binary.LittleEndian)
	case bytes.HasPrefix(text, []byte{0xfe, 0xff}):
		text = fromUTF16(text[2:], binary.BigEndian)
	}
	s := strings.TrimPrefix(string(text), "\ufeff")
	if strings.Contains(s, dashes+`\`) {
		s = strings.NewReplacer(`\\r`, "\r", `\\n`, "\n", `\r`, "\r", `\n`, "\n", `\/`, "/").Replace(s)
		s = strings.TrimRight(s, " \t\r\n\"'")
	}
	return s
}

func fromUTF16(text []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// decode returns all PEM blocks of a text, and the text that follows the last one.
// A damaged block is an error wherever it is: of two keys, the second must not be
// taken for the first.
func decode(text string, want role) (blocks []*pem.Block, after string, err error) {
	for {
		_, rest, found := strings.Cut(text, beginMark)
		if !found {
			return blocks, strings.TrimSpace(text), nil
		}
		label, rest, found := strings.Cut(rest, dashes)
		if !found || strings.ContainsAny(label, "\r\n") {
			return nil, "", sigkey.Errorf(sigkey.KindDamaged, "a PEM block is damaged: its first line is incomplete")
		}
		if strings.HasPrefix(label, "PGP ") {
			return nil, "", pgp(want)
		}
		body, rest, found := strings.Cut(rest, endMark+label+dashes)
		if !found || strings.Contains(body, dashes) {
			return nil, "", sigkey.Errorf(sigkey.KindDamaged, "a PEM block is damaged: the line %s%.40s%s is missing", endMark, label, dashes)
		}
		block := &pem.Block{Type: label}
		if !fill(block, body) {
			return nil, "", sigkey.Errorf(sigkey.KindDamaged, "the PEM block of type %.40q is damaged: it is not base64", label)
		}
		blocks, text = append(blocks, block), rest
	}
}

// fill reads the headers and the base64 of a block, whose lines may be indented.
func fill(block *pem.Block, body string) bool {
	var digits strings.Builder
	for line := range strings.FieldsFuncSeq(body, func(r rune) bool { return r == '\r' || r == '\n' }) {
		name, value, isHeader := strings.Cut(line, ":")
		if !isHeader {
			digits.WriteString(strings.NewReplacer(" ", "", "\t", "").Replace(line))
			continue
		}
		if digits.Len() > 0 {
			return false
		}
		if block.Headers == nil {
			block.Headers = make(map[string]string)
		}
		block.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	var err error
	block.Bytes, err = base64.StdEncoding.DecodeString(digits.String())
	return err == nil && len(block.Bytes) > 0
}
