package kinds

import (
	"maps"
	"slices"
)

// Telling are the names of the members by which kinds are told.
func Telling() []string { return slices.Collect(maps.Keys(telling)) }
