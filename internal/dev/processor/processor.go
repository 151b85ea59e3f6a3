// Package processor tells tests how long processors have worked. What a test bounds by
// that does not depend on what else the machine does.
package processor
