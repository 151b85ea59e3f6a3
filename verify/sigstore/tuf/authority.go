package tuf

import (
	"context"
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
	instances map[string]Instance

	mu   sync.Mutex
	made *made
	err  error
}

// made is an authority of certain trust roots.
type made struct {
	roots     map[string]*Target
	authority *sigstore.Authority
}

var (
	_ policy.ChangingAuthority = (*Authority)(nil)
	_ policy.TimeAuthority     = (*Authority)(nil)
)

// NewAuthority makes an authority of named instances, at least one. Each has a trust root
// that can be used.
func NewAuthority(instances map[string]Instance) (*Authority, error) {
	a := &Authority{instances: maps.Clone(instances)}
	for name, i := range a.instances {
		if i.Client == nil || i.Demands.RootFile != "" || len(i.Demands.Root) > 0 {
			return nil, fmt.Errorf("%w: instance %.100q: want a Client, and no root of its own", ErrInvalid, name)
		}
		if _, err := i.Client.Current(); err != nil {
			return nil, fmt.Errorf("instance %.100q: %w", name, err)
		}
	}
	if a.current(); a.made == nil {
		return nil, a.err
	}
	return a, nil
}

// current is the authority of the last good roots.
func (a *Authority) current() *made {
	a.mu.Lock()
	defer a.mu.Unlock()
	roots := make(map[string]*Target, len(a.instances))
	for name, i := range a.instances {
		roots[name] = i.Client.last()
	}
	if a.made != nil && maps.Equal(roots, a.made.roots) {
		return a.made
	}
	named := make(map[string]sigstore.Instance, len(roots))
	for name, i := range a.instances {
		demands := i.Demands
		if isZero(demands) {
			demands = sigstore.Known(name)
		}
		demands.Root = roots[name].Content
		named[name] = demands
	}
	next, err := sigstore.New(named)
	if a.err = err; err == nil {
		a.made = &made{roots, next}
	}
	return a.made
}

func isZero(i sigstore.Instance) bool {
	return i.CertificateAuthority == "" && i.SHA256 == "" && i.Logs == 0 && i.CTLogs == 0 && i.Times == 0 && !i.WithoutLogs && !i.WithoutCT && !i.RequireTimestamps
}

// last is the last good target, however old.
func (c *Client) last() *Target {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.good == nil {
		return &Target{}
	}
	return c.good.target
}

// Err returns why the newest trust roots are not in use. Nil: they are.
func (a *Authority) Err() error {
	a.current()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// Generation implements policy.ChangingAuthority. It changes with the trust roots, and when
// one of them becomes too old.
func (a *Authority) Generation() string {
	text := a.current().authority.Generation()
	for _, name := range slices.Sorted(maps.Keys(a.instances)) {
		if _, err := a.instances[name].Client.Current(); err != nil {
			text += " stale " + name
		}
	}
	return text
}

// fresh returns an error if the root of the instance that settings name is too old.
func (a *Authority) fresh(settings map[string]any) error {
	name, _ := settings["instance"].(string)
	for only := range a.instances {
		if name == "" && len(a.instances) == 1 {
			name = only
		}
	}
	_, err := a.instances[name].Client.Current()
	return err
}

// Matcher implements policy.Authority. Its settings are those of sigstore.Authority. A root
// that they pin denies after the root was renewed.
func (a *Authority) Matcher(settings map[string]any) (policy.Matcher, error) {
	settings = maps.Clone(settings)
	first := a.current()
	m, err := first.authority.Matcher(settings)
	if err != nil {
		return nil, err
	}
	return &matcher{renewed: renewed[policy.Matcher]{a: a, settings: settings, by: first, made: m, renew: (*sigstore.Authority).Matcher}, id: m.ID()}, nil
}

// TimeMatcher implements policy.TimeAuthority.
func (a *Authority) TimeMatcher(settings map[string]any) (policy.TimeMatcher, error) {
	settings = maps.Clone(settings)
	first := a.current()
	m, err := first.authority.TimeMatcher(settings)
	if err != nil {
		return nil, err
	}
	return &clock{renewed: renewed[policy.TimeMatcher]{a: a, settings: settings, by: first, made: m, renew: (*sigstore.Authority).TimeMatcher}, id: m.ID()}, nil
}

// renewed is made again for each new authority.
type renewed[T any] struct {
	a        *Authority
	settings map[string]any
	renew    func(*sigstore.Authority, map[string]any) (T, error)

	mu   sync.Mutex
	by   *made
	made T
}

func (r *renewed[T]) current() (T, error) {
	var none T
	if err := r.a.fresh(r.settings); err != nil {
		return none, err
	}
	now := r.a.current()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now == r.by {
		return r.made, nil
	}
	next, err := r.renew(now.authority, maps.Clone(r.settings))
	if err != nil {
		return none, err
	}
	r.by, r.made = now, next
	return next, nil
}

type matcher struct {
	renewed[policy.Matcher]
	id string
}

// ID implements policy.Matcher.
func (m *matcher) ID() string { return m.id }

// Signed implements policy.Matcher.
func (m *matcher) Signed(ctx context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	by, err := m.current()
	if err != nil {
		return policy.Recognized{}, err
	}
	return by.Signed(ctx, e)
}

type clock struct {
	renewed[policy.TimeMatcher]
	id string
}

// ID implements policy.TimeMatcher.
func (c *clock) ID() string { return c.id }

// Seen implements policy.TimeMatcher.
func (c *clock) Seen(ctx context.Context, e policy.SignedEvidence) (time.Time, error) {
	by, err := c.current()
	if err != nil {
		return time.Time{}, err
	}
	return by.Seen(ctx, e)
}

// checkRoot refuses what is not a trust root.
func checkRoot(text []byte) error {
	_, err := sigstore.Contents(text)
	return err
}
