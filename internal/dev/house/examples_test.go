package house_test

import (
	"fmt"
	"go/doc"
	"strings"
	"testing"
)

// leastExamples is how many examples the core packages have together.
const leastExamples = 25

// A reader copies an example first and reads afterwards.
func TestCorePackagesHaveRunningExamples(t *testing.T) {
	counts := make(map[string]int)
	for _, s := range sources(t) {
		if !s.isTest() || !strings.HasSuffix(s.file.Name.Name, "_test") {
			continue
		}
		for _, example := range doc.Examples(s.file) {
			if example.Output != "" {
				counts[s.dir]++
			}
		}
	}
	total, missing := 0, make(map[string]int)
	for _, row := range floors {
		if !row.core && row.packages != "registry/registrytest" || !isThere(t, row.packages) {
			continue
		}
		if counts[row.packages] == 0 {
			missing[row.packages] = 1
		}
		total += counts[row.packages]
	}
	fmt.Printf("documents: %d examples with checked output in the core packages (at least %d)\n", total, leastExamples)
	withinBudget(t, "packages without an example", 0, missing, "show its use in a function Example whose output is checked")
	withinBudget(t, "missing examples", 0, map[string]int{"the core": max(0, leastExamples-total)}, "show more uses of core packages")
}
