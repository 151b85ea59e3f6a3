// Package budget bounds the memory and processor time that a process spends on what
// clients make it read, for all clients together.
//
// A budget travels in a context. Without one, nothing is bounded and nothing waits, so
// library code asks for it everywhere.
//
// A budget has four amounts. A holder of one may wait only for those after it in this
// list, so holders never wait in a circle.
//
//   - Large: judgements that hold large lists or manifests while they wait for others.
//   - Payload: large payloads of evidence, until they were looked at.
//   - Message: large answers, while they are read.
//   - Parse and Work: what is parsed, and use of a processor. A holder of these waits for
//     nothing and asks no network.
package budget

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/fair"
)

// Free is up to what size anything is read without a budget: most is smaller, and waits
// for no other.
const Free = 16 << 10

// The amounts of a budget, which together with what is kept and what each client costs
// hold a gate's memory within its bounds.
const (
	maxLarge    = 2
	maxPayloads = 40 << 20
	maxAhead    = 8 << 20
	maxMessages = 16 << 20
	maxParsing  = 24 << 20
)

// Budget is what a process spends at most.
type Budget struct {
	// own is what one upstream may have of large; nil: all.
	own *fair.Pool

	large, payloads, ahead, messages, parsing, work *fair.Pool
}

// New makes a budget. One processor is left to those who only want what is there
// already.
func New() *Budget {
	return &Budget{
		large: fair.NewPool(maxLarge), payloads: fair.NewPool(maxPayloads), ahead: fair.NewPool(maxAhead), messages: fair.NewPool(maxMessages),
		parsing: fair.NewPool(maxParsing), work: fair.NewPool(int64(max(1, runtime.GOMAXPROCS(0)-1))),
	}
}

type key struct{}

// spending is what a context carries.
type spending struct {
	of      *Budget
	session *session
	scope   *scope
	// small: what is larger than Free is not waited for.
	small bool
}

func of(ctx context.Context) spending {
	s, _ := ctx.Value(key{}).(spending)
	return s
}

func with(ctx context.Context, s spending) context.Context { return context.WithValue(ctx, key{}, s) }

// With makes what is done with a context part of a budget.
func With(ctx context.Context, b *Budget) context.Context { return with(ctx, spending{of: b}) }

// In reports whether a context has a budget.
func In(ctx context.Context) bool { return of(ctx).of != nil }

// none gives nothing back.
func none() {}

// session is a judgement, or the reading of a list, which becomes large once.
type session struct {
	turn  chan struct{} // taken while it becomes large
	leave func()        // nil: it is not large
	ended bool
}

// Session begins what may become large. end gives back what that has taken; it must be
// called once nothing more is done with the context.
func Session(ctx context.Context) (own context.Context, end func()) {
	s := of(ctx)
	if s.of == nil {
		return ctx, none
	}
	s.session, s.scope = &session{turn: make(chan struct{}, 1)}, nil
	return with(ctx, s), func() {
		s.session.turn <- struct{}{}
		defer func() { <-s.session.turn }()
		s.session.ended = true
		if s.session.leave != nil {
			s.session.leave()
			s.session.leave = nil
		}
	}
}

// Large waits until the session may hold large things while it waits for others.
// Outside of a session it does nothing.
func Large(ctx context.Context) error {
	s := of(ctx)
	if s.session == nil {
		return nil
	}
	select {
	case s.session.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.session.turn }()
	switch {
	case s.session.ended:
		return context.Canceled // who shares the work of another that has given up asks again
	case s.session.leave != nil:
		return nil
	}
	leave, err := s.of.takeLarge(ctx)
	if err == nil {
		s.session.leave = leave
	}
	return err
}

func (b *Budget) takeLarge(ctx context.Context) (func(), error) {
	if b.own == nil {
		return b.large.Take(ctx, 1)
	}
	back, err := b.own.Take(ctx, 1)
	if err != nil {
		return nil, err
	}
	leave, err := b.large.Take(ctx, 1)
	if err != nil {
		back()
		return nil, err
	}
	return func() { leave(); back() }, nil
}

// Own is the same budget for one of several upstreams. A slow upstream has at most half
// of what judgements may hold while they wait.
func (b *Budget) Own() *Budget {
	own := *b
	own.own = fair.NewPool(maxLarge / 2)
	return &own
}

