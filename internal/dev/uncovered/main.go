// Command uncovered lists the statements of the library that no test reaches, and why.
//
//	go test -coverpkg=… -coverprofile=cover.out ./…
//	go run ./internal/dev/uncovered -packages … -floor 90 cover.out
//
// A block that only passes on the error of a call explains itself: the call has not failed
// in a test. explained.txt lists all others, with the reason. The exit code is 1 if a
// package is below the floor, or if more blocks than -most are unexplained. Some may be,
// since the winner of a race differs from run to run.
package main

import (
	"bufio"
	_ "embed"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

const module = "github.com/hallmark-oci/hallmark/"

//go:embed explained.txt
var explained string

func main() {
	packages := flag.String("packages", "", "the packages that are held to the floor, by commas")
	floor := flag.Float64("floor", 0, "percent of statements that must be reached")
	most := flag.Int("most", 0, "how many blocks may be unexplained")
	list := flag.Bool("list", false, "list all that is not reached, with its explanation")
	flag.Parse()
	ok, err := run(flag.Arg(0), strings.Split(*packages, ","), *floor, *most, *list)
	if err != nil {
		fmt.Fprintln(os.Stderr, "uncovered:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(path string, packages []string, floor float64, most int, list bool) (ok bool, err error) {
	blocks, err := profile(path)
	if err != nil {
		return false, err
	}
	reasons, err := parseReasons(explained)
	if err != nil {
		return false, err
	}
	ok = true
	for _, p := range packages {
		all, reached := statements(blocks, p)
		percent := 100 * float64(reached) / float64(max(all, 1))
		fmt.Printf("coverage: %s %.1f%% of %d statements (at least %.0f)\n", p, percent, all, floor)
		ok = ok && percent >= floor
	}
	passed, unexplained := 0, 0
	for _, b := range slices.SortedFunc(maps.Keys(blocks), block.compare) {
		if blocks[b] > 0 {
			continue
		}
		at, err := locate(b)
		if err != nil {
			return false, err
		}
		reason := "passes on an error"
		if at.passesOn {
			passed++
		} else if reason = reasons.take(b.file, at.function); reason == "" {
			unexplained++
			reason = "UNEXPLAINED"
		}
		if list || reason == "UNEXPLAINED" {
			fmt.Printf("%s:%d: %s: %s: %s\n", b.file, b.fromLine, at.function, reason, at.text)
		}
	}
	fmt.Printf("not reached: %d blocks that pass on an error, %d that are explained, %d that are not (at most %d)\n",
		passed, reasons.taken, unexplained, most)
	return ok && unexplained <= most, nil
}

// block is a piece of code that runs from its start to its end.
type block struct {
	file                               string
	fromLine, fromColumn, line, column int
	statements                         int
}

func (b block) compare(o block) int {
	if c := strings.Compare(b.file, o.file); c != 0 {
		return c
	}
	return b.fromLine*1000 + b.fromColumn - o.fromLine*1000 - o.fromColumn
}

// profile is how often each block ran; the tests of several packages may tell of
// one.
func profile(path string) (map[block]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read from
	all := make(map[block]int)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "mode:") {
			continue
		}
		var b block
		var n int
		file, rest, _ := strings.Cut(strings.TrimPrefix(lines.Text(), module), ":")
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &b.fromLine, &b.fromColumn, &b.line, &b.column, &b.statements, &n); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, lines.Text(), err)
		}
		b.file = file
		all[b] += n
	}
	return all, lines.Err()
}

// statements counts those of a package, and those that were reached.
func statements(blocks map[block]int, dir string) (all, reached int) {
	for b, n := range blocks {
		if at := strings.LastIndex(b.file, "/"); b.file[:max(at, 0)] != dir {
			continue
		}
		all += b.statements
		if n > 0 {
			reached += b.statements
		}
	}
	return all, reached
}
