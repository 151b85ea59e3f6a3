package kinds

import (
	"bufio"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// jose reports whether an object is a flattened JSON Web Signature over an object.
func jose(m map[string]member) bool {
	for _, name := range []string{"payload", "protected", "signature"} {
		if !m[name].base64 {
			return false
		}
	}
	if !m["header"].object() {
		return false
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(m["payload"].str())
	if err != nil {
		return false
	}
	return isObject(payload)
}

func isObject(text []byte) bool {
	v, err := strictjson.Parse(text)
	return err == nil && v.Kind() == strictjson.Object
}

// coseSign1 begins a COSE_Sign1 message: CBOR's tag 18 (RFC 9052, section 2).
const coseSign1 = 0xd2

// Bounds of a COSE message.
const (
	maxCOSE = 64 << 10
	// maxCOSESignature is more than RSA signatures of 4096 bits have.
	maxCOSESignature = 1 << 10
	maxCBORDepth     = 4
)

// ofCOSE reads a COSE_Sign1 message: a protected header, an unprotected one, a payload
// that is a JSON object, and a signature.
func ofCOSE(b *bufio.Reader) (Set, error) {
	data, err := io.ReadAll(io.LimitReader(b, maxCOSE+1))
	if err != nil {
		return 0, err
	}
	if len(data) > maxCOSE || len(data) < 2 || data[0] != coseSign1 || data[1] != cborArray<<5|4 {
		return 0, nil
	}
	c := cbor{rest: data[2:]}
	protected, payload, signature := c.bytes(), []byte(nil), []byte(nil)
	c.header()
	payload, signature = c.bytes(), c.bytes()
	if c.bad || len(c.rest) > 0 || len(signature) == 0 || len(signature) > maxCOSESignature || !isObject(payload) {
		return 0, nil
	}
	inner := cbor{rest: protected}
	inner.header()
	if inner.bad || len(inner.rest) > 0 {
		return 0, nil
	}
	return COSE, nil
}

// Major types of CBOR (RFC 8949, section 3.1).
const (
	cborUint, cborNegative, cborBytes, cborText, cborArray, cborMap, cborTag, cborSimple = 0, 1, 2, 3, 4, 5, 6, 7
)

// cbor reads items of definite lengths; bad is set by the first that is none.
type cbor struct {
	rest []byte
	bad  bool
}

// head reads an item's major type and argument.
func (c *cbor) head() (major byte, n uint64) {
	if len(c.rest) == 0 {
		c.bad = true
		return 0, 0
	}
	major, short := c.rest[0]>>5, c.rest[0]&0x1f
	c.rest = c.rest[1:]
	if short < 24 {
		return major, uint64(short)
	}
	size := 1 << (short - 24)
	if short > 27 || size > len(c.rest) {
		c.bad = true
		return 0, 0
	}
	for _, b := range c.rest[:size] {
		n = n<<8 | uint64(b)
	}
	c.rest = c.rest[size:]
	return major, n
}

// take is the next n bytes.
func (c *cbor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.rest)) {
		c.bad = true
		return nil
	}
	taken := c.rest[:n]
	c.rest = c.rest[n:]
	return taken
}

// bytes reads a byte string.
func (c *cbor) bytes() []byte {
	major, n := c.head()
	if major != cborBytes {
		c.bad = true
	}
	return c.take(n)
}

// Labels of headers that the Notary Project writes (RFC 9052, section 3.1; RFC 9360,
// section 2).
const (
	headerAlgorithm, headerCritical, headerContentType, headerChain = 1, 2, 3, 33

	headerTimestamp = "io.cncf.notary.timestampSignature"
)

// header reads a map of headers. Their values are short texts, numbers and lists of
// these; only certificates and timestamps are binary, and must be what they are.
func (c *cbor) header() {
	major, n := c.head()
	if major != cborMap {
		c.bad = true
	}
	for range n {
		if c.bad {
			return
		}
		switch major, label := c.head(); major {
		case cborUint:
			c.numbered(label)
		case cborText:
			if name := c.text(label); name == headerTimestamp {
				c.der()
			} else {
				c.plain(0)
			}
		default:
			c.bad = true
		}
	}
}

// numbered reads the value of a header that has a number for a label.
func (c *cbor) numbered(label uint64) {
	switch label {
	case headerAlgorithm, headerCritical, headerContentType:
		c.plain(0)
	case headerChain:
		c.chain()
	default:
		c.bad = true
	}
}

// maxCBORText bounds one text.
const maxCBORText = 4 << 10

// text reads the bytes of a text.
func (c *cbor) text(n uint64) string {
	text := string(c.take(n))
	if n > maxCBORText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		c.bad = true
	}
	return text
}

// der reads a byte string that is one sequence of DER (X.690).
func (c *cbor) der() {
	var sequence asn1.RawValue
	if rest, err := asn1.Unmarshal(c.bytes(), &sequence); err != nil || len(rest) > 0 || sequence.Tag != asn1.TagSequence {
		c.bad = true
	}
}

// chain reads one certificate, or a list of them.
func (c *cbor) chain() {
	n := uint64(1)
	if len(c.rest) > 0 && c.rest[0]>>5 == cborArray {
		_, n = c.head()
	}
	for range n {
		if _, err := x509.ParseCertificate(c.bytes()); c.bad || err != nil {
			c.bad = true
			return
		}
	}
}

// plain reads a text, a number, or a list of these.
func (c *cbor) plain(depth int) {
	major, n := c.head()
	switch {
	case c.bad:
	case major == cborUint, major == cborNegative, major == cborSimple:
	case major == cborText:
		c.text(n)
	case major == cborTag && depth < maxCBORDepth:
		c.plain(depth + 1)
	case major == cborArray && depth < maxCBORDepth && n <= uint64(len(c.rest)):
		for range n {
			c.plain(depth + 1)
		}
	default:
		c.bad = true
	}
}
