package tuf

import (
	"context"
	"fmt"
	"sync"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// PolicySource is a policy.Source whose policy is a target of a repository. The policy
// holds its keys as text, since the repository's other files are not read. It is safe for
// concurrent use.
type PolicySource struct {
	client *Client
	o      policy.ParseOptions

	mu      sync.Mutex
	seen    *Target
	checked *policy.Checked
	err     error
}

var _ policy.Source = (*PolicySource)(nil)

// NewPolicySource takes policies from a client. The first must be usable.
func NewPolicySource(c *Client, o policy.ParseOptions) (*PolicySource, error) {
	s := &PolicySource{client: c, o: o}
	if _, err := s.Policy(context.Background()); err != nil {
		return nil, err
	}
	return s, s.Err()
}

// Policy implements policy.Source. A new policy that cannot be used leaves the last good
// one in use; Err says why. A policy that is too old is an error that wraps ErrStale.
func (s *PolicySource) Policy(context.Context) (*policy.Checked, error) {
	target, err := s.client.Current()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if target == s.seen {
		return s.checked, s.unless()
	}
	s.seen = target
	parsed, err := policy.Parse(target.Content, s.o)
	if err == nil {
		var next *policy.Checked
		if next, err = parsed.Check(s.o.Authorities); err == nil && (s.checked == nil || s.checked.Digest != next.Digest) {
			s.checked = next
		}
	}
	s.err = err
	return s.checked, s.unless()
}

// unless is the error where there has been no good policy.
func (s *PolicySource) unless() error {
	if s.checked == nil {
		return fmt.Errorf("target %s: %w", s.client.o.Target, s.err)
	}
	return nil
}

// Err returns why the newest policy was refused. Nil: it is in use.
func (s *PolicySource) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
