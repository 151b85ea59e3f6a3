package provenance

import "errors"

// ErrConflict says that two sources of facts contradict each other.
var ErrConflict = errors.New("sources contradict each other")
