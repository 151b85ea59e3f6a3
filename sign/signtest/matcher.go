package signtest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// maxMutants bounds how many bytes of evidence are changed, one at a time.
const maxMutants = 200

// TestMatcher tests a policy.Matcher, in subtests. newMatcher returns a Matcher for one
// Identity, and good is evidence that it recognises. good is called for each use, and
// returns the same each time.
func TestMatcher(t *testing.T, newMatcher func(t *testing.T) policy.Matcher, good func(t *testing.T) policy.SignedEvidence) {
	for _, part := range []struct {
		name string
		run  func(c *matching)
	}{
		{"the ID is that of the settings", (*matching).testID},
		{"good evidence is recognised, the same each time", (*matching).testGood},
		{"another message is refused", (*matching).testOtherMessages},
		{"another signature is refused", (*matching).testOtherSignatures},
		{"what is left out is refused", (*matching).testMissing},
		{"changed evidence is never of another principal", (*matching).testMutants},
		{"the evidence is not changed", (*matching).testUnchanged},
		{"work is done once, and its refusal refuses", (*matching).testOnce},
		{"calls at the same time do not disturb each other", (*matching).testAtOnce},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(&matching{t, newMatcher, good}) })
	}
}

// matching is one subtest.
type matching struct {
	*testing.T
	newMatcher func(t *testing.T) policy.Matcher
	good       func(t *testing.T) policy.SignedEvidence
}

// evidence is a copy of the good one, which a test may change.
func (c *matching) evidence() policy.SignedEvidence {
	c.Helper()
	e := c.good(c.T)
	e.Content, e.Message, e.Annotations = bytes.Clone(e.Content), bytes.Clone(e.Message), maps.Clone(e.Annotations)
	e.Signatures = slices.Clone(e.Signatures)
	for i, s := range e.Signatures {
		e.Signatures[i] = bytes.Clone(s)
	}
	return e
}

// recognised is what a new Matcher makes of the good evidence.
func (c *matching) recognised() policy.Recognized {
	c.Helper()
	r, err := c.newMatcher(c.T).Signed(c.Context(), c.evidence())
	if err != nil {
		c.Fatalf("good evidence is refused: %v", err)
	}
	return r
}

// refused checks that evidence is not recognised.
func (c *matching) refused(what string, e policy.SignedEvidence) {
	c.Helper()
	if r, err := c.newMatcher(c.T).Signed(c.Context(), e); err == nil {
		c.Errorf("%s: recognised as %+v", what, r)
	}
}

func (c *matching) testID() {
	a, b := c.newMatcher(c.T).ID(), c.newMatcher(c.T).ID()
	if a == "" || a != b {
		c.Errorf("equal settings have the IDs %q and %q", a, b)
	}
}

func (c *matching) testGood() {
	first := c.recognised()
	if first.Principal == "" {
		c.Error("the principal is empty")
	}
	if !first.Until.IsZero() && first.Until.Before(first.SignedAt) {
		c.Errorf("signed at %s, recognised until %s", first.SignedAt, first.Until)
	}
	m := c.newMatcher(c.T)
	for range 2 {
		again, err := m.Signed(c.Context(), c.evidence())
		if err != nil || again.Principal != first.Principal || !again.SignedAt.Equal(first.SignedAt) || !again.Until.Equal(first.Until) || !maps.Equal(again.Claims, first.Claims) {
			c.Errorf("first %+v, then %+v, %v", first, again, err)
		}
	}
}

func (c *matching) testOtherMessages() {
	c.recognised()
	e := c.evidence()
	e.Message[len(e.Message)-1] ^= 1
	c.refused("one bit", e)
	e = c.evidence()
	e.Message = append(e.Message, ' ')
	c.refused("a byte more", e)
	e.Message = nil
	c.refused("none", e)
}

func (c *matching) testOtherSignatures() {
	c.recognised()
	e := c.evidence()
	for _, s := range e.Signatures {
		s[len(s)-1] ^= 1
	}
	c.refused("one bit", e)
	e.Signatures = [][]byte{{}}
	c.refused("an empty one", e)
}

func (c *matching) testMissing() {
	c.recognised()
	e := c.evidence()
	e.Content, e.Annotations = nil, nil
	c.refused("no content", e)
	c.refused("nothing", policy.SignedEvidence{Now: e.Now})
	e = c.evidence()
	e.Signatures = nil
	c.refused("no signatures", e)
}

// testMutants changes single bytes. Some mean nothing, such as blanks: what is still
// recognised must be the same principal's.
func (c *matching) testMutants() {
	good, m := c.recognised(), c.newMatcher(c.T)
	size := len(c.evidence().Content)
	for at := 0; at < size; at += max(size/maxMutants, 1) {
		e := c.evidence()
		e.Content[at] ^= 0x15
		if r, err := m.Signed(c.Context(), e); err == nil && r.Principal != good.Principal {
			c.Errorf("byte %d of the content changed: %+v instead of %+v", at, r, good)
		}
	}
	for name := range c.evidence().Annotations {
		e := c.evidence()
		e.Annotations[name] = "{}"
		if r, err := m.Signed(c.Context(), e); err == nil && r.Principal != good.Principal {
			c.Errorf("annotation %s changed: %+v instead of %+v", name, r, good)
		}
	}
}

func (c *matching) testUnchanged() {
	e, want := c.evidence(), c.evidence()
	if _, err := c.newMatcher(c.T).Signed(c.Context(), e); err != nil {
		c.Fatal(err)
	}
	if !bytes.Equal(e.Content, want.Content) || !bytes.Equal(e.Message, want.Message) || !maps.Equal(e.Annotations, want.Annotations) ||
		!slices.EqualFunc(e.Signatures, want.Signatures, bytes.Equal) {
		c.Error("the evidence is another afterwards")
	}
}

// testOnce asks with a Once that keeps what was done, and with one that does no work.
func (c *matching) testOnce() {
	want := c.recognised()
	kept := make(map[any]any)
	e := c.evidence()
	asked := 0
	e.Once = func(key any, effort int, work func() (any, error)) (any, error) {
		asked++
		if effort < 0 {
			c.Errorf("the effort is %d", effort)
		}
		if had, there := kept[key]; there {
			return had, nil
		}
		done, err := work()
		if err == nil {
			kept[key] = done
		}
		return done, err
	}
	for range 2 {
		if r, err := c.newMatcher(c.T).Signed(c.Context(), e); err != nil || r.Principal != want.Principal {
			c.Errorf("%+v, %v", r, err)
		}
	}
	spent := errors.New("too much was done already")
	e.Once = func(any, int, func() (any, error)) (any, error) { return nil, spent }
	if r, err := c.newMatcher(c.T).Signed(c.Context(), e); asked > 0 && !errors.Is(err, spent) {
		c.Errorf("work was refused: %+v, %v", r, err)
	}
}

func (c *matching) testAtOnce() {
	want, m := c.recognised(), c.newMatcher(c.T)
	var all sync.WaitGroup
	for range atOnce {
		e := c.evidence()
		all.Go(func() {
			if r, err := m.Signed(context.Background(), e); err != nil || r.Principal != want.Principal {
				c.Errorf("%+v, %v", r, err)
			}
		})
	}
	all.Wait()
}