// Payload waits for room for a payload and what is decoded of it. It must be given back
// once that was looked at.
func Payload(ctx context.Context, size int64) (leave func(), err error) {
	s := of(ctx)
	if s.of == nil || size <= Free {
		return none, nil
	}
	return s.of.payloads.Take(ctx, size+size/4*3)
}

// Ahead takes room for a payload before its turn, if there is some.
func Ahead(ctx context.Context, size int64) (leave func(), ok bool) {
	s := of(ctx)
	if s.of == nil {
		return none, true
	}
	leave, err := s.of.ahead.Try(ctx, size+size/4*3)
	return leave, err == nil
}

// Time is how long reading so many bytes may take that others wait for.
func Time(size int64) time.Duration { return 5*time.Second + time.Duration(size)*time.Second/(1<<20) }

// ErrLater says that something is too large to be read before its turn.
var ErrLater = errors.New("too large to be read ahead")

// Small makes a context whose messages larger than Free are ErrLater.
func Small(ctx context.Context) context.Context {
	s := of(ctx)
	if s.of == nil {
		return ctx
	}
	s.small = true
	return with(ctx, s)
}

// TooLarge reports whether what was read is larger than a context of Small takes.
func TooLarge(ctx context.Context, size int64) bool { return of(ctx).small && size > Free }

// scope keeps what a message took for longer than it was read.
type scope struct {
	mu    sync.Mutex
	leave []func()
}

// Scope keeps the room for the message that is read with a context until end: while it
// is made into something else. Nothing that takes time may be done within it but the
// reading of one message.
func Scope(ctx context.Context) (own context.Context, end func()) {
	s := of(ctx)
	if s.of == nil {
		return ctx, none
	}
	s.scope = new(scope)
	return with(ctx, s), func() {
		s.scope.mu.Lock()
		defer s.scope.mu.Unlock()
		for _, leave := range s.scope.leave {
			leave()
		}
		s.scope.leave = nil
	}
}

// Message waits for room for an answer that is larger than Free. read must be called
// when it was read, with whether that succeeded.
func Message(ctx context.Context, size int64) (read func(ok bool), err error) {
	s := of(ctx)
	switch {
	case s.of == nil:
		return func(bool) {}, nil
	case s.small:
		return nil, ErrLater
	}
	leave, err := s.of.messages.Take(ctx, size)
	if err != nil {
		return nil, err
	}
	return func(ok bool) {
		if s.scope == nil || !ok {
			leave()
			return
		}
		s.scope.mu.Lock()
		defer s.scope.mu.Unlock()
		s.scope.leave = append(s.scope.leave, leave)
	}, nil
}

// Parse waits until JSON may be parsed. leave must be called when that is done.
func Parse(ctx context.Context, text []byte) (leave func(), err error) {
	s := of(ctx)
	if s.of == nil {
		return none, nil
	}
	room := none
	if len(text) > Free {
		if room, err = s.of.parsing.Take(ctx, CostOfParsing(text)); err != nil {
			return nil, err
		}
	}
	place, err := s.of.work.Take(ctx, 1)
	if err != nil {
		room()
		return nil, err
	}
	return func() { place(); room() }, nil
}

// valueCost is what a parser keeps of one value or name, and what is made of it; strings
// are there twice.
const valueCost = 64

// CostOfParsing is about what parsing a text costs in memory. A text holds no more values
// and names than signs that stand before one.
func CostOfParsing(text []byte) int64 {
	values := 1
	for _, sign := range []string{",", ":", "[", "{"} {
		values += bytes.Count(text, []byte(sign))
	}
	return int64(len(text) + valueCost*values)
}

// Work waits for a processor, for a piece of work that takes at most some milliseconds.
func Work(ctx context.Context) (leave func(), err error) {
	s := of(ctx)
	if s.of == nil {
		return none, nil
	}
	place, err := s.of.work.Take(ctx, 1)
	if err != nil {
		return nil, err
	}
	return func() {
		place()
		runtime.Gosched() // who has waited goes first
	}, nil
}

// Messages is how much of the budget for large answers is taken.
func (b *Budget) Messages() int64 { return b.messages.Used() }
