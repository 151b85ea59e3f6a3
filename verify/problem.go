package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// problem is why something does not count.
type problem struct {
	reason Reason
	detail string
	// found is what a condition has found in place of wanted. Nil wanted: detail says all.
	found  string
	wanted []string
}

func problemf(reason Reason, format string, args ...any) *problem {
	return &problem{reason: reason, detail: fmt.Sprintf(format, args...)}
}

// Bounds of what a denial shows of a comparison: the bytes of a value, and values.
const (
	maxFound  = 200
	maxWanted = 10
)

// compared returns the problem with what was found and wanted, shortened.
func (p *problem) compared(found string, wanted ...string) *problem {
	p.found = registry.SafeText(found, maxFound)
	for _, w := range wanted[:min(len(wanted), maxWanted)] {
		p.wanted = append(p.wanted, registry.SafeText(w, maxFound))
	}
	return p
}

// statement is what a trusted key said about the image. Its signature and subject were
// verified.
type statement struct {
	predicateType string
	// predicate is the exact text that was signed.
	predicate []byte
}

// tellsMoreThan chooses which problem is told if several statements fail a requirement. A
// problem of a current, well-formed statement goes before one of form or age. The order in
// which statements were found does not matter.
func (p *problem) tellsMoreThan(o *problem) bool {
	if a, b := p.isAboutForm(), o.isAboutForm(); a != b {
		return b
	}
	return p.reason < o.reason || p.reason == o.reason && p.detail < o.detail
}

func (p *problem) isAboutForm() bool {
	switch p.reason {
	case ReasonPredicate, ReasonStale, ReasonFuture, ReasonUnreadScan:
		return true
	}
	return false
}

// circumstances are what a decision is made in.
type circumstances struct {
	// ctx bounds the work of expressions. Once it has ended, nothing is decided.
	ctx  context.Context
	now  time.Time
	skew time.Duration
	// image is what is judged.
	image name.Digest
	// builders maps builder IDs to SLSA build levels.
	builders map[string]int
	// excused are vulnerabilities that the role of vexBy calls harmless.
	excused map[string]bool
	// signer is what an authority knows of the signature and its signer. Zero: a key signed.
	signer policy.Recognized
}
