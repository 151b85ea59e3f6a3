//go:build !unix

package work

import "time"

// What this system does not tell in the same way is not measured.
func processorTime() time.Duration { return 0 }

func resetPeak() {}

func peak() int64 { return 0 }
