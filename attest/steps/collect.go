package steps

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

// SignedLinks returns those of links that a functionary of the layout, of whatever
// step, has signed, and how many checks of a signature by a key that took: 32 KiB
// that are hashed for one count as another. It makes at most so many; where more are
// needed, the error is an *Error with ReasonTooMany. Nothing else is checked of the links, and nothing but its form of
// the layout, so that nothing follows from it: it spares Verify what anybody can
// add. A layout that cannot be read is an *Error, a context that has ended its
// error.
func SignedLinks(ctx context.Context, layout []byte, links [][]byte, most int) (signed [][]byte, checks int, err error) {
	_, e, err := steplayout.Open(layout)
	if err != nil {
		return nil, 0, refuse(ReasonLayoutMalformed, "", "%v", err)
	}
	l, refusal := parseLayout(e.Payload)
	if refusal != nil {
		return nil, 0, refusal
	}
	c, err := newCollection(l, most)
	if err != nil {
		return nil, 0, err
	}
	for _, text := range links {
		if err := ctx.Err(); err != nil {
			return nil, most - c.checks, err
		}
		_, e, err := steplayout.Open(text)
		if err != nil {
			continue
		}
		by, err := c.signers(ctx, e)
		if err != nil {
			return nil, most - c.checks, err
		}
		if len(by) > 0 {
			signed = append(signed, text)
		} else if c.checks == 0 {
			return nil, most, refuse(ReasonTooMany, "", "more than %d checks of signatures", most)
		}
	}
	return signed, most - c.checks, nil
}

// maxChecks bounds how often a signature is checked with a key; see SignedLinks.
const maxChecks = 10_000

// group are the links of one step that say the same.
type group struct {
	link   *Link
	rooted in_toto.Metadata
	keys   map[string]bool // functionaries of the step who have signed, by ID
	links  []int
}

// collection are the links of a layout's steps.
type collection struct {
	layout *Layout
	// may are the functionaries of each step by ID, keys those of any, each once.
	may  []map[string]*sigkey.Key
	keys []*sigkey.Key
	// groups are those of each step, in the order of their first links, and
	// content finds them.
	groups  [][]*group
	content map[[sha256.Size]byte]*group
	ignored []IgnoredLink
	checks  int // how many are left
	unread  int
}

// collect looks at each link and sorts those that may count by what they say.
func collect(ctx context.Context, l *Layout, links [][]byte, o VerifyOptions) (*collection, error) {
	c, err := newCollection(l, maxChecks)
	if err != nil {
		return nil, err
	}
	for i, text := range links {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if i < o.MaxLinks && int64(len(text)) > o.MaxLinkBytes {
			c.ignore(i, "", LinkTooLarge, "")
			continue
		}
		more := i < o.MaxLinks
		if more {
			if more, err = c.look(ctx, i, text); err != nil {
				return nil, err
			}
		}
		if !more {
			c.unread = len(links) - i
			c.ignore(i, "", LinkUnread, fmt.Sprintf("this one and all after it, %d links", c.unread))
			break
		}
	}
	return c, nil
}

func newCollection(l *Layout, checks int) (*collection, error) {
	c := &collection{
		layout: l, groups: make([][]*group, len(l.Steps)),
		content: make(map[[sha256.Size]byte]*group), checks: checks,
	}
	everyone := make(map[string]*sigkey.Key)
	for _, s := range l.Steps {
		keys, err := distinct(s.Functionaries)
		if err != nil {
			return nil, err
		}
		c.may = append(c.may, keys)
		maps.Copy(everyone, keys)
	}
	for _, id := range slices.Sorted(maps.Keys(everyone)) {
		c.keys = append(c.keys, everyone[id])
	}
	return c, nil
}

func (c *collection) ignore(index int, step string, reason LinkReason, detail string) {
	c.ignored = append(c.ignored, IgnoredLink{Index: index, Step: step, Reason: reason, Detail: detail})
}

