package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/file"
	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/panics"
)

// Source returns the current policy. FileSource is the Source of a file.
type Source interface {
	// Policy returns the policy for one decision. An error means that there is none,
	// and denies. Policy
	//
	//   - is safe for concurrent use,
	//   - does not block for long: a source that fetches does so in the background,
	//   - returns the same pointer until the policy changes.
	Policy(ctx context.Context) (*Checked, error)
}

// ReportingSource is a Source that keeps the last good policy if a newer one is refused,
// and says so.
type ReportingSource interface {
	Source
	// Err returns why the newest policy that Policy has looked at is not in use. Nil: it is.
	Err() error
}

var _ ReportingSource = (*FileSource)(nil)

// FileSourceOptions set how a policy file is watched. The zero value is usable.
type FileSourceOptions struct {
	// Authorities are the authorities that the policy may name. Nil: none.
	Authorities map[string]Authority
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Interval is the shortest time between two looks at the files. Zero: 2 seconds.
	Interval time.Duration
	// Logger logs new policies and refused files. Nil: nothing is logged.
	Logger *slog.Logger
}

// FileSource is a policy file that is loaded again when the file changes, or a file
// that it or a team's file names. It is safe for concurrent use.
//
// A new policy is used as a whole or not at all. The last good policy is kept, and
// Err and the log tell why, if
//
//   - the new policy is refused, half-written or gone,
//   - its Serial is lower than the last one's, or that of a team's file is,
//   - an Authority or the Logger panics; the files are loaded again after Interval.
//
// A refused policy is loaded again once a ChangingAuthority has other trust: it may be the
// trust that the policy names.
//
// A policy whose Expires has passed denies everything.
type FileSource struct {
	path string
	o    FileSourceOptions

	// looking is held by the caller that looks at the files. The others use the
	// policy that is held.
	looking sync.Mutex
	seen    *snapshot // the files at the last look; nil: they are to be loaded
	serials map[string]int64
	trust   string // of the authorities before the files were loaded last

	mu      sync.Mutex
	checked time.Time
	held    *Checked
	err     error
}

// NewFileSource loads a policy file. It returns ErrInvalid if the file cannot be
// used. Nothing runs in the background: Policy looks at the file.
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

// startAttempts is how often NewFileSource reads files that change while it reads.
const startAttempts = 5

// errChanging is the error about files that change while they are read.
var errChanging = errors.New("the policy, or a file that it names, changed while it was read")

// Policy implements Source. It never returns an error: a FileSource starts with a
// good policy. The first call after Interval looks at the files and loads them if
// they have changed. Other calls do not wait for it.
func (s *FileSource) Policy(context.Context) (*Checked, error) {
	if s.due() {
		s.lookIfIdle()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held, nil
}

// due reports whether it is time to look at the files. A clock that jumps back must
// not stop the watching.
func (s *FileSource) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.o.Now().Sub(s.checked)
	return since < 0 || since >= s.o.Interval
}

// Err returns why the file, as it is now, was refused. Nil: it is in use.
func (s *FileSource) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// lookIfIdle looks at the files, unless another caller does. If an Authority or the
// Logger panics, the caller must still get a policy, and the next look loads the
// files again.
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
	s.checked, s.seen, s.err = s.o.Now(), nil, err
	s.mu.Unlock()
	_ = panics.Caught(func() error { // the Logger may be what panics
		s.o.Logger.Error("the policy could not be loaded; keeping the last good one", "path", s.path, "error", err)
		return nil
	})
}

// look reads the files and uses the policy if they have changed. After reading, the
// files must still be the same: a new policy with the keys of the old one was never
// written.
func (s *FileSource) look() {
	now, trust := s.o.Now(), generations(s.o.Authorities)
	retry := trust != s.trust && s.Err() != nil
	if s.seen != nil && !s.seen.changed() && !retry {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.checked = now; errors.Is(s.err, errChanging) {
			s.err = nil // the change was undone
		}
		return
	}
	p, files, err := s.load()
	changed := files.changed() // before the lock: callers must not wait for files
	if s.take(p, files, err, changed, now); changed {
		return
	}
	s.trust = trust
	if err != nil { // after the lock: the Logger may ask Err, or be slow
		s.o.Logger.Error("policy rejected; keeping the last good one", "path", s.path, "error", err)
		return
	}
	s.o.Logger.Info("policy loaded", "path", s.path, "policy", p.Digest)
}

