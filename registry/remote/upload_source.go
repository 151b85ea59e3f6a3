package remote

import (
	"context"

	"encoding/hex"
	"errors"
	"hash"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

// checkedSource lets exactly the blob's bytes through. The last of them are held
// back until the digest is known to be right: a registry never gets a
// whole blob of other content.
type checkedSource struct {
	// turn is held by the user of the fields below: a registry may answer
	// before it has taken all, and then the transport may still be reading.
	turn   chan struct{}
	source io.Reader
	want   v1.Hash
	sum    hash.Hash
	left   int64
	done   bool // everything was read and found to be right
	err    error
}

var (
	errSource = errors.New("the source holds other bytes than its digest says")
	errTaken  = errors.New("the upload is over")
)

func newCheckedSource(source io.Reader, want v1.Hash, size int64) *checkedSource {
	return &checkedSource{turn: make(chan struct{}, 1), source: source, want: want, sum: oci.Hasher(want), left: size}
}

func (s *checkedSource) Read(p []byte) (int, error) {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.err != nil {
		return 0, s.err
	}
	var n int
	if n, s.err = s.read(p); s.err != nil {
		return 0, s.err
	}
	if n == 0 && s.done {
		return 0, io.EOF
	}
	return n, nil
}

func (s *checkedSource) read(p []byte) (int, error) {
	n := int(min(int64(len(p)), s.left))
	switch _, err := io.ReadFull(s.source, p[:n]); {
	// Compared as they are: ReadFull makes them of a plain end, and a source
	// that broke off may wrap them.
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return 0, errSource
	case err != nil:
		return 0, err
	}
	s.sum.Write(p[:n])
	if s.left -= int64(n); s.left > 0 || s.done {
		return n, nil
	}
	return n, s.check()
}

// check reports whether the source ends here, and was the blob.
func (s *checkedSource) check() error {
	var one [1]byte
	switch n, err := io.ReadFull(s.source, one[:]); {
	case n > 0 || hex.EncodeToString(s.sum.Sum(nil)) != s.want.Hex:
		return errSource
	case err != io.EOF:
		return err
	}
	s.done = true
	return nil
}

// take takes the source back from the transport, which must not read it while
// another attempt does, and returns why reading failed, or nil.
func (s *checkedSource) take(ctx context.Context, atMost time.Duration) error {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case s.turn <- struct{}{}:
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return nil
	}
	defer func() { <-s.turn }()
	failed := s.err
	s.err = errTaken
	return failed
}
