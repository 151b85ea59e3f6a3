package strictjson

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Stream reads one JSON document in memory that does not grow with it. What is refused
// is what RFC 8259 refuses, and nesting beyond MaxDepth; members that stand twice are for
// the caller to find. It does not look for invalid UTF-8.
//
// Errors wrap ErrSyntax, or are the reader's own; io.EOF says that the document is cut.
type Stream struct {
	b     *bufio.Reader
	at    int64 // how many bytes were read
	depth int

	keeping int // how much may be kept; 0: nothing is
	kept    []byte
	cut     bool // there was more than may be kept
}

// NewStream reads from b.
func NewStream(b *bufio.Reader) *Stream { return &Stream{b: b} }

var errStream = fmt.Errorf("%w: not a JSON document", ErrSyntax)

// End reads white space until the end of the content: anything else is an error.
func (s *Stream) End() error {
	switch err := s.space(); {
	case err == io.EOF:
		return nil
	case err != nil:
		return err
	}
	return errStream
}

// Members reads an object. It calls f after each name, as it is written between the
// quotes; f must read the value, by one of the methods.
func (s *Stream) Members(f func(name string) error) error {
	return s.container('{', func() error {
		name, whole, _, err := s.Keep(maxName)
		if err != nil {
			return err
		}
		if !whole || name[0] != '"' {
			return errStream
		}
		if err := s.space(); err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := s.space(); err != nil {
			return err
		}
		return f(name[1 : len(name)-1])
	})
}

// maxName bounds a name that Members gives.
const maxName = 1 << 10

// Elements reads an array. It calls f before each element, which f must read.
func (s *Stream) Elements(f func() error) error { return s.container('[', f) }

// Offset is how many bytes were read: where the next value begins after Members,
// Elements or Space has come to it.
func (s *Stream) Offset() int64 { return s.at }

// Space reads white space before a value.
func (s *Stream) Space() error { return s.space() }

// First is the byte that the next value begins with.
func (s *Stream) First() (byte, error) {
	c, err := s.b.Peek(1)
	if err != nil {
		return 0, err
	}
	return c[0], nil
}

// Keep is Skip that gives the value's text, up to a length; whole: that is all of it.
func (s *Stream) Keep(most int) (text string, whole, base64 bool, err error) {
	s.keeping, s.kept, s.cut = most, s.kept[:0], false
	base64, err = s.Skip()
	s.keeping = 0
	return string(s.kept), !s.cut, base64, err
}

// Skip reads a value. For a string it reports whether that holds only digits of base64,
// of either alphabet, and escaped line breaks.
func (s *Stream) Skip() (base64 bool, err error) {
	c, err := s.First()
	switch {
	case err != nil:
		return false, err
	case c == '{':
		return false, s.object()
	case c == '[':
		return false, s.container('[', func() error { _, err := s.Skip(); return err })
	case c == '"':
		return s.string()
	}
	return false, s.word()
}

// object reads an object whose names are of any length.
func (s *Stream) object() error {
	return s.container('{', func() error {
		if _, err := s.string(); err != nil {
			return err
		}
		if err := s.space(); err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := s.space(); err != nil {
			return err
		}
		_, err := s.Skip()
		return err
	})
}

// container reads an array or an object, each element of it by element.
func (s *Stream) container(opening byte, element func() error) error {
	closing := opening + 2 // in ASCII, "[" and "]", "{" and "}" are two apart
	if s.depth++; s.depth > MaxDepth {
		return errStream
	}
	defer func() { s.depth-- }()
	if err := s.expect(opening); err != nil {
		return err
	}
	for first := true; ; first = false {
		if err := s.space(); err != nil {
			return err
		}
		c, err := s.First()
		switch {
		case err != nil:
			return err
		case c == closing && first:
			_, err := s.next()
			return err
		}
		if err := element(); err != nil {
			return err
		}
		if err := s.space(); err != nil {
			return err
		}
		switch c, err := s.next(); {
		case err != nil:
			return err
		case c == closing:
			return nil
		case c != ',':
			return errStream
		}
	}
}

