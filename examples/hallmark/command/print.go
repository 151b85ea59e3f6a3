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

// textOf is text that is held.
func textOf(text []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	}
}

// jsonLine writes JSON text on one line.
func (p *printer) jsonLine(text func(io.Writer) error) error {
	if err := p.inert(text, true); err != nil {
		return err
	}
	return p.w.WriteByte('\n')
}

// raw writes JSON text byte for byte, but for what could act on a terminal.
func (p *printer) raw(text func(io.Writer) error, terminal bool) error {
	if !terminal {
		return text(p.w)
	}
	return p.inert(text, false)
}

// inert writes JSON text as inertJSON does; compact: without white space between values.
func (p *printer) inert(text func(io.Writer) error, compact bool) error {
	read, write := io.Pipe()
	go func() { _ = write.CloseWithError(text(write)) }() // it never fails
	defer func() { _ = read.Close() }()                   // likewise; ends the writer, too
	b := bufio.NewReader(read)
	inString, escaped := false, false
	for {
		r, n, err := b.ReadRune()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = inString
		case r == '"':
			inString = !inString
		case !inString && (r == '\r' || compact && (r == ' ' || r == '\t' || r == '\n')):
			continue
		}
		if r == utf8.RuneError && n == 1 {
			r = 0xfffd
		}
		if err := p.rune(r); err != nil {
			return err
		}
	}
}

// rune writes a character of JSON, or, where that could act on a terminal, its escape.
func (p *printer) rune(r rune) (err error) {
	switch {
	case r == '\n' || r == '\t' || r != 0x7f && r < utf8.RuneSelf || r >= utf8.RuneSelf && unicode.IsPrint(r):
		_, err = p.w.WriteRune(r)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		_, err = fmt.Fprintf(p.w, `\u%04x\u%04x`, high, low)
	default:
		_, err = fmt.Fprintf(p.w, `\u%04x`, r)
	}
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
	p := newPrinter(&b)
	for _, r := range string(text) {
		_ = p.rune(r) // a buffer takes all
	}
	_ = p.flush()
	return b.Bytes()
}
