package command

import (
	"errors"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/registry"
)

// spool keeps large evidence in files of its own directory: all of it was verified
// against its digest before any of it is used.
type spool struct {
	dir  string
	last string // the file that was written last, if it is there
}

// claim reads an item, by way of a file where its payload is not held.
func (s *spool) claim(item registry.Item, subject v1.Hash) (claim attest.Claim, is bool, err error) {
	if item.Payload == nil && item.Open != nil {
		if item.Open, err = s.keep(item.Open); err != nil {
			return attest.Claim{Item: item}, true, err
		}
	}
	return attest.ReadClaim(item, subject)
}

// keep writes content to a file, and returns what opens that.
func (s *spool) keep(open func() (io.ReadCloser, error)) (func() (io.ReadCloser, error), error) {
	s.drop(false)
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "hallmark-download-")
		if err != nil {
			return nil, err
		}
		s.dir = dir
	}
	content, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }() // read to its end, or failed already
	f, err := os.CreateTemp(s.dir, "evidence-")
	if err != nil {
		return nil, err
	}
	s.last = f.Name()
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	path := s.last
	return func() (io.ReadCloser, error) { return os.Open(path) }, nil
}

// drop removes the file that was written last, unless it is to be kept until remove.
func (s *spool) drop(keep bool) {
	if s.last != "" && !keep {
		_ = os.Remove(s.last) // remove tries again
	}
	s.last = ""
}

// remove removes all files.
func (s *spool) remove() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // the system clears its directory for temporary files
	}
}
