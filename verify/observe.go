package verify

import (
	"context"
	"errors"
	"time"

	"github.com/hallmark-oci/hallmark/internal/panics"
)

// Judgement is what Options.Observe is told of a call of Image, Images, Bundles, Blob or
// BlobDigest, for metrics. It names no image: its texts are few, and can be labels.
type Judgement struct {
	// File says that a file was judged, and not an image.
	File bool
	// Status is the decision. StatusUndecided: there is none.
	Status Status
	// Reason is why it was denied, or why the rule warns. Empty: it was not, or no decision
	// was reached.
	Reason Reason
	// Rule is the pattern of the policy that decided. Empty: no rule did, or a file was
	// judged.
	Rule string
	// Cached says that Options.Cache had the decision.
	Cached bool
	// Duration is how long the caller waited.
	Duration time.Duration
	// Requests is how many HTTP requests were sent for the caller; see Result.Requests.
	Requests int
}

// observed is a judgement of an image.
func observed(result *Result, err error) Judgement {
	if err == nil {
		j := Judgement{Status: result.status(), Rule: result.Rule, Requests: result.Requests}
		if result.Warning != nil {
			j.Reason = result.Warning.Reason
		}
		return j
	}
	return refused(err)
}

func refused(err error) Judgement {
	var denial *Error
	var undecided *UndecidedError
	switch {
	case errors.As(err, &denial):
		return Judgement{Status: StatusDenied, Reason: denial.Reason, Rule: denial.Rule, Requests: denial.Requests}
	case errors.As(err, &undecided):
		return Judgement{Status: StatusUndecided, Requests: undecided.Requests}
	}
	return Judgement{Status: StatusUndecided}
}

// observedBlob is a judgement of a file.
func observedBlob(err error) Judgement {
	j := Judgement{Status: StatusVerified}
	if err != nil {
		j = refused(err)
	}
	j.File, j.Rule = true, ""
	return j
}

// tell calls Options.Observe, whose panic must not change the decision.
func (o *Options) tell(ctx context.Context, began time.Time, j Judgement) {
	if o.Observe == nil {
		return
	}
	j.Duration = time.Since(began)
	_ = panics.Caught(func() error { o.Observe(ctx, j); return nil }) // an observer has no say
}
