package verify

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/file"
)

// Source gives the Verifier of the policy that holds now. Policies come from
// files (FileSource); other sources fit behind the same method.
type Source interface {
	// Verifier returns the Verifier to use for one decision, or an error where no
	// policy holds, which denies. It is safe for concurrent use and does not
	// block for long: a source that fetches does so apart.
	Verifier(ctx context.Context) (*Verifier, error)
}

// FileSourceOptions say how a policy file is watched. The zero value is usable.
type FileSourceOptions struct {
	// Options are those of the Verifiers. Zero: theirs.
	Options Options
	// Interval is how often the files are looked at, at most. Zero: two seconds.
	Interval time.Duration
	// Logger is told of new policies, and of files that are refused. Nil: nobody.
	Logger *slog.Logger
}

// FileSource is a policy file that is loaded again when it, or a file that it
// names, changes. It is safe for concurrent use.
//
// A new policy holds as a whole or not at all: one that is refused, half-written,
// gone, or of a lower Serial than the one before changes nothing; the last good
// policy goes on to hold, Err says why, and the logger is told. A policy whose
// Expires has passed denies everything.
type FileSource struct {
	path string
	o    FileSourceOptions

	mu      sync.Mutex
	checked time.Time
	seen    [sha256.Size]byte // of all files at the last look
	held    *Verifier
	serial  int64
	err     error
}

// NewFileSource loads a policy file and begins to watch it. The file must be good
// at the start. Nothing runs in the background: the file is looked at when a
// Verifier is asked for.
func NewFileSource(path string, o FileSourceOptions) (*FileSource, error) {
	if o.Interval <= 0 {
		o.Interval = 2 * time.Second
	}
	if o.Options.Now == nil {
		o.Options.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &FileSource{path: path, o: o}
	s.look()
	return s, s.err
}

// Verifier implements Source. It never fails: the source had a good policy at its
// start.
func (s *FileSource) Verifier(context.Context) (*Verifier, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A clock that jumps back must not stop the watching.
	if since := s.o.Options.Now().Sub(s.checked); since < 0 || since >= s.o.Interval {
		s.look()
	}
	return s.held, nil
}

// Err says why the file, as it is now, does not hold; nil where it does.
func (s *FileSource) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// look reads the files, and takes the policy over where they have changed.
func (s *FileSource) look() {
	s.checked = s.o.Options.Now()
	sum := sha256.New()
	p, err := s.load(sum)
	var seen [sha256.Size]byte
	sum.Sum(seen[:0])
	if seen == s.seen && (s.err == nil) == (err == nil) {
		return
	}
	s.seen = seen
	var v *Verifier
	if err == nil && s.held != nil && p.Serial < s.serial {
		err = fmt.Errorf("%w: %s has serial %d, and serial %d has held", ErrPolicy, s.path, p.Serial, s.serial)
	}
	if err == nil {
		v, err = New(p, s.o.Options)
	}
	if s.err = err; err != nil {
		s.o.Logger.Error("policy refused; the last good one goes on to hold", "path", s.path, "error", err)
		return
	}
	s.held, s.serial = v, p.Serial
	s.o.Logger.Info("policy loaded", "path", s.path, "policy", v.PolicyDigest())
}

// load reads the policy, and all that is read into sum.
func (s *FileSource) load(sum io.Writer) (*Policy, error) {
	text, _, err := file.Read(s.path, maxPolicyBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	_, _ = sum.Write(text) // a hash does not fail
	read := beside(s.path)
	p, err := ParsePolicy(text, ParseOptions{Authorities: s.o.Options.Authorities, ReadFile: func(name string, maxBytes int64) ([]byte, error) {
		content, err := read(name, maxBytes)
		_, _ = fmt.Fprintf(sum, "\n%q %d %v\n", name, len(content), err)
		_, _ = sum.Write(content)
		return content, err
	}})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return p, nil
}
