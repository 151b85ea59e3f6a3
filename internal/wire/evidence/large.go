package evidence

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// Large is an attestation that is read in memory that does not grow with it. All but the
// predicate is parsed as strictly as by Open. Of the predicate it is checked that it is a
// JSON value.
type Large struct {
	// Statement says what is signed, without the predicate's text.
	Statement *intoto.Statement
	// Signatures are candidates, and Signed is what they cover.
	Signatures [][]byte

	signed      *sigkey.Message
	open        func() (io.ReadCloser, error)
	payloadType string
	envelope    section // in the document
	payload     encoded
	predicate   section // in the decoded payload
}

// section is a part of a text, from a byte to just before another.
type section struct{ from, to int64 }

// maxOutline bounds what a document has beside its payload, and a statement beside its
// predicate.
const maxOutline = 4 << 20

// OpenLarge is Open for envelopes and bundles of statements whose text open gives, each
// time from its start. Errors are those of Open, but for ErrNotByKey, and those of open.
func OpenLarge(mediaType string, open func() (io.ReadCloser, error)) (*Large, error) {
	l := &Large{open: open}
	path := []string{"payload"}
	switch FormatOf(mediaType) {
	case FormatBundle:
		path = []string{"dsseEnvelope", "payload"}
	case FormatEnvelope:
	default:
		return nil, fmt.Errorf("%w: media type %.80q", ErrWrongType, mediaType)
	}
	envelope, err := l.readOutline(path)
	if err != nil {
		return nil, err
	}
	if envelope.PayloadType != dsse.PayloadTypeInToto {
		return nil, fmt.Errorf("%w: payloadType %.80q", ErrWrongType, envelope.PayloadType)
	}
	l.Signatures, l.payloadType = envelope.Signatures, envelope.PayloadType
	if err := l.readStatement(); err != nil {
		return nil, err
	}
	return l, nil
}

// readOutline reads the document around the payload.
func (l *Large) readOutline(path []string) (*dsse.Envelope, error) {
	content, err := l.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }() // only read from
	inBundle := len(path) > 1
	o := outline{path: path, optional: inBundle} // a bundle may hold a signature over a file
	text, err := o.read(content)
	if err != nil {
		return nil, err
	}
	l.envelope, l.payload.at = section{0, o.end}, section{o.at.from + 1, o.at.to - 1}
	if inBundle && o.at == (section{}) {
		_, err := openBundle(text)
		return nil, cmp.Or(err, fmt.Errorf("%w: no payload", ErrMalformed))
	}
	if !o.base64 {
		return nil, fmt.Errorf("%w: payload is not base64", ErrMalformed)
	}
	if !inBundle {
		root, err := strictjson.Parse(text)
		if err != nil {
			return nil, wrap(err)
		}
		e, err := dsse.Parse(root)
		return e, wrap(err)
	}
	l.envelope = o.around
	b, err := bundle.Parse(text)
	if err != nil {
		return nil, wrap(err)
	}
	return b.Envelope, nil // the outline has one
}

// readStatement decodes the payload once: it hashes what is signed, and reads the
// statement around the predicate.
func (l *Large) readStatement() error {
	if err := l.payload.measure(l.open); err != nil {
		return err
	}
	payload, done, err := l.payload.read(l.open)
	if err != nil {
		return err
	}
	defer done()
	text, hashing := io.Pipe()
	hashed := make(chan *sigkey.Message, 1)
	go func() {
		m, _, err := sigkey.HashAll(io.MultiReader(bytes.NewReader(dsse.Header(l.payloadType, int(l.payload.size))), text), 0)
		_ = text.CloseWithError(err) // ends the writer, too
		hashed <- m
	}()
	o := outline{path: []string{"predicate"}, optional: true}
	head, err := o.read(io.TeeReader(payload, hashing))
	_ = hashing.CloseWithError(err) // it never fails; nil is io.EOF
	l.signed = <-hashed
	if err != nil {
		return err
	}
	if o.end != l.payload.size {
		return fmt.Errorf("%w: payload: malformed base64", ErrMalformed)
	}
	l.predicate = o.at
	l.Statement, err = intoto.Parse(head)
	if err == nil {
		l.Statement.Predicate = nil
	}
	return wrap(err)
}

