package verify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Source returns the Verifier of the current policy. A *Verifier is a Source whose policy
// never changes. A FileSource follows a file.
type Source interface {
	// Verifier returns the Verifier to use for one decision, or an error, which denies. It
	// is safe for concurrent use and does not block for long: a source that fetches
	// policies does so in the background.
	Verifier(ctx context.Context) (*Verifier, error)
}

// ReportingSource is a Source that keeps the last good policy if a newer one is refused,
// and says so. Those of NewSource and NewFileSource are.
type ReportingSource interface {
	Source
	// Err returns why the newest policy is not in use, or the newest trust root of one of
	// its authorities. Nil: they are. Ask it after Verifier, which looks for a new policy.
	Err() error
}

var (
	_ ReportingSource = (*following)(nil)
	_ ReportingSource = (*FileSource)(nil)
)

// NewSource makes a Source of a source of policies. o.Authorities is not used: the policies
// of from are already checked.
func NewSource(from policy.Source, o Options) Source { return &following{from: from, o: o} }

// following is a Source that follows a source of policies.
type following struct {
	from policy.Source
	o    Options

	mu sync.Mutex
	// of is the policy of held.
	of   *policy.Checked
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

// Err implements ReportingSource. It asks the source of policies if that is a
// policy.ReportingSource, and each policy.ChangingAuthority that has such a method.
func (f *following) Err() error {
	var all []error
	if s, ok := f.from.(policy.ReportingSource); ok {
		all = append(all, s.Err())
	}
	f.mu.Lock()
	held := f.of
	f.mu.Unlock()
	if held == nil {
		return errors.Join(all...)
	}
	for _, a := range held.Changing {
		if s, ok := a.(interface{ Err() error }); ok {
			all = append(all, s.Err())
		}
	}
	return errors.Join(all...)
}

// FileSourceOptions configure a FileSource. The zero value is usable.
type FileSourceOptions struct {
	// Options are those of the Verifiers. Zero: the defaults.
	Options Options
	// Interval is the least time between two checks of the files. Zero: two seconds.
	Interval time.Duration
	// Logger gets a record for each new policy, and for each file that is refused. Nil: no
	// records.
	Logger *slog.Logger
}

// FileSource is the Source of a policy file; see policy.FileSource. It is safe for
// concurrent use.
type FileSource struct {
	following
}

// NewFileSource loads a policy file and watches it; see policy.NewFileSource.
func NewFileSource(path string, o FileSourceOptions) (*FileSource, error) {
	file, err := policy.NewFileSource(path, policy.FileSourceOptions{
		Authorities: o.Options.Authorities, Now: o.Options.Now, Interval: o.Interval, Logger: o.Logger,
	})
	return &FileSource{following{from: file, o: o.Options}}, err
}

// Err implements ReportingSource: why the file, as it is now, is not in use, or the newest
// trust root of an authority.
func (s *FileSource) Err() error { return s.following.Err() }
