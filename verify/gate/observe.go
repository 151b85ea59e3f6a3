package gate

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/registry"
)

// Kinds of events.
const (
	// EventAllowed and EventDenied are decisions about manifests.
	EventAllowed = "allowed"
	EventDenied  = "denied"
	// EventRefused is any other answer that is an error.
	EventRefused = "refused"
	// EventMismatch is content of an upstream that was not what its digest says.
	EventMismatch = "mismatch"
)

// Event is something that the gate has decided or found. As JSON it is a line of
// the audit log.
type Event struct {
	Time time.Time `json:"time"`
	// Kind is one of the constants.
	Kind string `json:"event"`
	// Image is the repository with the tag or digest that was asked for. Empty: the
	// request names none that could be asked for.
	Image string `json:"image,omitempty"`
	// Request is then its method and path.
	Request string `json:"request,omitempty"`
	// Digest is that of the manifest or blob, once it is known.
	Digest string `json:"digest,omitempty"`
	// Rule is the pattern of the policy's rule that decided.
	Rule string `json:"rule,omitempty"`
	// Reason is a reason of package verify, or a word of this package; Message is
	// what the client was told.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Cause is what is behind an answer that is an error and no decision, in full: it may
	// name addresses, and no client is told.
	Cause string `json:"cause,omitempty"`
	// Warning is what a rule that only warns would have denied for.
	Warning string `json:"warning,omitempty"`
	// Client is the address of who asked, Agent its User-Agent header.
	Client string `json:"client,omitempty"`
	Agent  string `json:"agent,omitempty"`
	// Status is the HTTP status of the answer.
	Status int `json:"status,omitempty"`
	// Latency is the time until the decision.
	Latency time.Duration `json:"latencyNanoseconds,omitempty"`
	// Cached: the decision had been reached before.
	Cached bool `json:"cached,omitempty"`
}

// Download is a blob that was fetched from an upstream.
type Download struct {
	Image, Digest string
	Size          int64
	Err           error // nil: it was what its digest says
}

// Observer is told what happens, while it happens: it must be quick, and safe for
// concurrent use. Metrics and tracing hang on it.
type Observer interface {
	Event(ctx context.Context, e Event)
	Download(ctx context.Context, d Download)
}

// reporter tells the operator what happens: by the log, the audit log and the observer.
type reporter struct {
	now      clock
	logger   *slog.Logger
	observer Observer // nil: none

	mu    sync.Mutex
	audit io.Writer // nil: none
}

// event logs an event, writes it down and tells the observer.
func (r *reporter) event(ctx context.Context, e Event) {
	level := slog.LevelInfo
	switch {
	case e.Kind == EventAllowed && e.Cached:
		level = slog.LevelDebug
	case e.Kind != EventAllowed:
		level = slog.LevelWarn
	}
	if r.logger.Enabled(ctx, level) {
		r.logger.LogAttrs(ctx, level, e.Kind,
			slog.String("image", e.Image), slog.String("request", e.Request), slog.String("digest", e.Digest), slog.String("rule", e.Rule), slog.String("reason", e.Reason),
			slog.String("message", e.Message), slog.String("cause", e.Cause), slog.String("warning", e.Warning), slog.String("client", e.Client), slog.String("agent", e.Agent),
			slog.Int("status", e.Status), slog.Duration("latency", e.Latency), slog.Bool("cached", e.Cached))
	}
	if level != slog.LevelDebug {
		if err := r.write(e); err != nil {
			r.logger.ErrorContext(ctx, "audit log cannot be written", "error", err)
		}
	}
	if r.observer != nil {
		r.observer.Event(ctx, e)
	}
}

// write adds a line of JSON to the audit log.
func (r *reporter) write(e Event) error {
	if r.audit == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = r.audit.Write(append(line, '\n'))
	return err
}

// fetched tells of a download's end.
func (r *reporter) fetched(ctx context.Context, l *download, err error) {
	image := l.p.digest(l.digest).String()
	if r.observer != nil {
		r.observer.Download(ctx, Download{Image: image, Digest: l.digest, Size: l.size, Err: err})
	}
	if isMismatch(err) {
		r.event(ctx, Event{Time: r.now(), Kind: EventMismatch, Image: image, Digest: l.digest, Reason: "digest-mismatch", Message: registry.SafeText(err.Error(), maxMessage)})
	}
}

// survive calls what may call an embedder's code, in a goroutine of the gate's own.
func (r *reporter) survive(ctx context.Context, f func()) {
	err := panics.Caught(func() error { f(); return nil })
	if err == nil {
		return
	}
	// Where it is the logger that panics, there is no other way to tell.
	_ = panics.Caught(func() error { r.panicked(ctx, err); return nil })
}

// panicked keeps what only the operator is told.
func (r *reporter) panicked(ctx context.Context, err error) {
	var caught *panics.Error
	if errors.As(err, &caught) {
		r.logger.ErrorContext(ctx, "internal failure", "cause", caught.Cause, "stack", string(caught.Stack))
	}
}
