// Package tuf keeps trust roots, and policies, up to date by The Update Framework.
//
//	o := tuf.PublicGood()
//	o.File = "/var/lib/hallmark/public-good.tuf"
//	client, err := tuf.Open(ctx, o)
//	go client.Run(ctx)
//	authority, err := tuf.NewAuthority(map[string]tuf.Instance{"public-good": {Client: client}})
//
// The authority is that of package sigstore, with the newest trust root that is verified. A
// [PolicySource] takes policies from a repository in the same way.
//
// # What is verified
//
//   - The first root is the caller's. Each later one is signed by the one before it, and by
//     itself, by as many distinct keys as each asks for.
//   - Timestamp, snapshot and targets are signed by the keys of the last root, have not
//     expired, and belong together. Their versions only rise.
//   - The target is listed by the top-level targets role, with its length and hashes.
//     Delegations are not followed.
//
// # When a repository lies or is down
//
// An update is used as a whole or not at all; new roots are kept in any case, since the keys
// that they revoke must not come back. The last good target stays in use, Err and the log say why, and [Client.Current] returns [ErrStale] once its metadata has expired for
// longer than Options.Grace. No decision asks the network: Run and Refresh do.
//
// # What is kept on disk
//
// One file holds all metadata and the target. It is replaced as a whole, and verified from
// the first root on when it is read. A file that is older than what this process knows is
// reported and replaced. A file that was put back while no process ran is not noticed: its
// metadata expires, which ends its use.
//
// # Limits
//
//   - a root: 512,000 bytes; timestamp: 16,384; snapshot: 2,000,000; targets: 5,000,000
//   - the target: Options.MaxSize
//   - 64 new roots in one refresh, 1024 altogether
//   - a refresh: Options.Timeout
//
// Format: TUF specification 1.0, with consistent snapshots or without.
package tuf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Errors about repositories. Those of package metadata of go-tuf stand below ErrRefused.
var (
	// ErrInvalid is wrapped by errors about Options.
	ErrInvalid = errors.New("unusable TUF configuration")
	// ErrRefused is wrapped by errors about metadata and targets that do not verify: they
	// are rolled back, expired, too large, not signed as they must be, or belong to others.
	ErrRefused = errors.New("the TUF repository's answer is refused")
	// ErrUnavailable is wrapped by errors of the network.
	ErrUnavailable = errors.New("the TUF repository cannot be reached")
	// ErrStale is wrapped by the error about a target that has not been renewed in time.
	ErrStale = errors.New("the last good target is too old")
)

// Options name the target that is kept, and its repository. Root, URL and Target are required.
type Options struct {
	// Root is the text of the first root.json to trust. It may have expired. Required.
	Root []byte
	// URL is where the metadata is: https, or http on loopback. Required.
	URL string
	// TargetsURL is where targets are. Empty: URL with /targets.
	TargetsURL string
	// Target is the name of the target, such as trusted_root.json. Required.
	Target string
	// File keeps what was verified. Empty: nothing is kept, and versions only rise as long
	// as the process runs.
	File string
	// Check refuses a target that cannot be used: the last good one stays. Nil: none is
	// refused.
	Check func(target []byte) error
	// Grace is how long the target is used after its metadata has expired. Zero: 7 days.
	Grace time.Duration
	// Interval is the time between refreshes of Run, give or take a tenth. After a failure,
	// it is a twelfth. Zero: 12 hours.
	Interval time.Duration
	// Timeout bounds one refresh. Zero: 2 minutes.
	Timeout time.Duration
	// MaxSize bounds the target, in bytes. Zero: 4 MiB.
	MaxSize int64
	// Transport makes requests. Nil: http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Logger logs failures. Nil: nothing is logged.
	Logger *slog.Logger
}

// Target is a verified target. It must not be changed.
type Target struct {
	// Content is the target.
	Content []byte
	// Root, Timestamp, Snapshot and Targets are the versions of the metadata.
	Root, Timestamp, Snapshot, Targets int64
	// Expires is when the first of the metadata expires.
	Expires time.Time
}

// Client keeps one target of a repository. It is safe for concurrent use.
type Client struct {
	o         Options
	metadata  *url.URL
	targets   *url.URL
	refreshes chan struct{} // holds one place

	mu    sync.Mutex
	good  *good
	asked bool // there was a refresh
	err   error
}

