package gate

import (
	"context"
	"errors"
	"time"
)

// clock is Config.Now.
type clock func() time.Time

// term is how long something that was said holds. It has a beginning, too: what was
// said while the clock was ahead would hold for as long as it was.
type term struct{ from, until time.Time }

// term begins now.
func (c clock) term(d time.Duration) term {
	now := c()
	return term{now, now.Add(d)}
}

func (t term) holds(now time.Time) bool { return !now.Before(t.from) && now.Before(t.until) }

// patience is Config.JudgeFor: the time in which a request must be decided.
type patience time.Duration

// errLate says that a judgement has taken as long as it may.
var errLate = errors.New("it could not be judged within Config.JudgeFor")

// whole is a context for one judgement.
func (p patience) whole(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, time.Duration(p), errLate)
}

// asking is a context for asking an upstream. Where there is a last word, half of the
// time is left to judge by that.
func (p patience) asking(ctx context.Context, lastWord bool) (context.Context, context.CancelFunc) {
	if !lastWord {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, time.Duration(p)/2, errLate)
}