// MadeBy reports whether a key has made one of the signatures.
func (l *Large) MadeBy(ctx context.Context, k *sigkey.Key) (bool, error) {
	for _, sig := range l.Signatures {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if k.Verify(l.signed, sig) == nil {
			return true, nil
		}
	}
	if _, pure := k.Public().(ed25519.PublicKey); !pure {
		return false, nil
	}
	whole, err := l.whole()
	if err != nil {
		return false, err
	}
	c := Opened{Signatures: l.Signatures, Signed: whole}
	return c.VerifiedWithin(ctx, k)
}

// whole is what is signed, held: pure Ed25519 needs it.
func (l *Large) whole() (*sigkey.Message, error) {
	payload, done, err := l.payload.read(l.open)
	if err != nil {
		return nil, err
	}
	defer done()
	pae := dsse.Header(l.payloadType, int(l.payload.size))
	header := len(pae)
	pae = append(make([]byte, 0, header+int(l.payload.size)), pae...)[:header+int(l.payload.size)]
	if _, err := io.ReadFull(payload, pae[header:]); err != nil {
		return nil, err
	}
	return &sigkey.Message{Bytes: pae}, nil
}

// WriteEnvelope writes the text of the envelope.
func (l *Large) WriteEnvelope(w io.Writer) error {
	content, err := l.open()
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // only read from
	return l.envelope.copy(w, content)
}

// WritePredicate writes the exact text of the predicate; nothing where there is none.
func (l *Large) WritePredicate(w io.Writer) error {
	payload, done, err := l.payload.read(l.open)
	if err != nil {
		return err
	}
	defer done()
	return l.predicate.copy(w, payload)
}

// copy writes the section of a text that is read from its start.
func (s section) copy(w io.Writer, r io.Reader) error {
	if _, err := io.CopyN(io.Discard, r, s.from); err != nil {
		return err
	}
	_, err := io.CopyN(w, r, s.to-s.from)
	return err
}

// encoded is a text in base64 that stands in a document as a JSON string.
type encoded struct {
	at section
	// size is how many bytes it decodes to.
	size     int64
	encoding *base64.Encoding
}

// measure finds out the alphabet and the size. As in package b64, padding may be left
// out, and nothing but digits may stand between.
func (e *encoded) measure(open func() (io.ReadCloser, error)) error {
	text, done, err := e.text(open)
	if err != nil {
		return err
	}
	defer done()
	digits, padding, urlSafe := int64(0), int64(0), false
	for buffer := make([]byte, 64<<10); err == nil; {
		var n int
		n, err = text.Read(buffer)
		digits += int64(n)
		urlSafe = urlSafe || bytes.ContainsAny(buffer[:n], "-_")
		padding += int64(bytes.Count(buffer[:n], []byte("=")))
	}
	if err != io.EOF {
		return err
	}
	e.encoding = base64.StdEncoding
	if urlSafe {
		e.encoding = base64.URLEncoding
	}
	if e.encoding = e.encoding.Strict(); digits%4 != 0 {
		e.encoding = e.encoding.WithPadding(base64.NoPadding)
	}
	n := digits - padding
	e.size = n/4*3 + max(n%4-1, 0)
	return nil
}

// read decodes the text.
func (e *encoded) read(open func() (io.ReadCloser, error)) (payload io.Reader, done func(), err error) {
	text, done, err := e.text(open)
	if err != nil {
		return nil, nil, err
	}
	return &malformed{base64.NewDecoder(e.encoding, text)}, done, nil
}

