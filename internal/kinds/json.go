package kinds

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Bounds of what is kept of an object.
const (
	// maxMembers is how many members the outermost object may have.
	maxMembers = 4096
	// maxName bounds the name of one.
	maxName = 256
	// maxKept is how much of a member's value is kept, where it tells a kind.
	maxKept = 64 << 10
)

// telling are the members by which kinds are told.
var telling = map[string]bool{
	"mediaType": true, "verificationMaterial": true, "dsseEnvelope": true, "messageSignature": true,
	"payloadType": true, "payload": true, "signatures": true, "critical": true,
	"_type": true, "subject": true, "predicateType": true,
	"protected": true, "header": true, "signature": true,
	"architecture": true, "os": true, "config": true,
}

// member is what is known of a member of the outermost object.
type member struct {
	first byte   // of the value's text, which tells its type
	text  string // the value's text, as far as it is kept
	whole bool   // text is all of it
	// base64: a string of nothing but base64's digits, of either alphabet.
	base64 bool
}

func (m member) object() bool { return m.first == '{' }
func (m member) array() bool  { return m.first == '[' }

// str is a string that holds no escapes; "" where it is something else.
func (m member) str() string {
	if m.first != '"' || !m.whole || len(m.text) < 2 || strings.Contains(m.text, `\`) {
		return ""
	}
	return m.text[1 : len(m.text)-1]
}

// says reports whether a string begins in some way, however it goes on.
func (m member) says(prefix string) bool { return strings.HasPrefix(m.text, `"`+prefix) }

// errNotJSON says that content is not a JSON object.
var errNotJSON = errors.New("not a JSON object")

// ofJSON reads one object and what follows it.
func ofJSON(b *bufio.Reader) (Set, error) {
	o := object{b: b, names: make(map[string]bool), members: make(map[string]member)}
	err := o.document()
	switch {
	case errors.Is(err, errNotJSON), err == io.EOF:
		return 0, nil
	case err != nil:
		return 0, err
	}
	return o.kinds(), nil
}

// kinds are those that the members of an object tell.
func (o *object) kinds() Set {
	kinds, m := JSON, o.members
	for kind, is := range map[Set]bool{
		Empty:         len(o.names) == 0,
		Inert:         o.inert(),
		Bundle:        m["mediaType"].says("application/vnd.dev.sigstore.bundle") && m["verificationMaterial"].object() && (m["dsseEnvelope"].object() || m["messageSignature"].object()),
		Envelope:      m["payloadType"].first == '"' && m["payload"].base64 && m["signatures"].array(),
		SimpleSigning: m["critical"].object(),
		Statement:     m["_type"].says("https://in-toto.io/Statement/") && m["subject"].array() && m["predicateType"].first == '"',
		JOSE:          jose(m),
	} {
		if is {
			kinds |= kind
		}
	}
	return kinds
}

// configNames are the members of an image's config.
var configNames = []string{"created", "author", "architecture", "os", "os.version", "os.features", "variant", "config", "rootfs", "history"}

// inert reports whether an image's config names no platform and nothing to run.
func (o *object) inert() bool {
	for name := range o.names {
		if !slices.Contains(configNames, name) {
			return false
		}
	}
	for _, name := range []string{"architecture", "os"} {
		if v, there := o.members[name]; there && v.text != `""` && v.text != `"unknown"` {
			return false
		}
	}
	config, there := o.members["config"]
	return !there || config.whole && (config.text == "null" || strings.Trim(config.text, "{} \t\r\n") == "")
}

// object reads the outermost object of a document.
type object struct {
	b       *bufio.Reader
	names   map[string]bool // in one case: readers take one for the other
	members map[string]member

	keeping bool // what is read is kept, until there is enough
	kept    []byte
	cut     bool // there was more
}

func (o *object) document() error {
	if err := o.value(0); err != nil {
		return err
	}
	for {
		c, err := o.b.ReadByte()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case !isSpace(c):
			return errNotJSON
		}
	}
}

// next reads a byte of the document, which must go on.
func (o *object) next() (byte, error) {
	c, err := o.b.ReadByte()
	if err == nil && o.keeping {
		if len(o.kept) < maxKept {
			o.kept = append(o.kept, c)
		} else {
			o.cut = true
		}
	}
	return c, err
}

func (o *object) peek() (byte, error) {
	c, err := o.b.Peek(1)
	if err != nil {
		return 0, err
	}
	return c[0], nil
}

func (o *object) space() error {
	for {
		c, err := o.peek()
		if err != nil || !isSpace(c) {
			return err
		}
		if _, err := o.next(); err != nil {
			return err
		}
	}
}

// value reads any value; depth is how many arrays and objects it is in.
func (o *object) value(depth int) error {
	c, err := o.peek()
	if err != nil {
		return err
	}
	switch {
	case c == '{' || c == '[':
		if depth >= strictjson.MaxDepth {
			return errNotJSON
		}
		return o.container(depth, c)
	case c == '"':
		_, err := o.string()
		return err
	}
	return o.word()
}

// container reads an array or an object.
func (o *object) container(depth int, opening byte) error {
	closing := opening + 2 // in ASCII, "[" and "]", "{" and "}" are two apart
	if _, err := o.next(); err != nil {
		return err
	}
	for first := true; ; first = false {
		if err := o.space(); err != nil {
			return err
		}
		c, err := o.peek()
		switch {
		case err != nil:
			return err
		case c == closing && first:
			_, err := o.next()
			return err
		}
		if err := o.element(depth, opening == '{'); err != nil {
			return err
		}
		if err := o.space(); err != nil {
			return err
		}
		switch c, err := o.next(); {
		case err != nil:
			return err
		case c == closing:
			return nil
		case c != ',':
			return errNotJSON
		}
	}
}

// element reads an element of an array, or a member of an object.
func (o *object) element(depth int, named bool) error {
	switch {
	case !named:
		return o.value(depth + 1)
	case depth == 0:
		return o.outermost()
	}
	if c, err := o.peek(); err != nil || c != '"' {
		return errors.Join(err, errNotJSON)
	}
	if _, err := o.string(); err != nil {
		return err
	}
	if err := o.colon(); err != nil {
		return err
	}
	return o.value(depth + 1)
}

func (o *object) colon() error {
	if err := o.space(); err != nil {
		return err
	}
	if c, err := o.next(); err != nil || c != ':' {
		return errors.Join(err, errNotJSON)
	}
	return o.space()
}

// outermost reads a member of the outermost object, and keeps what tells a kind.
func (o *object) outermost() error {
	o.keep()
	if c, err := o.peek(); err != nil || c != '"' {
		return errors.Join(err, errNotJSON)
	}
	if _, err := o.string(); err != nil {
		return err
	}
	name := strings.Trim(o.end().text, `"`)
	// Two members of one name, a telling name in another case, or a name that is spelt
	// with escapes, have more than one meaning.
	folded := strings.ToLower(strings.ToUpper(name))
	if len(name) > maxName || strings.Contains(name, `\`) || o.names[folded] || len(o.names) >= maxMembers || misspelt(name, folded) {
		return errNotJSON
	}
	o.names[folded] = true
	if err := o.colon(); err != nil {
		return err
	}
	if !telling[name] {
		return o.value(1)
	}
	o.keep()
	base64 := false
	c, err := o.peek()
	if err == nil && c == '"' {
		base64, err = o.string()
	} else if err == nil {
		err = o.value(1)
	}
	m := o.end()
	m.base64 = base64
	o.members[name] = m
	return err
}

// misspelt reports whether a name is a telling one but for its case: encoding/json, and
// with it most clients, takes it for that one.
func misspelt(name, folded string) bool {
	for known := range telling {
		if folded == strings.ToLower(known) && name != known {
			return true
		}
	}
	return false
}

// keep begins to keep what is read, and end says what that was.
func (o *object) keep() { o.keeping, o.kept, o.cut = true, o.kept[:0], false }

func (o *object) end() member {
	o.keeping = false
	m := member{text: string(o.kept), whole: !o.cut}
	if len(m.text) > 0 {
		m.first = m.text[0]
	}
	return m
}

// string reads a string, and reports whether it is base64.
func (o *object) string() (base64 bool, err error) {
	if _, err := o.next(); err != nil { // the quote
		return false, err
	}
	base64 = true
	for {
		c, err := o.next()
		switch {
		case err != nil:
			return false, err
		case c == '"':
			return base64, nil
		case c < ' ':
			return false, errNotJSON
		case c == '\\':
			escaped, err := o.escape()
			if err != nil {
				return false, err
			}
			base64 = base64 && escaped == '/'
		default:
			base64 = base64 && isBase64(c)
		}
	}
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_' || c == '='
}

// escape reads what follows a backslash.
func (o *object) escape() (byte, error) {
	c, err := o.next()
	switch {
	case err != nil:
		return 0, err
	case c != 'u' && strings.IndexByte(`"\/bfnrt`, c) < 0:
		return 0, errNotJSON
	case c != 'u':
		return c, nil
	}
	for range 4 {
		h, err := o.next()
		if err != nil {
			return 0, err
		}
		if !(h >= '0' && h <= '9' || h >= 'a' && h <= 'f' || h >= 'A' && h <= 'F') {
			return 0, errNotJSON
		}
	}
	return c, nil
}

// word reads a number, true, false or null.
func (o *object) word() error {
	var text [64]byte
	n := 0
	for {
		c, err := o.peek()
		if err != nil && err != io.EOF {
			return err
		}
		if err == io.EOF || isSpace(c) || c == ',' || c == ']' || c == '}' {
			break
		}
		if n == len(text) {
			return errNotJSON
		}
		text[n] = c
		n++
		if _, err := o.next(); err != nil {
			return err
		}
	}
	if !isWord(string(text[:n])) {
		return errNotJSON
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
	whole := strings.TrimPrefix(text, "-")
	rest := strings.TrimLeft(whole, "0123456789")
	if digits := whole[:len(whole)-len(rest)]; digits == "" || digits[0] == '0' && len(digits) > 1 {
		return false
	}
	if fraction, ok := strings.CutPrefix(rest, "."); ok {
		if rest = strings.TrimLeft(fraction, "0123456789"); rest == fraction {
			return false
		}
	}
	if rest == "" {
		return true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	exponent := rest[1:]
	if exponent != "" && (exponent[0] == '+' || exponent[0] == '-') {
		exponent = exponent[1:]
	}
	return exponent != "" && strings.Trim(exponent, "0123456789") == ""
}
