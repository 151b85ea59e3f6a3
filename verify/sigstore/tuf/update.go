package tuf

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// Bounds; see the package documentation.
const (
	maxRoot      = 512_000
	maxTimestamp = 16_384
	maxSnapshot  = 2_000_000
	maxTargets   = 5_000_000
	maxNewRoots  = 64
	maxRoots     = 1024
)

// texts are metadata and the target as a repository serves them.
type texts struct {
	// Roots are those after the first by which the rest was verified.
	Roots [][]byte `json:"roots"`
	// Newer are the roots after those, by which the rest does not verify.
	Newer     [][]byte `json:"newer,omitempty"`
	Timestamp []byte   `json:"timestamp"`
	Snapshot  []byte   `json:"snapshot"`
	Targets   []byte   `json:"targets"`
	Content   []byte   `json:"content"`
}

// chain are all known roots after the first.
func (t texts) chain() [][]byte { return slices.Concat(t.Roots, t.Newer) }

// good is what has been verified.
type good struct {
	texts  texts
	target *Target
}

// olderThan reports whether a version is lower than what the other knows.
func (g *good) olderThan(other *good) bool {
	a, b := g.target, other.target
	return a.Timestamp < b.Timestamp || a.Snapshot < b.Snapshot || a.Targets < b.Targets
}

// fits reports whether it verifies by the newest known root.
func (g *good) fits() bool { return len(g.texts.Newer) == 0 }

// under is g with a chain of verified roots that is at least as long as its own.
func (c *Client) under(roots [][]byte, g *good) *good {
	if len(roots) == len(g.texts.chain()) {
		return g
	}
	lifted := g.texts
	lifted.Roots, lifted.Newer = roots, nil
	if verified, err := c.verify(lifted); err == nil {
		return verified
	}
	lifted.Roots, lifted.Newer = g.texts.Roots, roots[len(g.texts.Roots):]
	return &good{lifted, g.target}
}

// update is the workflow of TUF's section 5 for one target.
type update struct {
	c       *Client
	ctx     context.Context
	old     *good // without texts where nothing is known
	trusted *trustedmetadata.TrustedMetadata
	made    texts
}

// update returns what is good now. With an error that is what was, and new roots.
func (c *Client) update(ctx context.Context, old *good) (kept *good, err error) {
	kept = old
	defer recovered(&err)
	u := &update{c: c, ctx: ctx, old: old}
	if old == nil {
		u.old = &good{}
	}
	u.made.Roots = u.old.texts.chain()
	if u.trusted, err = c.rooted(u.made.Roots); err != nil {
		return kept, refused("root", err)
	}
	u.trusted.RefTime = c.o.Now().UTC()
	err = u.roots()
	if old != nil {
		kept = c.under(u.made.Roots, old)
	}
	if err != nil {
		return kept, err
	}
	for _, step := range []func() error{u.timestamp, u.snapshot, u.targets, u.content} {
		if err := step(); err != nil {
			return kept, err
		}
	}
	return &good{u.made, targetOf(u.trusted, u.made.Content)}, nil
}

// recovered turns a panic over malformed metadata into an error: go-tuf does not look
// whether each member is there.
func recovered(err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("%w: malformed metadata: %v", ErrRefused, cause)
	}
}

// rooted trusts the last of a chain of roots.
func (c *Client) rooted(roots [][]byte) (_ *trustedmetadata.TrustedMetadata, err error) {
	defer recovered(&err)
	trusted, err := trustedmetadata.New(c.o.Root)
	if err != nil {
		return nil, err
	}
	if len(roots) > maxRoots {
		return nil, fmt.Errorf("more than %d roots", maxRoots)
	}
	for _, text := range roots {
		if _, err := trusted.UpdateRoot(text); err != nil {
			return nil, err
		}
	}
	return trusted, nil
}

// verify verifies texts that were verified before, whatever the time.
func (c *Client) verify(t texts) (_ *good, err error) {
	defer recovered(&err)
	if _, err := c.rooted(t.chain()); err != nil {
		return nil, err
	}
	trusted, err := c.rooted(t.Roots)
	if err != nil {
		return nil, err
	}
	trusted.RefTime = time.Time{} // nothing has expired then
	if _, err := trusted.UpdateTimestamp(t.Timestamp); err != nil {
		return nil, err
	}
	if _, err := trusted.UpdateSnapshot(t.Snapshot, false); err != nil {
		return nil, err
	}
	if _, err := trusted.UpdateTargets(t.Targets); err != nil {
		return nil, err
	}
	info, err := c.listed(trusted)
	if err != nil {
		return nil, err
	}
	if err := info.VerifyLengthHashes(t.Content); err != nil {
		return nil, err
	}
	return &good{t, targetOf(trusted, t.Content)}, nil
}

func targetOf(t *trustedmetadata.TrustedMetadata, content []byte) *Target {
	targets := t.Targets[metadata.TARGETS].Signed
	all := []time.Time{t.Root.Signed.Expires, t.Timestamp.Signed.Expires, t.Snapshot.Signed.Expires, targets.Expires}
	return &Target{
		Content: content, Root: t.Root.Signed.Version, Timestamp: t.Timestamp.Signed.Version, Snapshot: t.Snapshot.Signed.Version,
		Targets: targets.Version, Expires: slices.MinFunc(all, time.Time.Compare),
	}
}

