// Command launch runs programs for the benchmark and says what each has cost. A
// process inherits the peak of memory of the one that starts it (getrusage(2)), so
// that it must be started by something small.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

func main() {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return // the benchmark has ended
		}
		report, err := run(line)
		if err != nil {
			report = work.Report{Error: err.Error()}
		}
		if err := out.Encode(report); err != nil {
			os.Exit(1)
		}
	}
}

// run runs a task's command to its end; a failure is an error with what it printed.
func run(line []byte) (work.Report, error) {
	var t work.Task
	if err := json.Unmarshal(line, &t); err != nil || len(t.Command) == 0 {
		return work.Report{}, fmt.Errorf("not a command: %s, %w", line, err)
	}
	cmd := exec.Command(t.Command[0], t.Command[1:]...)
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return work.Report{}, fmt.Errorf("%q: %w\n%s", t.Command, err, printed.Bytes())
	}
	state := cmd.ProcessState
	return work.Report{Ops: 1, Wall: time.Since(began), CPU: state.UserTime() + state.SystemTime(), Peak: peakOf(state)}, nil
}
