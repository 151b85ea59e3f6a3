package predicate

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/uri"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

// checks keeps the first thing that is wrong with a predicate. Fields are named by
// their path in JSON.
type checks struct {
	err error
	// lenient passes over members that do not fit the Go type, for summaries.
	lenient bool
}

// checked is a predicate that knows its specification.
type checked interface{ check(c *checks) }

func validated(p checked) error {
	var c checks
	p.check(&c)
	return c.err
}

func (c *checks) fail(field, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s %s", ErrInvalid, field, fmt.Sprintf(format, args...))
	}
}

// need refuses a required field that is missing.
func (c *checks) need(field string, there bool) {
	if !there {
		c.fail(field, "is missing")
	}
}

// uri checks a required URI, maybeURI an optional one.
func (c *checks) uri(field, value string) {
	c.need(field, value != "")
	c.maybeURI(field, value)
}

func (c *checks) maybeURI(field, value string) {
	if value != "" && !uri.IsAbsolute(value) {
		c.fail(field, "is %.200q, want an absolute URI", value)
	}
}

// time checks a required time, maybeTime an optional one.
func (c *checks) time(field string, value time.Time) {
	c.need(field, !value.IsZero())
	c.maybeTime(field, &value)
}

// maybeTime refuses a time that RFC 3339 cannot write in UTC.
func (c *checks) maybeTime(field string, value *time.Time) {
	if value != nil && (value.UTC().Year() < 0 || value.UTC().Year() > 9999) {
		c.fail(field, "is beyond the years 0 to 9999")
	}
}

// span refuses an end before the start. Either time may be unknown.
func (c *checks) span(startField string, start *time.Time, endField string, end *time.Time) {
	c.maybeTime(startField, start)
	c.maybeTime(endField, end)
	if start != nil && end != nil && end.Before(*start) {
		c.fail(endField, "is before %s", startField)
	}
}

func (c *checks) oneOf(field, value string, allowed ...string) {
	c.need(field, value != "")
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	c.fail(field, "is %.100q, want %s", value, strings.Join(allowed, ", "))
}

func (c *checks) digests(field string, digests map[string]string) {
	if err := intoto.CheckDigests(digests); err != nil {
		c.fail(field, "is wrong: %v", err)
	}
	for algorithm, value := range digests {
		if sizes := moreHexDigits(algorithm); sizes != nil && !isHexOf(value, sizes) {
			c.fail(field, "is wrong: the %s digest %.140q is not lower-case hex of its length", algorithm, value)
		}
	}
}

// moreHexDigits are the lengths of digests that occur in dependencies, and not in
// subjects (in-toto digest_set.md). Git names objects by SHA-1 or by SHA-256.
func moreHexDigits(algorithm string) []int {
	switch algorithm {
	case "md5":
		return []int{32}
	case "ripemd160":
		return []int{40}
	case "sm3", "gost", "dirHash", "dirHash1":
		return []int{64}
	case "gitCommit", "gitTree", "gitBlob", "gitTag":
		return []int{40, 64}
	}
	return nil
}

func isHexOf(value string, sizes []int) bool {
	for _, n := range sizes {
		if len(value) == n {
			return intoto.IsLowerHex(value)
		}
	}
	return false
}

// descriptor checks an in-toto ResourceDescriptor.
func (c *checks) descriptor(field string, d ResourceDescriptor) {
	c.need(field+": uri, digest or content", d.URI != "" || len(d.Digest) > 0 || d.Content != nil)
	c.maybeURI(field+".uri", d.URI)
	c.maybeURI(field+".downloadLocation", d.DownloadLocation)
	c.digests(field+".digest", d.Digest)
}

func (c *checks) descriptors(field string, list []ResourceDescriptor) {
	for i, d := range list {
		c.descriptor(indexed(field, i), d)
	}
}

func indexed(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

// isIRI is uri.IsAbsolute for identifiers that may hold all of Unicode (RFC 3987).
func isIRI(s string) bool {
	return uri.IsAbsolute(strings.Map(func(r rune) rune {
		if r > 0x9f {
			return 'x'
		}
		return r
	}, s))
}
