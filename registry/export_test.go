package registry

import "github.com/hallmark-oci/hallmark/internal/wire/evidence"

// Confirm is what Attach does last, for tests that change what is there in between.
var Confirm = confirm

// Bounds of what Attach repeats.
const (
	MaxInlineBytes = evidence.MaxInlineBytes
	MaxListedBytes = maxListedBytes
)
