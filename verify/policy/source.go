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

// Source returns the current policy. A FileSource is one for files.
type Source interface {
	// Policy returns the policy to use for one decision, or an error, which denies. It is
	// safe for concurrent use and does not block for long: a source that fetches policies
	// does so in the background. The pointer stays the same until the policy changes.
	Policy(ctx context.Context) (*Checked, error)
}

// FileSourceOptions configure a FileSource. The zero value is usable.
type FileSourceOptions struct {
	// Authorities are those that the policy may name. Nil: none.
	Authorities map[string]Authority
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Interval is the least time between two checks of the files. Zero: two seconds.
	Interval time.Duration
	// Logger gets a record for each new policy, and for each file that is refused. Nil: no
	// records.
	Logger *slog.Logger
}

// FileSource is a policy file that is loaded again when it, or a file that it names,
// changes. It is safe for concurrent use.
//
// A new policy is used as a whole or not at all. The last good policy stays in use, Err
// says why, and the logger gets a record, if the new one:
//
//   - is refused by Parse, half-written, or missing;
//   - has a lower Serial than the last good one;
//   - made an Authority or the Logger panic. It is loaded again after Interval.
//
// A policy whose Expires has passed denies everything.
type FileSource struct {
	path string
	o    FileSourceOptions

	// looking is held by the caller that checks the files. Other callers use the current
	// policy.
	looking sync.Mutex
	named   []string          // files that the policy named at the last look
	seen    [sha256.Size]byte // what all of them held then
	serial  int64

	mu      sync.Mutex
	checked time.Time
	held    *Checked
	err     error
}

// NewFileSource loads a policy file, which must be good, and watches it. No goroutine runs:
// the files are checked when the policy is asked for.
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

// startAttempts is how often files that change while they are read are read at the start.
const startAttempts = 5

// errChanging says that the files are being written.
var errChanging = errors.New("the policy, or a file that it names, changed while it was read")

// Policy implements Source. It never fails, because the source had a good policy at its
// start. The first caller after Interval checks the files, and loads them if they have
// changed. Other callers do not wait for it.
func (s *FileSource) Policy(context.Context) (*Checked, error) {
	if s.due() {
		s.lookIfIdle()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held, nil
}

// due reports whether the files must be checked again. A clock that jumps back must not
// stop the watching.
func (s *FileSource) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.o.Now().Sub(s.checked)
	return since < 0 || since >= s.o.Interval
}

// Err says why the file, as it is now, is not used; nil: it is.
func (s *FileSource) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// lookIfIdle checks the files, unless another caller does. Authorities and the Logger are
// foreign code. If one panics, the caller must get a policy and watching must go on. The
// loaded policy may not hold: the next check loads it again.
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
		s.o.Logger.Error("policy not loaded; keeping the last good one", "path", s.path, "error", err)
		return nil
	})
}

// look reads the files, and takes the policy over if they have changed. The files must be
// unchanged after all were read. Otherwise a policy and keys of different versions could be
// combined.
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
		s.o.Logger.Error("policy rejected; keeping the last good one", "path", s.path, "error", err)
		return
	}
	s.held, s.serial = p, p.Policy.Serial
	s.o.Logger.Info("policy loaded", "path", s.path, "policy", p.Digest)
}

// load loads the files. sum is the sum of all that was read, in the form of FileSource.sum.
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

// sum is the sum of the policy and its named files, as they are now.
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

// maxNamedBytes bounds a file that a policy names: the greatest bound of any.
const maxNamedBytes = max(maxLayoutBytes, sigkey.MaxFileSize)

// note adds a file, or why it could not be read, to a sum.
func note(all io.Writer, name string, content []byte, err error) {
	_, _ = fmt.Fprintf(all, "\n%q %d %v\n", name, len(content), err) // a hash does not fail
	_, _ = all.Write(content)
}
