package sigstore

import (
	"bytes"
	"errors"
	"slices"
)

// Tags of ASN.1 that are read here.
const (
	tagInteger     = 0x02
	tagOctets      = 0x04
	tagOID         = 0x06
	tagSequence    = 0x30
	tagSet         = 0x31
	tagConstructed = 0x20
)

// Bounds of BER.
const (
	maxBERDepth = 32
	maxBERSize  = 1 << 20
)

var errDER = errors.New("malformed DER")

// element is an ASN.1 value: its tag, its content, and both with the length between.
type element struct {
	tag     byte
	content []byte
	whole   []byte
}

// next splits the first element off DER. Lengths must be minimal and definite.
func next(der []byte) (e element, rest []byte, err error) {
	if len(der) < 2 || der[0]&0x1f == 0x1f {
		return e, nil, errDER
	}
	header, size := 2, int(der[1])
	if size >= 0x80 {
		n := size & 0x7f
		if n == 0 || n > 3 || len(der) < 2+n || der[2] == 0 {
			return e, nil, errDER
		}
		size = 0
		for _, b := range der[2 : 2+n] {
			size = size<<8 | int(b)
		}
		if size < 0x80 {
			return e, nil, errDER
		}
		header += n
	}
	if size > len(der)-header {
		return e, nil, errDER
	}
	end := header + size
	return element{der[0], der[header:end:end], der[:end:end]}, der[end:], nil
}

// cursor reads elements in a row, and remembers the first error.
type cursor struct {
	rest []byte
	err  error
}

// take reads the next element, which must have the tag.
func (c *cursor) take(tag byte) element {
	e, rest, err := next(c.rest)
	if c.err == nil && (err != nil || e.tag != tag) {
		c.err = errDER
	}
	if c.err != nil {
		return element{}
	}
	c.rest = rest
	return e
}

// optional reads the next element if it has the tag.
func (c *cursor) optional(tag byte) (e element, there bool) {
	if c.err != nil || len(c.rest) == 0 || c.rest[0] != tag {
		return element{}, false
	}
	e = c.take(tag)
	return e, c.err == nil
}

// any reads the next element, whatever it is.
func (c *cursor) any() element {
	if len(c.rest) == 0 {
		c.err = errDER
		return element{}
	}
	return c.take(c.rest[0])
}

// more reports whether there is another element.
func (c *cursor) more() bool { return c.err == nil && len(c.rest) > 0 }

// end is the first error, or one about data after the last element.
func (c *cursor) end() error {
	if c.err == nil && len(c.rest) > 0 {
		return errDER
	}
	return c.err
}

// inside reads the elements of a constructed one.
func (e element) inside() *cursor { return &cursor{rest: e.content} }

// only reads an element that must fill the text.
func only(der []byte, tag byte) (element, error) {
	c := cursor{rest: der}
	e := c.take(tag)
	return e, c.end()
}

// appendElement writes an element in DER.
func appendElement(to []byte, tag byte, content []byte) []byte {
	return append(appendHeader(to, tag, len(content)), content...)
}

// appendHeader writes tag and length of an element with n bytes.
func appendHeader(to []byte, tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(to, tag, byte(n))
	case n < 1<<8:
		return append(to, tag, 0x81, byte(n))
	case n < 1<<16:
		return append(to, tag, 0x82, byte(n>>8), byte(n))
	}
	return append(to, tag, 0x83, byte(n>>16), byte(n>>8), byte(n))
}

// fromBER writes BER again as DER, as far as CMS needs it: definite, minimal lengths, and
// octet strings in one piece. DER stays what it is.
func fromBER(ber []byte) ([]byte, error) {
	if len(ber) > maxBERSize {
		return nil, errDER
	}
	out, rest, err := berElement(make([]byte, 0, len(ber)), ber, maxBERDepth)
	if err != nil || len(rest) > 0 {
		return nil, errDER
	}
	return out, nil
}

// berElement appends the first element of BER, and returns what follows it.
func berElement(to, ber []byte, depth int) (out, rest []byte, err error) {
	if depth == 0 || len(ber) < 2 || ber[0]&0x1f == 0x1f {
		return nil, nil, errDER
	}
	tag := ber[0]
	content, rest, indefinite, err := berLength(ber)
	switch {
	case err != nil:
		return nil, nil, err
	case tag&tagConstructed == 0 && indefinite:
		return nil, nil, errDER
	case tag&tagConstructed == 0:
		return appendElement(to, tag, content), rest, nil
	}
	start, size := len(to), 0
	if !indefinite {
		size = len(content) // which stays so if the content is DER
	}
	to = appendHeader(to, tag, size)
	began := len(to)
	for indefinite || len(content) > 0 {
		if indefinite && bytes.HasPrefix(content, []byte{0, 0}) {
			rest = content[2:]
			break
		}
		if to, content, err = berElement(to, content, depth-1); err != nil {
			return nil, nil, err
		}
	}
	inner := to[began:]
	switch {
	case tag == tagOctets|tagConstructed:
		inner, err = joined(inner)
		return appendElement(to[:start], tagOctets, inner), rest, err
	case len(inner) != size:
		return appendElement(to[:start], tag, bytes.Clone(inner)), rest, nil
	}
	return to, rest, nil
}

// berLength finds the content of the first element. That of an indefinite length is all
// that follows.
func berLength(ber []byte) (content, rest []byte, indefinite bool, err error) {
	size := int(ber[1])
	ber = ber[2:]
	switch {
	case size == 0x80:
		return ber, nil, true, nil
	case size > 0x80:
		n := size & 0x7f
		if n > 8 || n > len(ber) {
			return nil, nil, false, errDER
		}
		size = 0
		for _, b := range ber[:n] {
			if size > maxBERSize {
				return nil, nil, false, errDER
			}
			size = size<<8 | int(b)
		}
		ber = ber[n:]
	}
	if size > len(ber) {
		return nil, nil, false, errDER
	}
	return ber[:size], ber[size:], false, nil
}

// joined is the content of octet strings in a row.
func joined(pieces []byte) ([]byte, error) {
	c, all := cursor{rest: pieces}, []byte(nil)
	for c.more() {
		all = append(all, c.take(tagOctets).content...)
	}
	return all, c.end()
}

// sortedSet writes the elements as a SET OF in DER, which sorts them.
func sortedSet(elements []element) []byte {
	all := make([][]byte, 0, len(elements))
	for _, e := range elements {
		all = append(all, e.whole)
	}
	slices.SortFunc(all, bytes.Compare)
	return appendElement(nil, tagSet, slices.Concat(all...))
}