// take uses what was loaded, unless the files have changed since, or were refused.
func (s *FileSource) take(p *Checked, files *snapshot, err error, changed bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked = now
	if changed {
		s.err = errChanging // with seen unchanged, the next look loads again
		return
	}
	s.seen = files
	if s.err = err; err != nil {
		return
	}
	if s.held = p; s.serials == nil {
		s.serials = make(map[string]int64)
	}
	maps.Copy(s.serials, files.serials) // a team that is gone may come back
}

// generations identify what the authorities trust now.
func generations(all map[string]Authority) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if a, ok := all[name].(ChangingAuthority); ok {
			fmt.Fprintf(&b, "%q %q\n", name, a.Generation())
		}
	}
	return b.String()
}

// load loads the files. It returns what it has read, as FileSource.seen keeps it.
func (s *FileSource) load() (*Checked, *snapshot, error) {
	files := newSnapshot(s.path)
	parsed, err := files.read(ParseOptions{Authorities: s.o.Authorities})
	if err != nil {
		return nil, files, err
	}
	files.serials = parsed.policy.serials()
	for team, serial := range files.serials {
		if used := s.serials[team]; serial < used {
			path := s.path
			if team != "" {
				path = parsed.policy.Teams[team].File
			}
			return nil, files, fmt.Errorf("%w: %s has serial %d, lower than %d, which was in use", ErrInvalid, path, serial, used)
		}
	}
	return parsed.checked, files, nil
}

// serials are those of the policy and of its teams, by the names of the teams.
func (p *Policy) serials() map[string]int64 {
	all := map[string]int64{"": p.Serial}
	for name, t := range p.Teams {
		all[name] = t.Policy.Serial
	}
	return all
}

// snapshot is a policy file and the files that it names, as they were read.
type snapshot struct {
	path  string
	named []namedFile
	teams bool // some of them are files of teams
	// sum is a hash of all.
	sum [sha256.Size]byte
	// serials are those of the policy that was read.
	serials map[string]int64
}

// namedFile is a file that the policy, or a team's file, names.
type namedFile struct {
	name     string
	maxBytes int64
	team     bool
}

func newSnapshot(path string) *snapshot { return &snapshot{path: path} }

// read reads the policy by the files.
func (s *snapshot) read(o ParseOptions) (parsed, error) {
	all := sha256.New()
	defer func() { all.Sum(s.sum[:0]) }()
	text, _, err := file.Read(s.path, maxPolicyBytes)
	note(all, s.path, text, err)
	if err != nil {
		return parsed{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	noted := func(team bool) func(string, int64) ([]byte, error) {
		return func(name string, maxBytes int64) ([]byte, error) {
			f := namedFile{name, maxBytes, team}
			content, err := s.content(f)
			s.named, s.teams = append(s.named, f), s.teams || team
			note(all, name, content, err)
			return content, err
		}
	}
	o.ReadFile, o.readTeam = noted(false), noted(true)
	return inFile(s.path)(parse(text, o))
}

// content is what a file holds now.
func (s *snapshot) content(f namedFile) ([]byte, error) {
	if f.team {
		return inside(s.path)(f.name, f.maxBytes)
	}
	return beside(s.path)(f.name, f.maxBytes)
}

// changed reports whether one of the files is no longer what was read.
func (s *snapshot) changed() bool {
	all := sha256.New()
	text, _, err := file.Read(s.path, maxPolicyBytes)
	note(all, s.path, text, err)
	for _, f := range s.named {
		content, err := s.content(f)
		note(all, f.name, content, err)
	}
	return [sha256.Size]byte(all.Sum(nil)) != s.sum
}

// maxNamedBytes bounds every file that a policy names.
const maxNamedBytes = max(maxLayoutBytes, keyfile.MaxSize)

// note adds a file, or the error of reading it, to a hash.
func note(all io.Writer, name string, content []byte, err error) {
	_, _ = fmt.Fprintf(all, "\n%q %d %v\n", name, len(content), err) // a hash does not fail
	_, _ = all.Write(content)
}
