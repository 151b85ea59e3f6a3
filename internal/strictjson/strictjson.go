// Package strictjson parses JSON that an attacker may have written, with one meaning or
// none: what two parsers could read differently is refused.
//
//	v, err := strictjson.Parse(data)
//	name, ok := v.Get("name").Str()
//
// Beyond what RFC 8259 refuses, it refuses:
//
//   - duplicate object keys, and keys that differ only in case; where users choose the
//     names of members, as in "annotations", case counts
//   - invalid UTF-8 and unpaired surrogate escapes
//   - a byte order mark, and anything after the value
//   - nesting, values and numbers beyond [MaxDepth], [MaxNodes] and 64 characters
//
// encoding/json accepts most of these, and matches struct fields regardless of case.
// Evidence is therefore never read with it.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a document.
const (
	// MaxDepth is how deep arrays and objects may nest.
	MaxDepth = 64
	// MaxNodes is how many values and keys a document may hold.
	MaxNodes = 1 << 20
	// maxNumberLen bounds the text of one number.
	maxNumberLen = 64
)

// ErrSyntax is wrapped by every error of this package.
var ErrSyntax = errors.New("malformed JSON")

// Kind is the type of a value.
type Kind uint8

// The kinds. Missing is the kind of the zero Value, as Get returns for a key
// that is not there.
const (
	Missing Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// node is one value: its text is data[start:end]. Nodes stand in document
// order, so a container's first child directly follows it; next is the index
// after its last descendant. In an object, key and value alternate.
type node struct {
	start, end int32
	next       int32
	kind       Kind
	escaped    bool // a string that holds escapes
	anyNumber  bool // numbers in it may have any size
	opaque     bool // a container whose content was not kept
}

// Value is a parsed value. The zero Value is Missing. It refers to the parsed
// bytes, which must not change.
type Value struct {
	data  []byte
	nodes []node
	at    int32
}

// Parse parses data, which must hold exactly one value.
func Parse(data []byte) (Value, error) { return parser{data: data}.parse() }

// ParseWithin is Parse for documents of at most so many values and keys.
func ParseWithin(data []byte, nodes int) (Value, error) {
	return parser{data: data, most: nodes}.parse()
}

// ParseExact is Parse for documents whose keys are users' own names all over:
// keys that differ in case alone are different keys.
func ParseExact(data []byte) (Value, error) { return parser{data: data, exact: true}.parse() }

// ParseShallow is Parse for documents of any number of values. All of it is checked. The
// content of arrays and objects nested deeper than depth is not kept.
//
// Such an array or object is Opaque. It has its Raw text, and no elements or members
// until that text is parsed by itself; see Whole. A depth of 1 keeps the members of the
// outermost object. Of a small document all is kept.
func ParseShallow(data []byte, depth int) (Value, error) {
	return parser{data: data, keep: keptOf(data, depth), shallow: true}.parse()
}

// ParseOthers is ParseShallow for documents by other programs, of which a reader needs
// some members: their numbers may have any size. Int and Decode refuse those that do
// not fit.
func ParseOthers(data []byte, depth int) (Value, error) {
	return parser{data: data, keep: keptOf(data, depth), shallow: true, anyNumber: true}.parse()
}

// keptOf is how deep a document is kept: all of it where it is small.
func keptOf(data []byte, depth int) int {
	if len(data) <= smallDocument {
		return MaxDepth
	}
	return depth
}

// smallDocument is up to what size, in bytes, keeping all of a document costs less
// than parsing parts of it again.
const smallDocument = 8 << 10

// parse parses the data of p. Unless p says otherwise, all of it is kept, up to MaxNodes.
func (p parser) parse() (Value, error) {
	data := p.data
	if len(data) > 1<<30 {
		return Value{}, fmt.Errorf("%w: document of %d bytes", ErrSyntax, len(data))
	}
	if !p.shallow {
		p.keep = MaxDepth
	}
	if p.most == 0 {
		p.most = MaxNodes
	}
	// Evidence is a few dozen nodes; a guess from the size saves regrowth.
	p.nodes = make([]node, 0, min(len(data)/12+8, 4096))
	if p.keep == MaxDepth && len(data) > countedDocument {
		p.nodes = make([]node, 0, min(mostNodes(data), p.most))
	}
	p.space()
	if err := p.value(0); err != nil {
		return Value{}, err
	}
	p.space()
	if p.pos != len(data) {
		return Value{}, p.fail("data after the value")
	}
	return Value{data: data, nodes: p.nodes}, nil
}

// countedDocument is from what size on nodes are counted before they are made: growing
// would leave several times as many behind.
const countedDocument = 64 << 10

// mostNodes is how many nodes there may be in a text: each but the first stands behind
// one of these signs.
func mostNodes(data []byte) int {
	n := 1
	for _, sign := range []string{",", ":", "[", "{"} {
		n += bytes.Count(data, []byte(sign))
	}
	return n
}

func (v Value) node() node {
	if int(v.at) >= len(v.nodes) {
		return node{}
	}
	return v.nodes[v.at]
}

// Kind returns the value's type.
func (v Value) Kind() Kind { return v.node().kind }

// Exists reports whether there is a value, null included.
func (v Value) Exists() bool { return v.Kind() != Missing }

// Opaque reports whether the value is an array or object that holds something
// which ParseShallow did not keep.
func (v Value) Opaque() bool { return v.node().opaque }

// Whole is the value with all that it holds: itself, or its text parsed again where
// something in it was not kept.
func (v Value) Whole() (Value, error) {
	n := v.node()
	for at := v.at; at < n.next; at++ {
		if v.nodes[at].opaque {
			return parser{data: v.Raw(), anyNumber: n.anyNumber}.parse()
		}
	}
	if n.kind == Missing {
		return Parse(nil)
	}
	return v, nil
}

// CheckNumbers refuses numbers in a value of ParseOthers that Parse refuses.
func CheckNumbers(v Value) error {
	n := v.node()
	for at := v.at; at < n.next; at++ {
		if of := v.nodes[at]; of.kind != Number && !of.opaque {
			continue
		}
		if _, err := ParseShallow((Value{v.data, v.nodes, at}).Raw(), 0); err != nil {
			return err
		}
	}
	return nil
}

// Unfold is the value kept as deep as ParseShallow keeps it, where less of it was kept.
func Unfold(v Value, depth int) (Value, error) {
	n := v.node()
	for at := v.at; at < n.next; at++ {
		if v.nodes[at].opaque {
			return parser{data: v.Raw(), keep: keptOf(v.Raw(), depth), shallow: true, anyNumber: n.anyNumber}.parse()
		}
	}
	return v, nil
}

// Raw returns the text of the value as it stood in the document.
func (v Value) Raw() []byte {
	n := v.node()
	return v.data[n.start:n.end:n.end]
}

// Get returns the member of an object, or a Missing value.
func (v Value) Get(key string) Value {
	for name, member := range v.rawMembers() {
		if name.equal(key) {
			return member
		}
	}
	return Value{}
}

// Str returns a string's content; false where the value is not a string.
func (v Value) Str() (string, bool) {
	n := v.node()
	if n.kind != String {
		return "", false
	}
	if !n.escaped {
		return string(v.data[n.start+1 : n.end-1]), true
	}
	return string(unescape(v.data[n.start+1 : n.end-1])), true
}

// StrBytes returns a string's content without copying it where it holds no
// escapes; the caller must not change it.
func (v Value) StrBytes() ([]byte, bool) {
	n := v.node()
	if n.kind != String {
		return nil, false
	}
	text := v.data[n.start+1 : n.end-1 : n.end-1]
	if n.escaped {
		return unescape(text), true
	}
	return text, true
}

// Is reports whether the value is the string s.
func (v Value) Is(s string) bool { return v.equal(s) }

func (v Value) equal(s string) bool {
	b, ok := v.StrBytes()
	return ok && string(b) == s
}

// Int returns a number that is an integer within int64.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	i, err := strconv.ParseInt(string(v.Raw()), 10, 64)
	return i, err == nil
}

