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

// SignedLinks returns the links that a functionary of any step of the layout has
// signed. It filters out, before Verify, what an attacker without a key attached.
// A link that is returned proves nothing: the layout's signatures, the step of the
// link and the link's content are not checked.
//
// checks is the cost: one for each check of a signature by a key, and one more
// for each 32 KiB that the check hashes. It is at most the parameter most.
//
// Errors are an *Error with ReasonTooMany if most does not suffice, another *Error
// for a layout that cannot be read, and the context's error.
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

// maxChecks bounds the checks of a verification; see SignedLinks.
const maxChecks = 10_000

// group holds the links of one step with the same materials and products.
type group struct {
	link   *Link
	rooted in_toto.Metadata
	keys   map[string]bool // key IDs of the step's functionaries who signed
	links  []int
}

// collection holds the links of a layout's steps.
type collection struct {
	layout *Layout
	// may holds the functionaries of each step by key ID. keys holds those of all
	// steps, each once.
	may  []map[string]*sigkey.Key
	keys []*sigkey.Key
	// groups holds the groups of each step in the order of their first links.
	// content finds a group by its fingerprint.
	groups  [][]*group
	content map[[sha256.Size]byte]*group
	ignored []IgnoredLink
	checks  int // left of maxChecks
	unread  int
}

// collect examines each link and groups those that may count.
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

// look adds one link to its group, or records why the link does not count. It
// parses a payload only after a functionary's signature has verified. more is
// false once the checks are used up. The error is the context's.
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

// signers returns the key IDs of the functionaries of any step who signed an
// envelope. A signature counts for one key, and a key counts once. The error is
// the context's, which is examined before each check.
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

// add adds a signed link to its group if one of its signers may perform the
// link's step.
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

// fingerprint returns the same value for links of one step with the same artifacts.
func fingerprint(l *Link) [sha256.Size]byte {
	text, err := json.Marshal([]any{l.Name, l.Materials, l.Products})
	if err != nil {
		panic(err) // strings and maps of strings
	}
	return sha256.Sum256(text)
}

// results returns which links satisfied each step.
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

// ignoredBut lists the links that did not count besides those of a choice.
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
