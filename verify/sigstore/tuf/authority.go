package tuf

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// Instance is a Sigstore instance whose trust root a Client keeps.
type Instance struct {
	// Client keeps the trust root. Required.
	Client *Client
	// Demands say what evidence needs. Its root is that of Client. Zero: the strictest, or
	// for the names that sigstore.Known knows, what that returns.
	Demands sigstore.Instance
}

// Authority is a sigstore.Authority whose trust roots are renewed. It is safe for
// concurrent use.
type Authority struct {
	*sigstore.Authority
	instances map[string]Instance

	mu   sync.Mutex
	seen map[string]*Target // what Renew was last asked to use
	used map[string]*Target // what it has used
	errs map[string]error
}

var (
	_ policy.ChangingAuthority  = (*Authority)(nil)
	_ policy.TimeAuthority      = (*Authority)(nil)
	_ policy.FileAuthority      = (*Authority)(nil)
	_ policy.DescribedAuthority = (*Authority)(nil)
	_ policy.DigestReader       = (*matcher)(nil)
	_ policy.DigestReader       = (*clock)(nil)
	_ policy.LogMatcher         = (*clock)(nil)
)

// NewAuthority makes an authority of named instances, at least one. Each has a trust root
// that can be used.
func NewAuthority(instances map[string]Instance) (*Authority, error) {
	a := &Authority{instances: maps.Clone(instances), seen: make(map[string]*Target), used: make(map[string]*Target), errs: make(map[string]error)}
	named := make(map[string]sigstore.Instance, len(instances))
	for name, i := range a.instances {
		if name == "" || i.Client == nil || i.Demands.RootFile != "" || len(i.Demands.Root) > 0 {
			return nil, fmt.Errorf("%w: instance %.100q: want a name and a Client, and no root of its own", ErrInvalid, name)
		}
		target, err := i.Client.Current()
		if err != nil {
			return nil, fmt.Errorf("instance %.100q: %w", name, err)
		}
		demands := i.Demands
		if isZero(demands) {
			demands = sigstore.Known(name)
		}
		demands.Root = target.Content
		named[name], a.seen[name], a.used[name] = demands, target, target
	}
	var err error
	if a.Authority, err = sigstore.New(named); err != nil {
		return nil, err
	}
	return a, nil
}

func isZero(i sigstore.Instance) bool {
	return i.CertificateAuthority == "" && i.SHA256 == "" && i.Logs == 0 && i.CTLogs == 0 && i.Times == 0 && !i.WithoutLogs && !i.WithoutCT && !i.RequireTimestamps
}

// renew uses the newest trust root of an instance, and returns an error if it is too old.
// One that lacks what is demanded leaves the last one in use, until that is too old. Without
// a name, the root is the policy's own.
func (a *Authority) renew(name string) error {
	if name == "" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	client := a.instances[name].Client
	target, err := client.Current()
	if err != nil {
		return err
	}
	if a.seen[name] != target {
		a.seen[name], a.errs[name] = target, a.Renew(name, target.Content)
		if a.errs[name] == nil {
			a.used[name] = target
		}
	}
	return client.stale(a.used[name])
}

// Err returns why newest trust roots are not in use. Nil: they are.
func (a *Authority) Err() error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(a.instances)) {
		all = append(all, a.renew(name))
		a.mu.Lock()
		all = append(all, a.errs[name])
		a.mu.Unlock()
	}
	return errors.Join(all...)
}

// Generation implements policy.ChangingAuthority. It changes with the trust roots, and when
// one of them becomes too old.
func (a *Authority) Generation() string {
	stale := ""
	for _, name := range slices.Sorted(maps.Keys(a.instances)) {
		if a.renew(name) != nil {
			stale += " stale " + name
		}
	}
	return a.Authority.Generation() + stale
}

// named is the instance that settings name; empty: they bring a root of their own.
func (a *Authority) named(settings map[string]any) string {
	name, _ := settings["instance"].(string)
	if _, own := settings["rootFile"]; own || name != "" {
		return name
	}
	for only := range a.instances {
		name = only // sigstore refuses settings that name none of several
	}
	return name
}

// Matcher implements policy.Authority. Its settings are those of sigstore.Authority. A root
// that they pin denies after the root was renewed.
func (a *Authority) Matcher(settings map[string]any) (policy.Matcher, error) {
	m, err := a.Authority.Matcher(settings)
	if err != nil {
		return nil, err
	}
	return &matcher{m, a, a.named(settings)}, nil
}

// TimeMatcher implements policy.TimeAuthority.
func (a *Authority) TimeMatcher(settings map[string]any) (policy.TimeMatcher, error) {
	m, err := a.Authority.TimeMatcher(settings)
	if err != nil {
		return nil, err
	}
	return &clock{m, a, a.named(settings)}, nil
}

// matcher is a Matcher as long as its trust root is not too old.
type matcher struct {
	policy.Matcher
	a        *Authority
	instance string
}

// ReadsDigests implements policy.DigestReader.
func (m *matcher) ReadsDigests() bool { return true }

// Signed implements policy.Matcher.
func (m *matcher) Signed(ctx context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	if err := m.a.renew(m.instance); err != nil {
		return policy.Recognized{}, err
	}
	return m.Matcher.Signed(ctx, e)
}

// clock is a TimeMatcher as long as its trust root is not too old.
type clock struct {
	policy.TimeMatcher
	a        *Authority
	instance string
}

// ReadsDigests implements policy.DigestReader.
func (c *clock) ReadsDigests() bool { return true }

// Seen implements policy.TimeMatcher.
func (c *clock) Seen(ctx context.Context, e policy.SignedEvidence) (time.Time, error) {
	if err := c.a.renew(c.instance); err != nil {
		return time.Time{}, err
	}
	return c.TimeMatcher.Seen(ctx, e)
}

// Logged implements policy.LogMatcher.
func (c *clock) Logged(ctx context.Context, e policy.SignedEvidence) (map[string]string, error) {
	if err := c.a.renew(c.instance); err != nil {
		return nil, err
	}
	logs, ok := c.TimeMatcher.(policy.LogMatcher)
	if !ok {
		return nil, errors.New("the authority knows no logs")
	}
	return logs.Logged(ctx, e)
}

// checkRoot refuses what is not a trust root.
func checkRoot(text []byte) error {
	_, err := sigstore.Contents(text)
	return err
}