func refused(what string, err error) error { return fmt.Errorf("%w: %s: %w", ErrRefused, what, err) }

func (u *update) roots() error {
	for range maxNewRoots {
		name := fmt.Sprintf("%d.root.json", u.trusted.Root.Signed.Version+1)
		text, err := u.c.fetch(u.ctx, u.c.metadata, name, maxRoot)
		if errors.Is(err, errNotThere) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := u.trusted.UpdateRoot(text); err != nil {
			return refused(name, err)
		}
		if len(u.made.Roots) == maxRoots {
			return refused(name, fmt.Errorf("more than %d roots", maxRoots))
		}
		u.made.Roots = append(u.made.Roots, text)
	}
	return refused("root", fmt.Errorf("more than %d new roots at once", maxNewRoots))
}

func (u *update) timestamp() error {
	if u.old.texts.Timestamp != nil {
		// An older timestamp keeps versions from falling, if it has expired, too. It no
		// longer verifies after its keys were replaced, and then says nothing.
		_, _ = u.trusted.UpdateTimestamp(u.old.texts.Timestamp)
	}
	text, err := u.c.fetch(u.ctx, u.c.metadata, "timestamp.json", maxTimestamp)
	if err != nil {
		return err
	}
	u.made.Timestamp = text
	if _, err := u.trusted.UpdateTimestamp(text); errors.Is(err, &metadata.ErrEqualVersionNumber{}) {
		u.made.Timestamp = u.old.texts.Timestamp
	} else if err != nil {
		return refused("timestamp", err)
	}
	return nil
}

// numbered is the name of metadata in the repository.
func (u *update) numbered(role string, version int64) string {
	if u.trusted.Root.Signed.ConsistentSnapshot {
		return fmt.Sprintf("%d.%s.json", version, role)
	}
	return role + ".json"
}

func (u *update) snapshot() error {
	meta := u.trusted.Timestamp.Signed.Meta["snapshot.json"]
	if meta == nil {
		return refused("timestamp", errors.New("it names no snapshot"))
	}
	if old := u.old.texts.Snapshot; old != nil {
		_, err := u.trusted.UpdateSnapshot(old, true)
		if err == nil && meta.VerifyLengthHashes(old) == nil {
			u.made.Snapshot = old
			return nil
		}
	}
	text, err := u.c.fetch(u.ctx, u.c.metadata, u.numbered(metadata.SNAPSHOT, meta.Version), within(meta.Length, maxSnapshot))
	if err != nil {
		return err
	}
	if _, err := u.trusted.UpdateSnapshot(text, false); err != nil {
		return refused("snapshot", err)
	}
	u.made.Snapshot = text
	return nil
}

// within is how much may be read where metadata states a length; 0: it states none.
func within(length, most int64) int64 {
	if length > 0 && length < most {
		return length
	}
	return most
}

func (u *update) targets() error {
	meta := u.trusted.Snapshot.Signed.Meta["targets.json"]
	if meta == nil {
		return refused("snapshot", errors.New("it names no targets"))
	}
	if old := u.old.texts.Targets; old != nil {
		if _, err := u.trusted.UpdateTargets(old); err == nil {
			u.made.Targets = old
			return nil
		}
	}
	text, err := u.c.fetch(u.ctx, u.c.metadata, u.numbered(metadata.TARGETS, meta.Version), within(meta.Length, maxTargets))
	if err != nil {
		return err
	}
	if _, err := u.trusted.UpdateTargets(text); err != nil {
		return refused("targets", err)
	}
	u.made.Targets = text
	return nil
}

// listed is what the top-level targets role says about the target.
func (c *Client) listed(t *trustedmetadata.TrustedMetadata) (*metadata.TargetFiles, error) {
	info := t.Targets[metadata.TARGETS].Signed.Targets[c.o.Target]
	switch {
	case info == nil:
		return nil, fmt.Errorf("the repository lists no target %q", c.o.Target)
	case info.Length > c.o.MaxSize:
		return nil, fmt.Errorf("target %q has %d bytes, MaxSize allows %d", c.o.Target, info.Length, c.o.MaxSize)
	}
	return info, nil
}

func (u *update) content() error {
	info, err := u.c.listed(u.trusted)
	if err != nil {
		return refused("targets", err)
	}
	if old := u.old.texts.Content; old != nil && info.VerifyLengthHashes(old) == nil {
		u.made.Content = old
		return nil
	}
	name := u.c.o.Target
	if u.trusted.Root.Signed.ConsistentSnapshot {
		sum := info.Hashes["sha256"]
		if sum == nil {
			sum = info.Hashes["sha512"]
		}
		name = path.Join(path.Dir(name), hex.EncodeToString(sum)+"."+path.Base(name))
	}
	if u.made.Content, err = u.c.fetch(u.ctx, u.c.targets, name, info.Length); err != nil {
		return err
	}
	if err := info.VerifyLengthHashes(u.made.Content); err != nil {
		return refused(u.c.o.Target, err)
	}
	if err := u.c.o.Check(u.made.Content); err != nil {
		return refused(u.c.o.Target, err)
	}
	return nil
}