// next reads a byte, which must be there.
func (s *Stream) next() (byte, error) {
	c, err := s.b.ReadByte()
	if err == nil {
		s.at++
	}
	if err == nil && s.keeping > 0 {
		if len(s.kept) < s.keeping {
			s.kept = append(s.kept, c)
		} else {
			s.cut = true
		}
	}
	return c, err
}

// expect reads a byte that must be this one.
func (s *Stream) expect(want byte) error {
	c, err := s.next()
	if err == nil && c != want {
		err = errStream
	}
	return err
}

func (s *Stream) space() error {
	for {
		c, err := s.First()
		if err != nil || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return err
		}
		if _, err := s.next(); err != nil {
			return err
		}
	}
}

func (s *Stream) string() (base64 bool, err error) {
	if err := s.expect('"'); err != nil {
		return false, err
	}
	base64 = true
	for {
		s.digits()
		c, err := s.next()
		switch {
		case err != nil:
			return false, err
		case c == '"':
			return base64, nil
		case c < ' ':
			return false, errStream
		case c == '\\':
			escaped, err := s.escape()
			if err != nil {
				return false, err
			}
			base64 = base64 && (escaped == '/' || escaped == 'n' || escaped == 'r')
		default:
			base64 = base64 && isBase64(c)
		}
	}
}

// digits reads what is buffered of a string as long as that is digits of base64, which
// long strings mostly are.
func (s *Stream) digits() {
	if s.keeping > 0 {
		return // next keeps each byte
	}
	text, _ := s.b.Peek(s.b.Buffered()) // no more than is there
	n := 0
	for n < len(text) && isBase64(text[n]) {
		n++
	}
	discarded, _ := s.b.Discard(n) // it is there
	s.at += int64(discarded)
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_' || c == '='
}

// escape reads what follows a backslash.
func (s *Stream) escape() (byte, error) {
	c, err := s.next()
	switch {
	case err != nil:
		return 0, err
	case c != 'u' && strings.IndexByte(`"\/bfnrt`, c) < 0:
		return 0, errStream
	case c != 'u':
		return c, nil
	}
	for range 4 {
		h, err := s.next()
		if err != nil {
			return 0, err
		}
		if !(h >= '0' && h <= '9' || h >= 'a' && h <= 'f' || h >= 'A' && h <= 'F') {
			return 0, errStream
		}
	}
	return c, nil
}

// word reads a number, true, false or null.
func (s *Stream) word() error {
	var text [maxNumberLen]byte
	n := 0
	for {
		c, err := s.First()
		if err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF || strings.IndexByte(" \t\r\n,]}", c) >= 0 {
			break
		}
		if n == len(text) {
			return errStream
		}
		text[n] = c
		n++
		if _, err := s.next(); err != nil {
			return err
		}
	}
	if !isWord(string(text[:n])) {
		return errStream
	}
	return nil
}

// isWord reports whether a text is a number, true, false or null (RFC 8259, sections 3
// and 6).
func isWord(text string) bool {
	switch text {
	case "true", "false", "null":
		return true
	}
	const digits = "0123456789"
	whole := strings.TrimPrefix(text, "-")
	rest := strings.TrimLeft(whole, digits)
	if integer := whole[:len(whole)-len(rest)]; integer == "" || integer[0] == '0' && len(integer) > 1 {
		return false
	}
	if fraction, ok := strings.CutPrefix(rest, "."); ok {
		if rest = strings.TrimLeft(fraction, digits); rest == fraction {
			return false
		}
	}
	if rest == "" {
		return true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	exponent := strings.TrimLeft(rest[1:], "+-")
	return len(rest)-len(exponent) <= 2 && exponent != "" && strings.Trim(exponent, digits) == ""
}
