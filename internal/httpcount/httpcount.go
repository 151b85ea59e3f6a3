// Package httpcount counts the HTTP requests that are sent for one operation.
package httpcount

import (
	"context"
	"sync/atomic"
)

// Counter is how many requests were sent.
type Counter struct {
	n     atomic.Int64
	outer *Counter
}

// Sent returns how many requests were sent so far.
func (c *Counter) Sent() int { return int(c.n.Load()) }

type counterKey struct{}

// Count returns a context that counts the requests sent with it. A counter of ctx counts
// them too.
func Count(ctx context.Context) (context.Context, *Counter) {
	outer, _ := ctx.Value(counterKey{}).(*Counter)
	c := &Counter{outer: outer}
	return context.WithValue(ctx, counterKey{}, c), c
}

// Add counts one request.
func Add(ctx context.Context) {
	for c, _ := ctx.Value(counterKey{}).(*Counter); c != nil; c = c.outer {
		c.n.Add(1)
	}
}
