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

// ofJSON reads one object and what follows it.
func ofJSON(b *bufio.Reader) (Set, error) {
	o := object{s: strictjson.NewStream(b), names: make(map[string]bool), members: make(map[string]member)}
	err := o.s.Members(o.member)
	if err == nil {
		err = o.s.End()
	}
	switch {
	case errors.Is(err, strictjson.ErrSyntax), err == io.EOF:
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
	s       *strictjson.Stream
	names   map[string]bool // in one case: readers take one for the other
	members map[string]member
}

// member reads a member, and keeps what tells a kind. Two members of one name, a telling
// name in another case, or a name that is spelt with escapes, have more than one meaning.
func (o *object) member(name string) error {
	folded := strings.ToLower(strings.ToUpper(name))
	if len(name) > maxName || strings.Contains(name, `\`) || o.names[folded] || len(o.names) >= maxMembers || misspelt(name, folded) {
		return strictjson.ErrSyntax
	}
	o.names[folded] = true
	if !telling[name] {
		_, err := o.s.Skip()
		return err
	}
	first, err := o.s.First()
	if err != nil {
		return err
	}
	m := member{first: first}
	m.text, m.whole, m.base64, err = o.s.Keep(maxKept)
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
