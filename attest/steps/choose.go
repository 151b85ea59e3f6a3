package steps

import (
	"context"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/wire/steplayout"
)

// maxTries bounds how many combinations of links are tried.
const maxTries = 1000

// search looks for one group of links per step with which the rules of all steps
// hold.
type search struct {
	groups [][]*group
	rules  []ruledStep
	// order is the order in which steps are chosen. ready[n] are the steps whose
	// rules can be applied after the choice for order[n].
	order []int
	ready [][]int

	choice  []*group
	chosen  map[string]in_toto.Metadata
	tries   int
	deepest int
	failure *Error
}

// choose returns the chosen group of each step and the image's name among the
// products, or a refusal. The error is the context's.
func (c *collection) choose(ctx context.Context, image v1.Hash, o VerifyOptions) ([]*group, string, *Error, error) {
	final := c.layout.indexOf(o.ImageStep)
	groups, refusal := c.met()
	if refusal == nil {
		refusal = c.making(groups, final, image, o.ImageProduct)
	}
	if refusal != nil {
		return nil, "", c.orTooMany(refusal), nil
	}
	s, refusal := newSearch(c.layout, groups, final, o.InsecureAllowUnmatched)
	if refusal != nil {
		return nil, "", refusal, nil
	}
	found, err := s.next(ctx, 0)
	switch {
	case err != nil:
		return nil, "", nil, err
	case !found:
		return nil, "", c.orTooMany(s.failure), nil
	}
	return s.choice, productOf(s.choice[final].link, image, o.ImageProduct), nil, nil
}

// making keeps those groups of the final step whose products hold the image.
func (c *collection) making(groups [][]*group, final int, image v1.Hash, product string) *Error {
	groups[final] = slices.DeleteFunc(groups[final], func(g *group) bool { return productOf(g.link, image, product) == "" })
	switch {
	case len(groups[final]) > 0:
		return nil
	case product == "":
		return refuse(ReasonImage, c.layout.Steps[final].Name, "no product has the sha256 of the image, %s", image.Hex)
	}
	return refuse(ReasonImage, c.layout.Steps[final].Name, "the product %s is not there or has not the sha256 of the image, %s", steplayout.Printable(product), image.Hex)
}

// orTooMany turns a refusal into ReasonTooMany if links were left unread, because
// an unread link could have satisfied the layout.
func (c *collection) orTooMany(refusal *Error) *Error {
	if c.unread == 0 {
		return refusal
	}
	return refuse(ReasonTooMany, refusal.Step, "%d links were not looked at, and without them: %s", c.unread, refusal.Detail)
}

// met returns the groups of each step that reach its threshold, or a refusal for
// the first step without one.
func (c *collection) met() ([][]*group, *Error) {
	groups := make([][]*group, len(c.groups))
	for i, s := range c.layout.Steps {
		most := 0
		for _, g := range c.groups[i] {
			most = max(most, len(g.keys))
			if len(g.keys) >= s.Threshold {
				groups[i] = append(groups[i], g)
			}
		}
		if len(groups[i]) == 0 {
			return nil, refuse(ReasonThreshold, s.Name, "%d functionaries have signed links that agree, want %d", most, s.Threshold)
		}
	}
	return groups, nil
}

// productOf returns the first name under which the link lists the image as a
// product, or "".
func productOf(l *Link, image v1.Hash, want string) string {
	for _, name := range slices.Sorted(maps.Keys(l.Products)) {
		if l.Products[name]["sha256"] == image.Hex && (want == "" || name == want) {
			return name
		}
	}
	return ""
}

func newSearch(l *Layout, groups [][]*group, final int, allowUnmatched bool) (*search, *Error) {
	s := &search{
		groups: groups, order: orderFrom(l, final), ready: make([][]int, len(l.Steps)),
		choice: make([]*group, len(l.Steps)), chosen: make(map[string]in_toto.Metadata), deepest: -1,
	}
	for i := range l.Steps {
		rules, err := newRuledStep(&l.Steps[i], allowUnmatched)
		if err != nil {
			return nil, refuse(ReasonLayoutUnsupported, l.Steps[i].Name, "%v", err)
		}
		s.rules = append(s.rules, rules)
		at := slices.Index(s.order, i)
		for _, name := range l.Steps[i].origins() {
			at = max(at, slices.Index(s.order, l.indexOf(name)))
		}
		s.ready[at] = append(s.ready[at], i)
	}
	return s, nil
}

// orderFrom lists the steps from the final one back along the origins of its
// artifacts, and then the others. The image leaves few groups for the final step,
// so most wrong combinations fail early.
func orderFrom(l *Layout, final int) []int {
	order := []int{final}
	for i := 0; i < len(order); i++ {
		for _, name := range l.Steps[order[i]].origins() {
			if at := l.indexOf(name); !slices.Contains(order, at) {
				order = append(order, at)
			}
		}
	}
	for i := range l.Steps {
		if at := len(l.Steps) - 1 - i; !slices.Contains(order, at) {
			order = append(order, at)
		}
	}
	return order
}

// next chooses groups for order[n] and all steps after it.
func (s *search) next(ctx context.Context, n int) (bool, error) {
	if n == len(s.order) {
		return true, nil
	}
	step := s.order[n]
	for _, g := range s.groups[step] {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if s.tries++; s.tries > maxTries+len(s.order) {
			if s.failure.Reason != ReasonTooMany {
				s.failure = refuse(ReasonTooMany, s.failure.Step, "after %d choices among the links: %s", maxTries, s.failure.Detail)
			}
			return false, nil
		}
		s.choice[step], s.chosen[s.rules[step].name] = g, g.rooted
		if refusal := s.apply(n); refusal != nil {
			if n > s.deepest {
				s.deepest, s.failure = n, refusal
			}
			continue
		}
		if found, err := s.next(ctx, n+1); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (s *search) apply(n int) *Error {
	for _, step := range s.ready[n] {
		if refusal := s.rules[step].apply(s.chosen); refusal != nil {
			return refusal
		}
	}
	return nil
}
