// Package leak fails a package's tests where they leave goroutines behind.
//
//	func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }
package leak

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// patience is how long goroutines may take to end once all tests have.
const patience = 5 * time.Second

// ours is in the stack of every goroutine that runs code of this project.
const ours = "github.com/hallmark-oci/hallmark/"

// Run runs the tests, and returns the exit code.
func Run(m interface{ Run() int }) int { return run(m, patience, os.Stderr) }

func run(m interface{ Run() int }, patience time.Duration, report io.Writer) int {
	code := m.Run()
	if code != 0 {
		return code
	}
	var left []string
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left = running(); len(left) == 0 {
			return 0
		}
		if time.Now().After(end) {
			break
		}
	}
	_, _ = fmt.Fprintf(report, "leak: %d goroutines are left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
	return 1
}

// hostile is in the stack of a request that a test's registry was told to stall.
const hostile = ours + "registry/registrytest.(*Registry).ServeHTTP"

// running are the stacks of all goroutines of ours but the one that asks.
func running() []string {
	text := make([]byte, 1<<20)
	for n := runtime.Stack(text, true); ; n = runtime.Stack(text, true) {
		if n < len(text) {
			text = text[:n]
			break
		}
		text = make([]byte, 2*len(text))
	}
	stacks := strings.Split(strings.TrimSpace(string(text)), "\n\n")[1:]
	return slices.DeleteFunc(stacks, func(s string) bool { return !strings.Contains(s, ours) || strings.Contains(s, hostile) })
}
