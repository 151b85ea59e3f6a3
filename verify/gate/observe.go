package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// Kinds of events.
const (
	// EventAllowed and EventDenied are decisions about manifests.
	EventAllowed = "allowed"
	EventDenied  = "denied"
	// EventWouldDeny is content that passes although it is denied: Config.InsecureAuditOnly is
	// set. The report is that of the denial.
	EventWouldDeny = "would-deny"
	// EventRefused is any other response that is an error.
	EventRefused = "refused"
	// EventMismatch is content of an upstream that does not have its digest.
	EventMismatch = "mismatch"
)

// Event is a decision, a refusal or a mismatch. As JSON it is a line of the audit log,
// which verify.ResultSchema describes.
type Event struct {
	Time time.Time `json:"time"`
	// Kind is one of the constants.
	Kind string `json:"event"`
	// Report is the decision. Without a decision, Status is undecided and Reason is a word
	// of this package. Causes are then the whole errors, which may name internal addresses
	// and are not sent to clients. What passes because of another manifest, as evidence or
	// in an index, has the status of that one. Keys, Requirements, Statements, Evidence,
	// DeniedChildren and Index are left out: the digest can be verified again.
	verify.Report
	// Request is the request and its response. Zero: the event is about no single request.
	Request verify.Request `json:"request,omitzero"`
}

// Download is a blob that was fetched from an upstream.
type Download struct {
	Image, Digest string
	Size          int64
	Err           error // nil: it has its digest
}

// Observer is called while a request is served. Its methods must be quick and safe for
// concurrent use. Metrics and tracing implement it.
type Observer interface {
	Event(ctx context.Context, e Event)
	Download(ctx context.Context, d Download)
}

// reporter tells the operator what happens, by log, audit log and observer.
type reporter struct {
	now      clock
	logger   *slog.Logger
	observer Observer // nil: none

	mu    sync.Mutex
	audit io.Writer // nil: none
}

// event logs an event, writes its line and calls the observer.
func (r *reporter) event(ctx context.Context, e Event) {
	level := slog.LevelInfo
	switch {
	case e.Kind == EventAllowed && e.Request.Cached:
		level = slog.LevelDebug
	case e.Kind != EventAllowed || endSoon(e):
		level = slog.LevelWarn
	}
	if r.logger.Enabled(ctx, level) {
		r.logger.LogAttrs(ctx, level, e.Kind,
			slog.String("image", e.Image), slog.String("status", string(e.Status)), slog.String("digest", e.Digest), slog.String("policy", e.Policy), slog.String("rule", e.Rule), slog.String("team", e.Team),
			slog.String("reason", string(e.Reason)), slog.String("detail", e.Detail), slog.String("causes", strings.Join(e.Causes, "; ")), exemptionsAttr(e.Exemptions), requestAttr(e.Request))
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

// endSoon reports whether an exemption that a decision rests on is in its last week.
func endSoon(e Event) bool {
	return slices.ContainsFunc(e.Exemptions, func(x verify.Exempted) bool { return x.EndsSoon(e.Time) })
}

// exemptionsAttr is empty, and left out, if there are no exemptions.
func exemptionsAttr(all []verify.Exempted) slog.Attr {
	if len(all) == 0 {
		return slog.Attr{}
	}
	said := make([]string, 0, len(all))
	for _, x := range all {
		said = append(said, fmt.Sprintf("%s until %s by %s: %s", x.Name, x.Until.UTC().Format(time.RFC3339), x.By, x.Reason))
	}
	return slog.Any("exemptions", said)
}

func requestAttr(r verify.Request) slog.Attr {
	return slog.Group("request",
		slog.String("method", r.Method), slog.String("path", r.Path), slog.String("client", r.Client), slog.String("agent", r.Agent),
		slog.Int("status", r.Status), slog.Duration("latency", r.Latency), slog.Bool("cached", r.Cached), slog.String("message", r.Message))
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

// fetched reports the end of a download.
func (r *reporter) fetched(ctx context.Context, l *download, err error) {
	image := l.p.digest(l.digest).String()
	if r.observer != nil {
		r.observer.Download(ctx, Download{Image: image, Digest: l.digest, Size: l.size, Err: err})
	}
	if isMismatch(err) {
		r.event(ctx, Event{Time: r.now(), Kind: EventMismatch, Report: mismatched(image, image, err)})
	}
}

// mismatched reports content that does not have its digest.
func mismatched(image, digest string, err error) verify.Report {
	said := registry.SafeText(err.Error(), maxMessage)
	return verify.Report{Image: image, Status: verify.StatusUndecided, Digest: digest, Reason: "digest-mismatch", Detail: said, Causes: []string{said}}
}

// survive calls an embedder's code in a goroutine of the gate.
func (r *reporter) survive(ctx context.Context, f func()) {
	err := panics.Caught(func() error { f(); return nil })
	if err == nil {
		return
	}
	// If the logger panics, no other way to report exists.
	_ = panics.Caught(func() error { r.panicked(ctx, err); return nil })
}

// panicked logs a panic, whose text only the operator may see.
func (r *reporter) panicked(ctx context.Context, err error) {
	var caught *panics.Error
	if errors.As(err, &caught) {
		r.logger.ErrorContext(ctx, "internal failure", "cause", caught.Cause, "stack", string(caught.Stack))
	}
}