// Open reads what Options.File holds, and refreshes if that is nothing, or too old. It
// returns an error if there is no target to use then.
func Open(ctx context.Context, o Options) (*Client, error) {
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	held, err := c.load()
	if err != nil {
		c.o.Logger.Warn("the kept TUF metadata is not used", "file", o.File, "error", err)
	}
	c.good = held
	if _, err := c.Current(); err == nil {
		return c, nil
	}
	if err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func newClient(o Options) (*Client, error) {
	setDefaults(&o)
	c := &Client{o: o, refreshes: make(chan struct{}, 1)}
	if o.Target == "" || o.Grace < 0 || o.Interval < 0 || o.Timeout < 0 || o.MaxSize < 0 {
		return nil, fmt.Errorf("%w: Target is empty, or a number is below zero", ErrInvalid)
	}
	_, err := c.rooted(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: Root: %w", ErrInvalid, err)
	}
	if c.metadata, err = locate("URL", o.URL); err != nil {
		return nil, err
	}
	c.targets = c.metadata.JoinPath("targets")
	if o.TargetsURL != "" {
		c.targets, err = locate("TargetsURL", o.TargetsURL)
	}
	return c, err
}

func setDefaults(o *Options) {
	defaultTo(&o.Grace, 7*24*time.Hour)
	defaultTo(&o.Interval, 12*time.Hour)
	defaultTo(&o.Timeout, 2*time.Minute)
	defaultTo(&o.MaxSize, 4<<20)
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Check == nil {
		o.Check = func([]byte) error { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// locate reads a URL that may be asked. The errors do not show it: it may hold a password.
func locate(option, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("%w: %s is not a URL with a host", ErrInvalid, option)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%w: %s of %.200q: want no user, query or fragment", ErrInvalid, option, u.Host)
	case !mayAsk(u):
		return nil, fmt.Errorf("%w: %s of %.200q: want https, or http on loopback", ErrInvalid, option, u.Host)
	}
	return u, nil
}

func mayAsk(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && ip != nil && ip.IsLoopback()
}

// Current returns the last good target, or an error that wraps ErrStale. It asks no network.
func (c *Client) Current() (*Target, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.good == nil {
		return nil, fmt.Errorf("%w: there is none: %w", ErrStale, c.err)
	}
	if err := c.stale(c.good.target); err != nil {
		if c.err != nil {
			err = fmt.Errorf("%w; last refresh: %w", err, c.err)
		}
		return nil, err
	}
	return c.good.target, nil
}

// stale is the error about a target that has not been renewed in time.
func (c *Client) stale(t *Target) error {
	until := t.Expires.Add(c.o.Grace)
	if !c.o.Now().After(until) {
		return nil
	}
	return fmt.Errorf("%w: %s could be used until %s", ErrStale, c.o.Target, until.UTC().Format(time.RFC3339))
}

// Err returns why the last refresh failed. Nil: it did not.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Refresh asks the repository once. An error means that the last good target stays in use,
// or that the new one could not be kept in Options.File. Concurrent calls wait for one another.
func (c *Client) Refresh(ctx context.Context) error {
	select {
	case c.refreshes <- struct{}{}:
		defer func() { <-c.refreshes }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	c.mu.Lock()
	known := c.good
	c.mu.Unlock()
	old := c.merged(known)
	next, err := c.update(ctx, old)
	if err != nil {
		c.o.Logger.Warn("TUF refresh failed; keeping the last good target", "target", c.o.Target, "error", err)
	}
	if err == nil || old != nil && len(next.texts.chain()) > len(old.texts.chain()) {
		if failed := c.save(next); failed != nil {
			c.o.Logger.Warn("TUF metadata could not be kept; a restart forgets its versions", "file", c.o.File, "error", failed)
			err = errors.Join(err, failed)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good, c.asked, c.err = next, true, err
	return err
}

// merged is the newer of what the process and the file know: another process may have
// refreshed, or the file may have been rolled back, which is logged.
func (c *Client) merged(known *good) *good {
	held, err := c.load()
	switch {
	case err != nil:
		c.o.Logger.Warn("the kept TUF metadata is not used", "file", c.o.File, "error", err)
		return known
	case held == nil:
		return known
	case known == nil:
		return held
	}
	return c.newer(known, held)
}

// newer is the newer of what is known and what the file holds, under all roots of both.
func (c *Client) newer(known, held *good) *good {
	roots := known.texts.chain()
	if others := held.texts.chain(); len(others) > len(roots) {
		roots = others
	}
	known, held = c.under(roots, known), c.under(roots, held)
	switch fits := known.fits(); {
	case fits != held.fits():
		if !fits {
			return held
		}
	case held.olderThan(known):
		c.o.Logger.Warn("the kept TUF metadata was rolled back", "file", c.o.File)
	case known.olderThan(held):
		return held
	}
	return known
}

// Run refreshes until ctx ends: at once, unless Open or Refresh has. Otherwise, restarts
// would put refreshes off.
func (c *Client) Run(ctx context.Context) {
	c.mu.Lock()
	asked, failed := c.asked, c.err != nil
	c.mu.Unlock()
	for {
		wait := c.o.Interval
		switch {
		case !asked:
			wait = 0
		case failed:
			wait /= 12
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(float64(wait) * (0.9 + 0.2*rand.Float64()))):
		}
		asked, failed = true, c.Refresh(ctx) != nil
	}
}
