package kinds

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// watched sees all of some content: whether it is text, and whether a part of it would
// be taken for an archive's header. Text can be an archive as well: a header of the
// seventh edition's tar needs no byte that JSON lacks.
type watched struct {
	r io.Reader
	// notText: it holds something else than UTF-8, or a control character.
	notText bool
	// archive: a block of it is the header of a file in a tar.
	archive bool

	part  [utf8.UTFMax]byte // a character whose end has not been read
	parts int
	block [tarBlock]byte
	at    int
	began bool // the first block has been seen
	head  []byte
}

// maxHead is how much is kept of the beginning.
const maxHead = 16

// printable are the beginnings of scripts, of archives that may be text (ar and cpio) and of
// programs (ELF).
var printable = []string{"#!", "!<arch>", "!<thin>", "070701", "070702", "070707", "\x7fELF"}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.head = append(w.head, p[:min(n, maxHead-len(w.head))]...)
	w.text(p[:n])
	w.blocks(p[:n])
	return n, err
}

// allow leaves of some kinds those that the content really is.
func (w *watched) allow(kinds Set) Set {
	text := !w.notText && w.parts == 0
	switch {
	case w.archive || !text && kinds&^COSE != 0:
		return 0
	case text && w.plain():
		return kinds | Text
	}
	return kinds
}

// plain reports whether text is not empty, and begins neither as a script nor as an archive.
func (w *watched) plain() bool {
	begins := func(magic string) bool {
		return strings.HasPrefix(strings.TrimLeft(string(w.head), " \t\r\n\f\ufeff"), magic)
	}
	return len(w.head) > 0 && !slices.ContainsFunc(printable, begins)
}

// text looks for what no text holds.
func (w *watched) text(p []byte) {
	for len(p) > 0 && !w.notText {
		if w.parts == 0 && p[0] < utf8.RuneSelf {
			w.notText = p[0] < ' ' && !isSpace(p[0]) && p[0] != '\f' // between the pages of licences
			p = p[1:]
			continue
		}
		w.part[w.parts] = p[0]
		w.parts++
		p = p[1:]
		if seen := w.part[:w.parts]; utf8.FullRune(seen) {
			r, size := utf8.DecodeRune(seen)
			w.notText = r == utf8.RuneError && size <= 1
			w.parts = 0
		}
	}
}

const tarBlock = 512

// blocks looks for headers of tar: some readers go on to the next header where one is
// none, so each block counts.
func (w *watched) blocks(p []byte) {
	for len(p) > 0 && !w.archive {
		n := copy(w.block[w.at:], p)
		p, w.at = p[n:], w.at+n
		if w.at == tarBlock {
			w.at = 0
			w.archive = isTarHeader(w.block[:], !w.began)
			w.began = true
		}
	}
}

// isTarHeader recognises a header by its checksum, which every version of tar writes
// (POSIX.1, ustar). The checksum is the sum of all bytes, its own counted as blanks. Old
// writers summed signed bytes.
//
// Readers differ in what they skip before the octal digits, and in the number systems
// that they take beside: GNU tar, busybox, libarchive, Go, Python and Rust. In the first
// block the sum therefore counts wherever in the field it begins. Few readers look for
// later blocks, which must begin with the sum or with blanks.
func isTarHeader(b []byte, first bool) bool {
	field := string(b[148:156])
	sum, signed := int64(8*' '), int64(8*' ')
	for i, c := range b {
		if i < 148 || i >= 156 {
			sum += int64(c)
			signed += int64(int8(c)) //nolint:gosec // as old writers added
		}
	}
	is := func(n int64) bool { return n == sum || n == signed }
	if !first {
		return is(octal(strings.TrimLeft(field, " \t\n\v\f\r\x00+")))
	}
	for i := range field {
		if is(octal(field[i:])) || is(base64Number(field[i:])) {
			return true
		}
	}
	return is(base256(b[148:156]))
}

// octal reads octal digits, among which there may be underscores, until there is
// something else.
func octal(field string) int64 {
	n := int64(0)
	for _, c := range []byte(field) {
		switch {
		case c >= '0' && c <= '7':
			n = n<<3 | int64(c-'0')
		case c != '_':
			return n
		}
	}
	return n
}

// base64Number reads the digits of GNU tar of 1999.
func base64Number(field string) int64 {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	n := int64(0)
	for _, c := range []byte(field) {
		d := strings.IndexByte(digits, c)
		if d < 0 {
			break
		}
		n = n<<6 | int64(d)
	}
	return n
}

// base256 reads a binary number, which the first bit announces.
func base256(field []byte) int64 {
	if field[0]&0x80 == 0 {
		return -1
	}
	n := int64(field[0] & 0x3f)
	for _, c := range field[1:] {
		n = n<<8 | int64(c)
	}
	return n
}