// Truth returns a boolean's value.
func (v Value) Truth() (value, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.data[v.node().start] == 't', true
}

// Len returns the number of elements of an array or members of an object.
func (v Value) Len() int {
	n := 0
	for range v.Elems() {
		n++
	}
	for range v.rawMembers() {
		n++
	}
	return n
}

// Elems iterates over an array's elements; over nothing for other kinds.
func (v Value) Elems() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		n := v.node()
		if n.kind != Array {
			return
		}
		for at := v.at + 1; at < n.next; at = v.nodes[at].next {
			if !yield(Value{v.data, v.nodes, at}) {
				return
			}
		}
	}
}

// Members iterates over an object's members in their order; over nothing for
// other kinds.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for key, member := range v.rawMembers() {
			name, _ := key.Str()
			if !yield(name, member) {
				return
			}
		}
	}
}

// Misspelt finds a member of an object whose name differs from one of those given in case
// alone, and equals none. encoding/json takes it for that one.
func (v Value) Misspelt(names []string) (name string, found bool) {
	for key := range v.rawMembers() {
		text, _ := key.StrBytes()
		fold := func(known string) bool { return strings.EqualFold(known, string(text)) }
		exact := func(known string) bool { return known == string(text) }
		if slices.ContainsFunc(names, fold) && !slices.ContainsFunc(names, exact) {
			return string(text), true
		}
	}
	return "", false
}

// Only reports whether all members of an object have one of the names given.
func (v Value) Only(names []string) bool {
	for key := range v.rawMembers() {
		text, _ := key.StrBytes()
		if !slices.ContainsFunc(names, func(known string) bool { return known == string(text) }) {
			return false
		}
	}
	return true
}

func (v Value) rawMembers() iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		n := v.node()
		if n.kind != Object {
			return
		}
		for at := v.at + 1; at < n.next; at = v.nodes[at+1].next {
			if !yield(Value{v.data, v.nodes, at}, Value{v.data, v.nodes, at + 1}) {
				return
			}
		}
	}
}

// StrMap returns an object whose members are all strings; false otherwise. A
// Missing value or null gives nil and true.
func (v Value) StrMap() (map[string]string, bool) {
	switch v.Kind() {
	case Missing, Null:
		return nil, true
	case Object:
	default:
		return nil, false
	}
	m := make(map[string]string)
	for k, member := range v.Members() {
		s, ok := member.Str()
		if !ok {
			return nil, false
		}
		m[k] = s
	}
	return m, true
}

// unescape decodes the escapes of a string's text, which the parser has checked.
func unescape(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			out = append(out, s[i])
			i++
			continue
		}
		switch c := s[i+1]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, n := unicodeEscape(s[i:])
			out = utf8.AppendRune(out, r)
			i += n
			continue
		default: // quote, backslash, slash
			out = append(out, c)
		}
		i += 2
	}
	return out
}
