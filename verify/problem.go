package verify

import (
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// problem is why something does not count.
type problem struct {
	reason Reason
	detail string
}

func problemf(reason Reason, format string, args ...any) *problem {
	return &problem{reason, fmt.Sprintf(format, args...)}
}

// statement is what a trusted key has said about the image: its signature and
// subject have been verified.
type statement struct {
	predicateType string
	// predicate is the exact text that was signed.
	predicate []byte
}

// circumstances are what a decision is made in.
type circumstances struct {
	now  time.Time
	skew time.Duration
	// image is what is judged.
	image name.Digest
	// builders maps builder IDs to SLSA build levels.
	builders map[string]int
	// vex are verified OpenVEX predicates about the image, by the role that the
	// requirement names in vexBy.
	vex [][]byte
}
