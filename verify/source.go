package verify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Source gives the Verifier of the policy that holds now. Policies come from
// files (FileSource); other sources fit behind the same method.
type Source interface {
	// Verifier returns the Verifier to use for one decision, or an error where no
	// policy holds, which denies. It is safe for concurrent use and does not
	// block for long: a source that fetches does so apart.
	Verifier(ctx context.Context) (*Verifier, error)
}

// NewSource makes a Source of a source of policies. o.Authorities are not asked: the
// policies that come from there are checked.
func NewSource(from policy.Source, o Options) Source { return &following{from: from, o: o} }

// following is a Source that follows a source of policies.
type following struct {
	from policy.Source
	o    Options

	mu   sync.Mutex
	of   *policy.Checked // that held was made of
	held *Verifier
}

// Verifier implements Source.
func (f *following) Verifier(ctx context.Context) (*Verifier, error) {
	p, err := f.from.Policy(ctx)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil || f.of != p {
		v, err := newVerifier(p, f.o)
		if err != nil {
			return nil, err
		}
		f.of, f.held = p, v
	}
	return f.held, nil
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

// FileSource is a Source of a policy file; see FileSource. It is safe for concurrent
// use.
type FileSource struct {
	following
	file *policy.FileSource
}

// NewFileSource loads a policy file and begins to watch it, as NewFileSource does.
func NewFileSource(path string, o FileSourceOptions) (*FileSource, error) {
	file, err := policy.NewFileSource(path, policy.FileSourceOptions{
		Authorities: o.Options.Authorities, Now: o.Options.Now, Interval: o.Interval, Logger: o.Logger,
	})
	return &FileSource{following: following{from: file, o: o.Options}, file: file}, err
}

// Err says why the file, as it is now, does not hold; nil where it does.
func (s *FileSource) Err() error { return s.file.Err() }
