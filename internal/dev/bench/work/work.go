// Package work defines the messages between the benchmark and its workers.
//
// A worker is a program that links one library, does tasks, and reports what each has cost.
// Alone in its process, a library costs what it costs its users. A task is a line of JSON
// on the worker's stdin, and a report is a line on its stdout.
package work

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Task is something to do. Which fields a kind of work uses, its worker says.
type Task struct {
	// Do names the work.
	Do string `json:"do"`
	// Command is a program to run, with its arguments.
	Command []string `json:"command,omitempty"`
	// Images are references.
	Images []string `json:"images,omitempty"`
	// Format is how evidence is stored: Tag or Bundle.
	Format string `json:"format,omitempty"`
	// PublicKey and PrivateKey are files; the password is Password.
	PublicKey  string `json:"publicKey,omitempty"`
	PrivateKey string `json:"privateKey,omitempty"`
	// Evidence are files.
	Evidence []string `json:"evidence,omitempty"`
	// Concurrency is how many are done at once; 0: one.
	Concurrency int `json:"concurrency,omitempty"`
	// Repeat is how often the whole is done; 0: once.
	Repeat int `json:"repeat,omitempty"`
	// Shared lets all images share what the library lets them share.
	Shared bool `json:"shared,omitempty"`
	// Rules and Keys are the size of a policy.
	Rules int `json:"rules,omitempty"`
	Keys  int `json:"keys,omitempty"`
	// Certificates say who has signed without a key. Nil: PublicKey has.
	Certificates *Certificates `json:"certificates,omitempty"`
}

// Certificates are evidence by certificate, and how it is verified.
type Certificates struct {
	// Root is the file of the trust root. WithoutLogs: the instance has no logs, as GitHub's.
	Root        string `json:"root"`
	WithoutLogs bool   `json:"withoutLogs,omitempty"`
	// Issuer and URI are who must have signed. Refused: it is another, and that is to be found.
	Issuer  string `json:"issuer"`
	URI     string `json:"uri"`
	Refused bool   `json:"refused,omitempty"`
	// Artifact is the file that messages are about. Empty: Images has one digest that
	// statements and payloads are about.
	Artifact string `json:"artifact,omitempty"`
	// Signed is a file with a list of Signed.
	Signed string `json:"signed"`
}

// Signed is a piece of evidence: a bundle, or a payload with cosign's annotations.
type Signed struct {
	Bundle      []byte            `json:"bundle,omitempty"`
	Payload     []byte            `json:"payload,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Read reads the evidence and the files beside it.
func (c *Certificates) Read() (root, artifact []byte, signed []Signed, err error) {
	if root, err = os.ReadFile(c.Root); err != nil {
		return nil, nil, nil, err
	}
	if c.Artifact != "" {
		if artifact, err = os.ReadFile(c.Artifact); err != nil {
			return nil, nil, nil, err
		}
	}
	text, err := os.ReadFile(c.Signed)
	if err != nil {
		return nil, nil, nil, err
	}
	return root, artifact, signed, json.Unmarshal(text, &signed)
}

// Judged says what a verification has to end in: an error where the identity is another.
func (c *Certificates) Judged(err error) error {
	switch {
	case !c.Refused:
		return err
	case err == nil:
		return fmt.Errorf("evidence of another identity was accepted")
	}
	return nil
}

// How evidence is stored: cosign's tag, or a referrer that holds a bundle.
const (
	Tag    = "sig"
	Bundle = "bundle"
)

// Password opens the private keys of the benchmark.
const Password = "bench"

// Report is what a task has cost the whole process.
type Report struct {
	// Ops is how many things were done.
	Ops int `json:"ops"`
	// Wall and CPU are in nanoseconds.
	Wall time.Duration `json:"wall"`
	CPU  time.Duration `json:"cpu"`
	// Allocations and Bytes are what was allocated.
	Allocations uint64 `json:"allocations"`
	Bytes       uint64 `json:"bytes"`
	// Growth is by how many bytes the live heap has grown.
	Growth int64 `json:"growth"`
	// Peak is the largest resident set while it was done, in bytes; 0 where the
	// system does not tell.
	Peak int64 `json:"peak"`
	// Error says what went wrong; then the rest means nothing.
	Error string `json:"error,omitempty"`
}

// PerOp divides a quantity of the report by the operations.
func (r Report) PerOp(quantity float64) float64 { return quantity / float64(max(r.Ops, 1)) }

// Prepare makes a task ready. What it returns is measured; it says how many
// operations it has done. What Prepare itself does is not.
type Prepare func(context.Context, Task) (func(context.Context) (int, error), error)

// Serve does tasks until stdin ends.
func Serve(ctx context.Context, works map[string]Prepare) error {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		report, err := serve(ctx, works, line)
		if err != nil {
			report = Report{Error: err.Error()}
		}
		if err := out.Encode(report); err != nil {
			return err
		}
	}
}

func serve(ctx context.Context, works map[string]Prepare, line []byte) (Report, error) {
	var task Task
	if err := json.Unmarshal(line, &task); err != nil {
		return Report{}, err
	}
	prepare := works[task.Do]
	if prepare == nil {
		return Report{}, fmt.Errorf("no such work: %q", task.Do)
	}
	do, err := prepare(ctx, task)
	if err != nil {
		return Report{}, err
	}
	return measure(ctx, do)
}

func measure(ctx context.Context, do func(context.Context) (int, error)) (Report, error) {
	var before, after runtime.MemStats
	runtime.GC()
	resetPeak()
	cpu := processorTime()
	runtime.ReadMemStats(&before)
	began := time.Now()
	ops, err := do(ctx)
	wall := time.Since(began)
	runtime.ReadMemStats(&after)
	r := Report{
		Ops: ops, Wall: wall, CPU: processorTime() - cpu, Peak: peak(),
		Allocations: after.Mallocs - before.Mallocs, Bytes: after.TotalAlloc - before.TotalAlloc,
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	r.Growth = int64(after.HeapAlloc) - int64(before.HeapAlloc)
	return r, err
}

// Each calls do for each thing, so many at once, and as often over as is asked.
func Each[T any](ctx context.Context, t Task, things []T, do func(context.Context, T) error) (int, error) {
	all := slices.Repeat(things, max(t.Repeat, 1))
	var next, done atomic.Int64
	var once sync.Once
	var failed error
	var wg sync.WaitGroup
	for range max(t.Concurrency, 1) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				if err := do(ctx, all[i]); err != nil {
					once.Do(func() { failed = err })
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return int(done.Load()), failed
}
