package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// Source gives the policy that holds now. Policies come from files
// (FileSource); other sources fit behind the same method.
type Source interface {
	// Policy returns the policy to use for one decision, or an error where none holds,
	// which denies. It is safe for concurrent use and does not block for long: a source
	// that fetches does so apart. While a policy holds, the same pointer is returned.
	Policy(ctx context.Context) (*Checked, error)
}

// FileSourceOptions say how a policy file is watched. The zero value is usable.
type FileSourceOptions struct {
	// Authorities are those that the policy may name. Nil: none.
	Authorities map[string]Authority
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Interval is how often the files are looked at, at most. Zero: two seconds.
	Interval time.Duration
	// Logger is told of new policies, and of files that are refused. Nil: none.
	Logger *slog.Logger
}

// FileSource is a policy file that is loaded again when it, or a file that it
// names, changes. It is safe for concurrent use.
//
// A new policy is used as a whole or not at all. One that is refused, half-written, gone,
// or of a lower Serial than the one before changes nothing: the last good policy is kept,
// Err says why, and the logger is told. The same goes for an Authority or Logger that
// panics; then the files are loaded again after Interval. A policy whose Expires has passed denies everything.
type FileSource struct {
	path string
	o    FileSourceOptions

	// looking is held by the one who looks at the files; all others go on with what
	// holds.
	looking sync.Mutex
	named   []string          // files that the policy named at the last look
	seen    [sha256.Size]byte // what all of them held then
	serial  int64

	mu      sync.Mutex
	checked time.Time
	held    *Checked
	err     error
}

// NewFileSource loads a policy file and begins to watch it. The file must be good
// at the start. Nothing runs in the background: the file is looked at when the
// policy is asked for.
func NewFileSource(path string, o FileSourceOptions) (*FileSource, error) {
	if o.Interval <= 0 {
		o.Interval = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &FileSource{path: path, o: o}
	for range startAttempts {
		if s.lookIfIdle(); s.err == nil || !errors.Is(s.err, errChanging) {
			break
		}
	}
	return s, s.err
}

// startAttempts is how often files are read at the start that change while they are read.
const startAttempts = 5

// errChanging says that the files are being written to.
var errChanging = errors.New("the policy, or a file that it names, changed while it was read")

// Policy implements Source. It never fails: the source had a good policy at its
// start. The first caller after Interval looks at the files, and loads them where they have
// changed; others do not wait for that.
func (s *FileSource) Policy(context.Context) (*Checked, error) {
	if s.due() {
		s.lookIfIdle()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held, nil
}

// due reports whether the files are to be looked at again. A clock that jumps back
// must not stop the watching.
func (s *FileSource) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.o.Now().Sub(s.checked)
	return since < 0 || since >= s.o.Interval
}

// Err says why the file, as it is now, does not hold; nil where it does.
func (s *FileSource) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// lookIfIdle looks at the files, unless another caller is at it. Authorities and the
// Logger are others' code. Where one panics, the caller must get a policy, and watching
// must go on. What was loaded is not known to hold: the next look loads it again.
func (s *FileSource) lookIfIdle() {
	if !s.looking.TryLock() {
		return
	}
	defer s.looking.Unlock()
	err := panics.Caught(func() error { s.look(); return nil })
	if err == nil {
		return
	}
	s.mu.Lock()
	s.checked, s.seen, s.err = s.o.Now(), [sha256.Size]byte{}, err
	s.mu.Unlock()
	_ = panics.Caught(func() error { // the Logger may be the one that panics
		s.o.Logger.Error("the policy could not be loaded; keeping the last good one", "path", s.path, "error", err)
		return nil
	})
}

// look reads the files, and takes the policy over where they have changed. What
// was read must be there still once all is read: a policy that was replaced in the
// middle, with the keys of the one before, was never written.
func (s *FileSource) look() {
	now := s.o.Now()
	if s.sum(s.named) == s.seen {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.checked = now; errors.Is(s.err, errChanging) {
			s.err = nil // the change was undone
		}
		return
	}
	p, named, sum, err := s.load()
	changed := s.sum(named) != sum // others must not wait for files
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked = now
	if changed {
		s.err = errChanging // seen stays what it was: the next look loads again
		return
	}
	s.named, s.seen = named, sum
	if s.err = err; err != nil {
		s.o.Logger.Error("policy refused; keeping the last good one", "path", s.path, "error", err)
		return
	}
	s.held, s.serial = p, p.Policy.Serial
	s.o.Logger.Info("policy loaded", "path", s.path, "policy", p.Digest)
}

// load loads the files. sum is of all that was read, in the form of
// FileSource.sum.
func (s *FileSource) load() (p *Checked, named []string, sum [sha256.Size]byte, err error) {
	all := sha256.New()
	text, _, err := file.Read(s.path, maxPolicyBytes)
	note(all, s.path, text, err)
	defer func() { all.Sum(sum[:0]) }()
	if err != nil {
		return nil, nil, sum, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	read := beside(s.path)
	_, p, err = parse(text, ParseOptions{Authorities: s.o.Authorities, ReadFile: func(name string, _ int64) ([]byte, error) {
		content, err := read(name, maxNamedBytes)
		named = append(named, name)
		note(all, name, content, err)
		return content, err
	}})
	if err != nil {
		return nil, named, sum, fmt.Errorf("%s: %w", s.path, err)
	}
	if serial := p.Policy.Serial; serial < s.serial {
		return nil, named, sum, fmt.Errorf("%w: %s has serial %d, and serial %d has held", ErrInvalid, s.path, serial, s.serial)
	}
	return p, named, sum, nil
}

// sum is of the policy and the files that it names, as they are now.
func (s *FileSource) sum(named []string) (sum [sha256.Size]byte) {
	all := sha256.New()
	text, _, err := file.Read(s.path, maxPolicyBytes)
	note(all, s.path, text, err)
	read := beside(s.path)
	for _, name := range named {
		content, err := read(name, maxNamedBytes)
		note(all, name, content, err)
	}
	all.Sum(sum[:0])
	return sum
}

// maxNamedBytes bounds a file that a policy names: the most that any may have.
const maxNamedBytes = max(maxLayoutBytes, sigkey.MaxFileSize)

// note adds a file, or why it could not be read, to a sum.
func note(all io.Writer, name string, content []byte, err error) {
	_, _ = fmt.Fprintf(all, "\n%q %d %v\n", name, len(content), err) // a hash does not fail
	_, _ = all.Write(content)
}