// look sorts one link in, or records why not. Only bytes with a functionary's
// signature are parsed. It returns false where it may check no more signatures. An
// error says that the context has ended.
func (c *collection) look(ctx context.Context, index int, text []byte) (more bool, err error) {
	_, e, err := steplayout.Open(text)
	if err != nil {
		c.ignore(index, "", LinkMalformed, steplayout.Printable(err.Error()))
		return true, nil
	}
	signed, err := c.signers(ctx, e)
	if err != nil || c.checks == 0 {
		return false, err
	}
	if len(signed) == 0 {
		c.ignore(index, "", LinkUnsigned, "")
		return true, nil
	}
	if steplayout.Is(e.Payload) {
		c.ignore(index, "", LinkSublayout, "")
		return true, nil
	}
	l, err := decodeLink(e.Payload)
	if err != nil {
		c.ignore(index, "", LinkMalformed, steplayout.Printable(err.Error()))
		return true, nil
	}
	c.add(index, l, signed)
	return true, nil
}

// signers are the functionaries, of whatever step, who have signed an envelope.
// A signature is of one key at most, and a key counts once. An error says that the
// context has ended; it is looked at before each check.
func (c *collection) signers(ctx context.Context, e *dsse.Envelope) (found []string, err error) {
	m := &sigkey.Message{Bytes: e.PAE()}
	for _, sig := range e.Signatures {
		for _, key := range c.keys {
			if slices.Contains(found, key.ID()) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			toll := key.Toll(m, [][]byte{sig})
			if toll > c.checks {
				c.checks = 0
			}
			if c.checks == 0 {
				return found, nil
			}
			c.checks -= toll
			if key.Verify(m, sig) == nil {
				found = append(found, key.ID())
				break
			}
		}
	}
	return found, nil
}

// add sorts in a link that was signed by functionaries, if they may perform the
// step that it is about.
func (c *collection) add(index int, l *Link, signed []string) {
	step := c.layout.indexOf(l.Name)
	if step < 0 {
		c.ignore(index, l.Name, LinkUnknownStep, "")
		return
	}
	signed = slices.DeleteFunc(signed, func(id string) bool { return c.may[step][id] == nil })
	if len(signed) == 0 {
		c.ignore(index, l.Name, LinkUnauthorized, "")
		return
	}
	content := fingerprint(l)
	g := c.content[content]
	if g == nil {
		g = &group{link: l, rooted: rooted(l), keys: make(map[string]bool)}
		c.content[content] = g
		c.groups[step] = append(c.groups[step], g)
	}
	for _, id := range signed {
		g.keys[id] = true
	}
	g.links = append(g.links, index)
}

// fingerprint is equal for links of one step with the same artifacts.
func fingerprint(l *Link) [sha256.Size]byte {
	text, err := json.Marshal([]any{l.Name, l.Materials, l.Products})
	if err != nil {
		panic(err) // strings and maps of strings
	}
	return sha256.Sum256(text)
}

// results says what each step is met by.
func (c *collection) results(choice []*group) []StepResult {
	var all []StepResult
	for i, g := range choice {
		s := c.layout.Steps[i]
		all = append(all, StepResult{
			Name: s.Name, Threshold: s.Threshold, Keys: slices.Sorted(maps.Keys(g.keys)), Links: g.links,
			Materials: g.link.Materials, Products: g.link.Products,
			Command: g.link.Command, CommandDiffers: len(s.Command) > 0 && !slices.Equal(s.Command, g.link.Command),
		})
	}
	return all
}

// ignoredBut lists the links that did not count where those of a choice did.
func (c *collection) ignoredBut(choice []*group) []IgnoredLink {
	all := slices.Clone(c.ignored)
	for _, groups := range c.groups {
		for _, g := range groups {
			if slices.Contains(choice, g) {
				continue
			}
			for _, i := range g.links {
				all = append(all, IgnoredLink{Index: i, Step: g.link.Name, Reason: LinkNotUsed})
			}
		}
	}
	slices.SortFunc(all, func(a, b IgnoredLink) int { return a.Index - b.Index })
	return all
}
