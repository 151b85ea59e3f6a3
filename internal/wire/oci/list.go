package oci

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Bounds of what is kept of a list.
const (
	// maxEntryMember is how long a member of an entry may be. A longer one, which is its
	// annotations or content of its own, counts as absent.
	maxEntryMember = 64 << 10
	// maxListKept is how much is kept of all entries, beside what every entry needs.
	maxListKept = 4 << 20
)

// ReadReferrers is ParseReferrers for a list of any length. It keeps the first entries,
// at most most, with a bounded amount of annotations. Registries repeat annotations in
// the list, and those of an attacker must not keep other entries from being read.
func ReadReferrers(r io.Reader, most int) ([]v1.Descriptor, error) {
	l := &listReader{s: strictjson.NewStream(bufio.NewReaderSize(r, 16<<10)), most: most, left: maxListKept}
	err := l.s.Members(func(name string) error {
		if name != "manifests" {
			_, err := l.s.Skip()
			return err
		}
		if first, err := l.s.First(); err != nil || first != '[' {
			_, err := l.s.Skip() // null
			return err
		}
		return l.s.Elements(l.entry)
	})
	if err == nil {
		err = l.s.End()
	}
	switch {
	case errors.Is(err, strictjson.ErrSyntax), err == io.EOF:
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	case err != nil:
		return nil, err
	}
	return l.all, nil
}

type listReader struct {
	s    *strictjson.Stream
	most int
	left int // bytes of annotations and content that may be kept
	all  []v1.Descriptor
}

// entry reads one entry, and passes over a malformed one.
func (l *listReader) entry() error {
	if first, err := l.s.First(); err != nil || first != '{' || len(l.all) >= l.most {
		_, err := l.s.Skip()
		return err
	}
	var text strings.Builder
	err := l.s.Members(func(name string) error {
		value, whole, _, err := l.s.Keep(maxEntryMember)
		if err != nil || !whole {
			return err
		}
		if name == "annotations" || name == "data" {
			if l.left -= len(value); l.left < 0 {
				return nil
			}
		}
		fmt.Fprintf(&text, `,"%s":%s`, name, value)
		return nil
	})
	if err != nil {
		return err
	}
	v, err := strictjson.Parse([]byte("{" + strings.TrimPrefix(text.String(), ",") + "}"))
	if err != nil {
		return nil
	}
	d, err := descriptor(v)
	if err == nil {
		l.all = append(l.all, d)
	}
	return nil
}