// text is the text between the quotes. Of JSON's escapes it holds those of slashes alone.
func (e *encoded) text(open func() (io.ReadCloser, error)) (text io.Reader, done func(), err error) {
	content, err := open()
	if err != nil {
		return nil, nil, err
	}
	done = func() { _ = content.Close() } // only read from
	if _, err := io.CopyN(io.Discard, content, e.at.from); err != nil {
		done()
		return nil, nil, err
	}
	return &unescaped{io.LimitReader(content, e.at.to-e.at.from)}, done, nil
}

// unescaped leaves out backslashes.
type unescaped struct{ r io.Reader }

func (u *unescaped) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if bytes.IndexByte(p[:n], '\\') >= 0 {
		n = copy(p, bytes.ReplaceAll(p[:n], []byte{'\\'}, nil))
	}
	return n, err
}

// malformed makes ErrMalformed of what is wrong with base64.
type malformed struct{ r io.Reader }

func (m *malformed) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if _, wrong := err.(base64.CorruptInputError); wrong || err == io.ErrUnexpectedEOF {
		err = fmt.Errorf("%w: payload: malformed base64", ErrMalformed)
	}
	return n, err
}

// outline reads a JSON object, and leaves out the value that a path of names leads to.
type outline struct {
	path []string
	// optional: the value may be missing.
	optional bool

	at     section // of the value that was left out
	around section // of the object that holds it
	base64 bool    // the value is a string of base64
	end    int64
	text   bytes.Buffer
	s      *strictjson.Stream
}

// read returns the text of the object with an empty value in place of the one that is
// left out: what parses that strictly refuses all that is wrong around it.
func (o *outline) read(r io.Reader) ([]byte, error) {
	o.s = strictjson.NewStream(bufio.NewReaderSize(r, 64<<10))
	err := o.s.Space()
	if err == nil {
		err = o.object(o.path)
	}
	if err == nil {
		err = o.s.End()
	}
	o.end = o.s.Offset()
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return nil, fmt.Errorf("%w: unexpected end", ErrMalformed)
	case errors.Is(err, strictjson.ErrSyntax):
		return nil, wrap(err)
	case err != nil:
		return nil, err
	case o.at == section{} && !o.optional:
		return nil, fmt.Errorf("%w: no %s", ErrMalformed, o.path[len(o.path)-1])
	}
	return o.text.Bytes(), nil
}

func (o *outline) object(path []string) error {
	from, first := o.s.Offset(), true
	o.text.WriteByte('{')
	err := o.s.Members(func(name string) error {
		if !first {
			o.text.WriteByte(',')
		}
		first = false
		o.text.WriteString(`"` + name + `":`)
		c, err := o.s.First()
		switch {
		case err != nil:
			return err
		case len(path) == 1 && name == path[0]:
			return o.leaveOut(c)
		case len(path) > 1 && name == path[0] && c == '{':
			return o.object(path[1:])
		}
		return o.keep()
	})
	o.text.WriteByte('}')
	if len(path) == 1 {
		o.around = section{from, o.s.Offset()}
	}
	return err
}

// keep copies a value.
func (o *outline) keep() error {
	room := maxOutline - o.text.Len()
	if room <= 0 {
		return fmt.Errorf("%w: more than %d bytes beside its payload", ErrMalformed, maxOutline)
	}
	text, whole, _, err := o.s.Keep(room)
	if err == nil && !whole {
		err = fmt.Errorf("%w: more than %d bytes beside its payload", ErrMalformed, maxOutline)
	}
	o.text.WriteString(text)
	return err
}

// leaveOut reads the value, and writes an empty one of its type.
func (o *outline) leaveOut(first byte) (err error) {
	empty, long := map[byte]string{'"': `""`, '{': "{}", '[': "[]"}[first]
	if !long {
		return o.keep()
	}
	o.at.from = o.s.Offset()
	o.base64, err = o.s.Skip()
	o.at.to = o.s.Offset()
	o.text.WriteString(empty)
	return err
}
