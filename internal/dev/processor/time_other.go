//go:build !unix

package processor

import "time"

// Time is the time of day: this system does not tell how long processors have worked.
func Time() time.Duration { return time.Duration(time.Now().UnixNano()) }
