package strictjson

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

type parser struct {
	data      []byte
	nodes     []node
	pos       int
	shallow   bool // keep says how deep arrays and objects are kept
	keep      int
	most      int  // how many nodes there may be
	exact     bool // all keys are compared exactly
	free      bool // the next value's own keys are compared exactly
	anyNumber bool // numbers may have any size
}

func (p *parser) fail(format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrSyntax, p.pos, fmt.Sprintf(format, args...))
}

func (p *parser) space() {
	for p.pos < len(p.data) {
		switch p.data[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end; 0 begins no token.
func (p *parser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

func (p *parser) open(k Kind) (int32, error) {
	if len(p.nodes) >= p.most {
		return 0, p.fail("more than %d values", p.most)
	}
	p.nodes = append(p.nodes, node{start: int32(p.pos), kind: k, anyNumber: p.anyNumber})
	return int32(len(p.nodes) - 1), nil
}

func (p *parser) close(at int32) {
	p.nodes[at].end = int32(p.pos)
	p.nodes[at].next = int32(len(p.nodes))
}

func (p *parser) value(depth int) error {
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth + 1)
	case c == '[':
		return p.array(depth + 1)
	case c == '"':
		_, err := p.string()
		return err
	case c == 't':
		return p.literal("true", Bool)
	case c == 'f':
		return p.literal("false", Bool)
	case c == 'n':
		return p.literal("null", Null)
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case p.pos >= len(p.data):
		return p.fail("unexpected end")
	default:
		return p.fail("unexpected byte 0x%02x", c)
	}
}

func (p *parser) literal(text string, k Kind) error {
	at, err := p.open(k)
	if err != nil {
		return err
	}
	if len(p.data)-p.pos < len(text) || string(p.data[p.pos:p.pos+len(text)]) != text {
		return p.fail("unexpected word")
	}
	p.pos += len(text)
	p.close(at)
	return nil
}

// begin opens an array or object; more is false where it is empty, and over.
func (p *parser) begin(k Kind, closing byte, depth int) (at int32, more bool, err error) {
	if at, err = p.open(k); err != nil {
		return 0, false, err
	}
	if depth > MaxDepth {
		return 0, false, p.fail("nested deeper than %d", MaxDepth)
	}
	p.pos++
	p.space()
	if p.peek() == closing {
		p.pos++
		return at, false, nil
	}
	return at, true, nil
}

func (p *parser) array(depth int) error {
	p.free = false
	at, more, err := p.begin(Array, ']', depth)
	for more && err == nil {
		if err = p.value(depth); err == nil {
			p.forget(at, depth)
			more, err = p.separator(']')
		}
	}
	if err == nil {
		p.close(at)
	}
	return err
}

func (p *parser) object(depth int) error {
	keys := keySet{exact: p.free || p.exact}
	p.free = false
	at, more, err := p.begin(Object, '}', depth)
	for more && err == nil {
		if err = p.member(&keys, depth); err == nil {
			p.forget(at, depth)
			more, err = p.separator('}')
		}
	}
	if err == nil {
		p.close(at)
	}
	return err
}

// forget drops the nodes of an element that is nested too deep to be kept.
func (p *parser) forget(container int32, depth int) {
	if depth > p.keep {
		p.nodes = p.nodes[:container+1]
		p.nodes[container].opaque = true
	}
}

func (p *parser) member(keys *keySet, depth int) error {
	if p.peek() != '"' {
		return p.fail("expected a key")
	}
	at, err := p.string()
	if err != nil {
		return err
	}
	key, _ := Value{p.data, p.nodes, at}.StrBytes()
	if !keys.add(key) {
		return p.fail("key %q stands twice, or in two spellings", key)
	}
	if len(keys.many) > p.most {
		return p.fail("more than %d keys in one object", p.most)
	}
	p.space()
	if p.peek() != ':' {
		return p.fail("expected a colon")
	}
	p.pos++
	p.space()
	p.free = usersKeys(key)
	err = p.value(depth)
	p.free = false // also where the value was none that has keys
	return err
}

// usersKeys reports whether the members of a member have names that users chose, which
// may differ in case alone. Image configs write "Labels", in-toto links have names of
// files, and simple signing calls its annotations "optional".
func usersKeys(key []byte) bool {
	switch string(key) {
	case "annotations", "labels", "Labels", "materials", "products", "optional":
		return true
	}
	return false
}

// separator reads a comma (true) or the closing byte (false) after an element.
func (p *parser) separator(closing byte) (bool, error) {
	p.space()
	switch p.peek() {
	case ',':
		p.pos++
		p.space()
		return true, nil
	case closing:
		p.pos++
		return false, nil
	}
	return false, p.fail("expected a comma or %q", closing)
}

func (p *parser) string() (int32, error) {
	at, err := p.open(String)
	if err != nil {
		return 0, err
	}
	p.pos++
	ascii := true
	for {
		p.pos += plain(p.data[p.pos:])
		if p.pos >= len(p.data) {
			return 0, p.fail("unterminated string")
		}
		c := p.data[p.pos]
		switch {
		case c == '"':
			body := p.data[p.nodes[at].start+1 : p.pos]
			if !ascii && !utf8.Valid(body) {
				return 0, p.fail("invalid UTF-8")
			}
			p.pos++
			p.close(at)
			return at, nil
		case c == '\\':
			if err := p.escape(); err != nil {
				return 0, err
			}
			p.nodes[at].escaped = true
		case c < 0x20:
			return 0, p.fail("control character in a string")
		default:
			ascii = ascii && c < 0x80
			p.pos++
		}
	}
}

// plain is how many bytes surely stand for themselves in a string, and are ASCII. It
// looks at eight bytes at once. A byte below a bound, or equal to a byte, sets the top
// bit of its place by a borrow. Only places after the first such byte may be wrong.
func plain(text []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(text)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(text[n:])
		quote, slash := w^ones*'"', w^ones*'\\'
		if other := (w | (w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops; other != 0 {
			return n + bits.TrailingZeros64(other)/8
		}
	}
	return n
}

func (p *parser) escape() error {
	rest := p.data[p.pos:]
	if len(rest) < 2 {
		return p.fail("unterminated string")
	}
	if bytes.IndexByte([]byte(`"\/bfnrt`), rest[1]) >= 0 {
		p.pos += 2
		return nil
	}
	if rest[1] != 'u' {
		return p.fail("unknown escape")
	}
	_, n := unicodeEscape(rest)
	if n == 0 {
		return p.fail("malformed or unpaired unicode escape")
	}
	p.pos += n
	return nil
}

// unicodeEscape decodes the \uXXXX, or pair of them, that s begins with, and returns how
// many bytes it took. It returns 0 for a malformed escape or an unpaired surrogate.
func unicodeEscape(s []byte) (rune, int) {
	r, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := hex4(s[6:])
	if !ok {
		return 0, 0
	}
	if r = utf16.DecodeRune(r, low); r == unicode.ReplacementChar {
		return 0, 0
	}
	return r, 12
}

func hex4(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range s[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func (p *parser) digits() bool {
	start := p.pos
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.pos++
	}
	return p.pos > start
}

func (p *parser) number() error {
	at, err := p.open(Number)
	if err != nil {
		return err
	}
	start := p.pos
	if p.peek() == '-' {
		p.pos++
	}
	if p.peek() == '0' {
		p.pos++
	} else if !p.digits() {
		return p.fail("malformed number")
	}
	integer := true
	if p.peek() == '.' {
		integer = false
		p.pos++
		if !p.digits() {
			return p.fail("malformed number")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		integer = false
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if !p.digits() {
			return p.fail("malformed number")
		}
	}
	p.close(at)
	if p.anyNumber {
		return nil
	}
	if p.pos-start > maxNumberLen {
		return p.fail("number of %d digits", p.pos-start)
	}
	if _, ok := (Value{p.data, p.nodes, at}).Int(); integer && !ok {
		return p.fail("integer beyond 64 bits")
	}
	return nil
}

// keySet finds keys that are equal, or equal but for case. Most objects have
// few keys, so the first ones are compared in a row without allocation.
type keySet struct {
	exact bool // keys that differ in case are different
	few   [8][]byte
	n     int
	many  map[string]struct{}
}

func (s *keySet) add(key []byte) bool {
	if s.many != nil {
		return s.addFolded(key)
	}
	for _, k := range s.few[:s.n] {
		if bytes.Equal(k, key) || !s.exact && bytes.EqualFold(k, key) {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = key
		s.n++
		return true
	}
	s.many = make(map[string]struct{})
	for _, k := range s.few {
		s.addFolded(k)
	}
	return s.addFolded(key)
}

func (s *keySet) addFolded(key []byte) bool {
	folded := string(key)
	if !s.exact {
		folded = fold(key)
	}
	if _, dup := s.many[folded]; dup {
		return false
	}
	s.many[folded] = struct{}{}
	return true
}

// fold maps every key to one representative of the keys that bytes.EqualFold
// holds equal to it: each rune to the smallest of its simple-folding orbit.
func fold(key []byte) string {
	return string(bytes.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, key))
}
