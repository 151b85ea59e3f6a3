package gate

import (
	"time"

	"github.com/hallmark-oci/hallmark/internal/lru"
)

// recent is what upstreams said a moment ago: what tags name, lists of referrers, and
// what is not there.
type recent struct {
	now clock
	// found and missing are Config.TagFor and Config.MissingFor.
	found, missing time.Duration
	held           *lru.Cache[readKey, said]
}

// said is an upstream's answer, and how long it is taken for granted.
type said struct {
	term
	digest string
	// list is a list of referrers in place of a tag's digest.
	list *manifest
	// missing is the upstream's answer where there is nothing.
	missing error
}

// The shelves of recent.held. Of what is not there less is remembered: an attacker can
// ask for any number of names.
const (
	foundShelf = iota
	missingShelf

	maxSaid         = 16_000
	maxSaidBytes    = 16 << 20
	maxMissingBytes = 2 << 20
)

// weight is about how many bytes an answer holds. Lists may be long.
func (s said) weight() int64 {
	n := int64(maxSaidBytes / maxSaid)
	if s.list != nil {
		n += s.list.weight()
	}
	return n
}

func newRecent(c *Config) *recent {
	return &recent{now: c.Now, found: c.TagFor, missing: c.MissingFor, held: lru.New[readKey](said.weight, maxSaidBytes, maxMissingBytes)}
}

// get returns the last answer, and whether it is taken for granted yet.
func (r *recent) get(key readKey) (s said, known, holds bool) {
	s, known = r.held.Get(key)
	return s, known, known && s.holds(r.now())
}

// note remembers what there is.
func (r *recent) note(key readKey, s said) {
	s.term = r.now.term(r.found)
	r.held.PutOn(foundShelf, key, s)
}

// noteMissing remembers that there is nothing.
func (r *recent) noteMissing(key readKey, err error) {
	r.held.PutOn(missingShelf, key, said{missing: err, term: r.now.term(r.missing)})
}

// noteThere remembers for as long that there is something.
func (r *recent) noteThere(key readKey) {
	r.held.PutOn(foundShelf, key, said{term: r.now.term(r.missing)})
}
