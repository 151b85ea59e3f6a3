package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/registry"
)

// Bounds of one piece of text. Longer text from outside is cut, since a long annotation
// would hide the rest.
const (
	maxText     = 512
	maxLine     = 4096
	maxProgress = 79 // a line that wraps cannot be erased
)

// printer writes results to stdout. What it writes cannot control a terminal, even if a
// manifest holds escapes: text passes through registry.SafeText, JSON through inertJSON.
type printer struct {
	w      *bufio.Writer
	colour bool
}

func newPrinter(w io.Writer) *printer { return &printer{w: bufio.NewWriter(w)} }

// style is the parameter of the terminal escape that colours text.
type style string

const (
	good  style = "32"
	bad   style = "31"
	doubt style = "33"
	faint style = "2"
)

type styled struct {
	style style
	text  string
}

func (s style) of(format string, args ...any) styled { return styled{s, fmt.Sprintf(format, args...)} }

// words are the parts of a line: strings and styled strings. A line separates them by
// two spaces and leaves out empty ones.
type words []any

// node is a line, and the lines that explain it.
type node struct {
	words    words
	children []node
}

func (n *node) add(w ...any) { n.children = append(n.children, node{words: w}) }

// tree writes a node and its children.
func (p *printer) tree(n node) {
	p.line("", n.words)
	p.branches("", n.children)
}

func (p *printer) branches(indent string, nodes []node) {
	for i, n := range nodes {
		fork, below := "├─ ", "│  "
		if i == len(nodes)-1 {
			fork, below = "└─ ", "   "
		}
		p.line(indent+fork, n.words)
		p.branches(indent+below, n.children)
	}
}

func (p *printer) line(indent string, line words) {
	p.put(indent)
	first := true
	for _, w := range line {
		s, isStyled := w.(styled)
		if !isStyled {
			s.text = fmt.Sprint(w)
		}
		if s.text == "" {
			continue
		}
		if !first {
			p.put("  ")
		}
		first = false
		text := registry.SafeText(s.text, maxText)
		if p.colour && isStyled {
			text = "\x1b[" + string(s.style) + "m" + text + "\x1b[0m"
		}
		p.put(text)
	}
	p.put("\n")
}

// put leaves its error in the bufio.Writer; flush returns it.
func (p *printer) put(s string) { _, _ = p.w.WriteString(s) }

// document writes one JSON document.
func (p *printer) document(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := p.w.Write(inertJSON(b.Bytes()))
	return err
}

// jsonLine writes a JSON text as one line.
func (p *printer) jsonLine(text []byte) error {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := p.w.Write(inertJSON(b.Bytes()))
	return err
}

// raw writes a JSON text byte for byte. For a terminal, it escapes control characters.
func (p *printer) raw(text []byte, terminal bool) error {
	if terminal {
		text = inertJSON(bytes.ReplaceAll(text, []byte("\r"), nil))
	}
	_, err := p.w.Write(text)
	return err
}

// flush returns the first error of a write. A decision that could not be printed must not
// end as success.
func (p *printer) flush() error { return p.w.Flush() }

// inertJSON writes characters that could control a terminal as JSON escapes, which
// encoding/json does for some of them only. A reader of the JSON gets the same strings:
// outside of strings, JSON is ASCII.
func inertJSON(text []byte) []byte {
	var b bytes.Buffer
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == '\n' || r == '\t' || r != 0x7f && r < utf8.RuneSelf || r >= utf8.RuneSelf && unicode.IsPrint(r) {
			b.Write(text[:n])
		} else if r > 0xffff {
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b.Bytes()
}
