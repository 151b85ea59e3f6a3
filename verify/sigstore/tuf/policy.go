package tuf

import (
	"context"
	"fmt"
	"sync"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// PolicySource is a policy.Source whose policy is a target of a repository. The policy
// holds its keys as text, since the repository's other files are not read. It is safe for
// concurrent use.
type PolicySource struct {
	client *Client
	o      policy.ParseOptions

	mu      sync.Mutex
	seen    *Target // what was looked at last
	used    *Target // what holds the policy
	checked *policy.Checked
	err     error
}

var _ policy.ReportingSource = (*PolicySource)(nil)

// NewPolicySource takes policies from a client. The first must be usable.
func NewPolicySource(c *Client, o policy.ParseOptions) (*PolicySource, error) {
	s := &PolicySource{client: c, o: o}
	if _, err := s.Policy(context.Background()); err != nil {
		return nil, err
	}
	return s, s.Err()
}

// Policy implements policy.Source. A new policy that cannot be used, or has a lower Serial,
// leaves the last good one in use; Err says why. A policy that is too old is an error that
// wraps ErrStale.
func (s *PolicySource) Policy(context.Context) (*policy.Checked, error) {
	checked, refused, err := s.current()
	if refused != nil { // without the lock: the Logger may ask Err, or be slow
		s.client.o.Logger.Error("policy rejected; keeping the last good one", "target", s.client.o.Target, "error", refused)
	}
	return checked, err
}

// current is Policy. refused is why a target is not used that was looked at now.
func (s *PolicySource) current() (checked *policy.Checked, refused, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	target, err := s.client.Current()
	if err != nil {
		return nil, nil, err
	}
	if target != s.seen {
		s.seen = target
		s.err = panics.Caught(func() error { return s.use(target) })
		refused = s.err
	}
	if s.checked == nil {
		return nil, refused, fmt.Errorf("target %s: %w", s.client.o.Target, s.err)
	}
	if err := s.client.stale(s.used); err != nil {
		return nil, refused, fmt.Errorf("%w; a newer one is refused: %w", err, s.err)
	}
	return s.checked, refused, nil
}

// use uses the policy of a target.
func (s *PolicySource) use(target *Target) error {
	parsed, err := policy.Parse(target.Content, s.o)
	if err != nil {
		return err
	}
	next, err := parsed.Check(s.o.Authorities)
	if err != nil {
		return err
	}
	if s.checked != nil && next.Policy.Serial < s.checked.Policy.Serial {
		return fmt.Errorf("%w: target %s has serial %d, lower than %d, which was in use", policy.ErrInvalid, s.client.o.Target, next.Policy.Serial, s.checked.Policy.Serial)
	}
	if s.used = target; s.checked == nil || s.checked.Digest != next.Digest {
		s.checked = next
	}
	return nil
}

// Err returns why the newest policy was refused. Nil: it is in use.
func (s *PolicySource) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
