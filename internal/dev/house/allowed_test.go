package house_test

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowedFile holds, by rule and place, how much of something there may be.
const allowedFile = "allowed.txt"

var update = flag.Bool("update", false, "write the lists in this directory as the project is now")

const allowedHead = `# What the house tests allow for now: rule, place, how many. Numbers only go down: a
# change that needs a higher one says why in its commit message.
#
#	go test ./internal/dev/house -update
#
# writes the numbers as they are. "exported", "methods" (over 20) and "start" are
# budgets, which need not be used up; the others are exceptions, and may only shrink.
`

// allowance is one line of allowedFile.
type allowance struct{ rule, place string }

func readAllowances(t *testing.T) map[allowance]int {
	t.Helper()
	text, err := os.ReadFile(allowedFile)
	if err != nil {
		t.Fatal(err)
	}
	limits := make(map[allowance]int)
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		if len(fields) != 3 {
			t.Fatalf("%s: %q is not rule, place and number", allowedFile, line)
		}
		n, err := strconv.Atoi(fields[2])
		if err != nil {
			t.Fatalf("%s: %v", allowedFile, err)
		}
		limits[allowance{fields[0], fields[1]}] = n
	}
	return limits
}

func writeAllowances(t *testing.T, limits map[allowance]int) {
	t.Helper()
	var out strings.Builder
	out.WriteString(allowedHead)
	order := func(a, b allowance) int { return strings.Compare(a.rule+"\t"+a.place, b.rule+"\t"+b.place) }
	for _, a := range slices.SortedFunc(maps.Keys(limits), order) {
		fmt.Fprintf(&out, "%s\t%s\t%d\n", a.rule, a.place, limits[a])
	}
	if err := os.WriteFile(allowedFile, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// finding is something that a rule counts: where it is charged, and what to tell
// about it.
type finding struct{ place, text string }

// withinBudget fails where a place has more than its budget, which is usual where none is
// listed. How much each has is what found says; explain tells what to do about it.
func withinBudget(t *testing.T, rule string, usual int, found map[string]int, explain string) {
	t.Helper()
	maps.DeleteFunc(found, func(_ string, n int) bool { return n <= usual })
	compareAllowed(t, rule, found, func(place string, n, limit int) {
		limit = max(limit, usual)
		if n > limit {
			t.Errorf("%s: %d, more than %d: %s, or raise the number in %s and say why", place, n, limit, explain, allowedFile)
		}
	})
}

// onlyShrinks fails for what is found beyond the exceptions that are known, and where
// there are fewer than are listed.
func onlyShrinks(t *testing.T, rule string, found []finding, explain string) {
	t.Helper()
	counts := make(map[string]int)
	for _, f := range found {
		counts[f.place]++
	}
	compareAllowed(t, rule, counts, func(place string, n, limit int) {
		switch {
		case n > limit:
			t.Errorf("%s: %d, more than the %d that are excepted: %s", place, n, limit, explain)
			for _, f := range found {
				if f.place == place {
					t.Log(f.text)
				}
			}
		case n < limit:
			t.Errorf("%s: %d, and %d are excepted in %s: lower the number (go test ./internal/dev/house -update)", place, n, limit, allowedFile)
		}
	})
}

// compareAllowed calls judge for each place that has some, or that may have some. With
// -update it writes what is found into the file.
func compareAllowed(t *testing.T, rule string, found map[string]int, judge func(place string, n, limit int)) {
	t.Helper()
	limits := readAllowances(t)
	if *update {
		maps.DeleteFunc(limits, func(a allowance, _ int) bool { return a.rule == rule })
		for place, n := range found {
			limits[allowance{rule, place}] = n
		}
		writeAllowances(t, limits)
		return
	}
	for place, n := range found {
		judge(place, n, limits[allowance{rule, place}])
	}
	for a, limit := range limits {
		if _, ok := found[a.place]; a.rule == rule && !ok {
			judge(a.place, 0, limit)
		}
	}
}
