package verify

import (
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// problem is why something does not count.
type problem struct {
	reason Reason
	detail string
}

func problemf(reason Reason, format string, args ...any) *problem {
	return &problem{reason, fmt.Sprintf(format, args...)}
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
	now  time.Time
	skew time.Duration
	// image is what is judged.
	image name.Digest
	// builders maps builder IDs to SLSA build levels.
	builders map[string]int
	// excused are vulnerabilities that the role of vexBy calls harmless; nil: none.
	excused *excuses
	// signer is what an authority knows of the signature and its signer. Zero: a key signed.
	signer policy.Recognized
}
