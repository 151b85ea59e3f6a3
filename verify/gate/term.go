package gate

import "time"

// term is how long something that was said holds. It has a beginning, too: what was
// said while the clock was ahead would hold for as long as it was.
type term struct{ from, until time.Time }

// term begins now.
func (g *gate) term(d time.Duration) term {
	now := g.c.Now()
	return term{now, now.Add(d)}
}

func (t term) holds(now time.Time) bool { return !now.Before(t.from) && now.Before(t.until) }
