package provenance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/hashtree"
)

// BuildTypeCommand is the build type of a recorded command, which buildtypes.md
// explains.
const BuildTypeCommand = buildTypes + "#command-v1"

// ErrCommand says that a recorded command could not be run, or failed.
var ErrCommand = errors.New("command failed")

// ExitError is the error of a command with another exit status than 0. It wraps
// ErrCommand.
type ExitError struct {
	// Code is the exit status. It is -1 if a signal ended the command.
	Code int
}

// Error returns the exit status.
func (e *ExitError) Error() string {
	if e.Code < 0 {
		return ErrCommand.Error() + ": ended by a signal"
	}
	return fmt.Sprintf("%v with exit status %d", ErrCommand, e.Code)
}

// Unwrap returns ErrCommand.
func (e *ExitError) Unwrap() error { return ErrCommand }

// Limits of a recording.
const (
	defaultMaxListed = 1000
	maxTail          = 1 << 20
	maxPrivateKey    = 16 << 10 // bytes of one that is found by its form
	killDelay        = 5 * time.Second
)

// RecordOptions say which command runs, and what is recorded of it.
type RecordOptions struct {
	// Command is the program and its arguments. It runs without a shell. Required.
	Command []string
	// Dir is the directory in which the command runs. The files below it are its
	// materials and products. Empty: the current directory.
	Dir string
	// Env is the command's environment, which is not recorded. Secrets in it are
	// redacted from the tail. Nil: the environment of this process.
	Env []string
	// Stdin is what the command reads. Nil: nothing.
	Stdin io.Reader
	// Stdout and Stderr take the command's output. If both are the same writer,
	// one goroutine at a time writes to it. Nil: the output is discarded, except
	// for the tail.
	Stdout, Stderr io.Writer
	// Ignore are patterns as in .gitignore for files that are not read, besides
	// .git. Empty: none.
	Ignore []string
	// Materials and Products are patterns for files that are left out of the
	// materials or of the products. Empty: all files are materials, and all new
	// or changed files are products.
	Materials, Products []string
	// NoMaterials leaves the materials out. Use it in an empty directory, or if
	// other facts name the materials. False: they are recorded.
	NoMaterials bool
	// OutputTail is how many bytes at the end of the output are recorded as a
	// byproduct, in whole lines and at most 1 MiB. Zero: none. Secrets are
	// replaced first:
	//
	//   - the secrets in Redact, and those in the command's arguments
	//   - the values of variables with the name of a secret, from four bytes on
	//   - any of these as JSON, shells, URLs, HTML, base64 or hexadecimal show
	//     it, in upper or lower case, and across line ends
	//
	// For a secret of fewer than four bytes, whole lines are replaced. With more
	// than 1000 secrets nothing is recorded, and Recording.OutputLeftOut says so.
	OutputTail int
	// Redact are secrets that are replaced in the recorded command and in the
	// tail. These are replaced without being named: private keys, tokens of
	// well-known forms, logins and queries of URLs, and values behind names such
	// as API_KEY or --token. Values of short options (-u, -p) must be named.
	// Empty: no further secrets.
	Redact []string
	// AllowFailure makes Record return a Recording of a command that failed.
	// False: it returns an *ExitError.
	AllowFailure bool
	// MaxListed is how many materials are listed one by one. For more, one
	// descriptor of a list is recorded. Zero: 1000.
	MaxListed int
	// Workers is how many files are hashed at once. Zero: one per processor.
	Workers int
	// Progress is told how many files and bytes have been hashed. The phase is
	// "materials" or "products". Nil: no progress is reported.
	Progress func(phase string, files int, bytes int64)
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Recording is what Record recorded of a command.
type Recording struct {
	// Command is the program and its arguments, redacted.
	Command []string
	// ExitCode is the exit status. It is -1 if a signal ended the command.
	ExitCode int
	// StartedOn and FinishedOn are the times of the command's start and end.
	StartedOn, FinishedOn time.Time
	// Materials are the files before the command, and Products the files that it
	// made or changed. Changed are the paths of materials that it changed or
	// removed.
	Materials, Products []File
	Changed             []string
	// Output is the tail of the output, redacted. Nil: none was asked for.
	Output []byte
	// OutputLeftOut says why Output is nil although a tail was asked for. Empty: it
	// was not left out.
	OutputLeftOut string

	maxListed int
}

// File is a file of a recorded tree.
type File struct {
	// Path is relative to RecordOptions.Dir, with slashes.
	Path string
	// SHA256 is the digest of the content in hex, and Size its length in bytes.
	SHA256 string
	Size   int64
}

// Record hashes the files of a directory, runs a command there, and hashes the files
// again.
//
//   - Regular files alone are hashed. Symbolic links are not followed, and nothing
//     outside of the directory is read.
//   - Cancelling the context kills the command and its children; on systems other
//     than Unix, the command alone.
//   - When the command ends, its remaining children are killed, because they could
//     change the products. A child that left the process group, as daemons do,
//     survives.
//
// The command can change what other sources of facts read. Read those first. For a
// git work tree, use ReadTree before and Tree.Recheck after the command.
//
// Errors are attest.ErrOptions, ErrCommand, ErrFileChanged, ErrFileName,
// ErrTooLarge, those of the file system, and the context's.
func Record(ctx context.Context, o RecordOptions) (*Recording, error) {
	if len(o.Command) == 0 {
		return nil, fmt.Errorf("%w: RecordOptions.Command is empty", attest.ErrOptions)
	}
	if o.OutputTail < 0 || o.OutputTail > maxTail {
		return nil, fmt.Errorf("%w: the output tail has %d bytes, the limit is %d", attest.ErrOptions, o.OutputTail, maxTail)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxListed <= 0 {
		o.MaxListed = defaultMaxListed
	}
	r := &Recording{Command: redactCommand(o.Command, o.Redact), maxListed: o.MaxListed}
	ignore, err := hashtree.NewFilter(append([]string{".git"}, o.Ignore...)...)
	if err != nil {
		return nil, fmt.Errorf("%w: ignore: %w", attest.ErrOptions, err)
	}
	before, err := o.hash(ctx, "materials", ignore)
	if err != nil {
		return nil, err
	}
	if err := r.run(ctx, o); err != nil {
		return nil, err
	}
	after, err := o.hash(ctx, "products", ignore)
	if err != nil {
		return nil, err
	}
	if err := r.compare(o, before, after); err != nil {
		return nil, err
	}
	return r, nil
}

func (o RecordOptions) dir() string {
	if o.Dir == "" {
		return "."
	}
	return o.Dir
}

func (o RecordOptions) hash(ctx context.Context, phase string, filter *hashtree.Filter) ([]File, error) {
	var progress func(int, int64)
	if o.Progress != nil {
		progress = func(files int, bytes int64) { o.Progress(phase, files, bytes) }
	}
	entries, err := hashtree.Hash(ctx, o.dir(), hashtree.Options{Filter: filter, Workers: o.Workers, Progress: progress})
	if err != nil {
		return nil, fmt.Errorf("hashing %s: %w", phase, err)
	}
	var files []File
	for _, e := range entries {
		if e.Kind == hashtree.File {
			files = append(files, File{Path: e.Path, SHA256: e.Digest, Size: e.Size})
		}
	}
	return files, nil
}

// tailKept returns how many bytes of the output to keep. They hold the whole of any
// secret that reaches into the tail.
func (o RecordOptions) tailKept(secrets []string) int {
	if o.OutputTail == 0 {
		return 0
	}
	longest := maxPrivateKey
	for _, s := range secrets {
		longest = max(longest, 2*formGrowth*len(s)) // with line ends within it
	}
	return o.OutputTail + longest
}

// run runs the command and records its status, times and tail.
func (r *Recording) run(ctx context.Context, o RecordOptions) error {
	cmd := exec.CommandContext(ctx, o.Command[0], o.Command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = o.dir(), o.Env, o.Stdin
	var secrets []string
	if o.OutputTail > 0 {
		var tooMany bool
		if secrets, tooMany = commandSecrets(o.Command, cmd.Environ(), o.Redact); tooMany {
			r.OutputLeftOut = fmt.Sprintf("the command has more than %d secrets, and any of them could be in the output", maxSecrets)
			o.OutputTail = 0
		}
	}
	tail := &tailWriter{limit: o.tailKept(secrets)}
	cmd.Stdout = tail.beside(o.Stdout)
	// os/exec writes from two goroutines, unless both are one writer.
	if cmd.Stderr = cmd.Stdout; !sameWriter(o.Stdout, o.Stderr) {
		cmd.Stderr = tail.beside(o.Stderr)
	}
	killGroup(cmd)
	// Do not wait for a grandchild that keeps the output open.
	cmd.WaitDelay = killDelay
	r.StartedOn = o.Now().UTC()
	err := cmd.Run()
	endGroup(cmd)
	r.FinishedOn = o.Now().UTC()
	if o.OutputTail > 0 {
		r.Output = redactTail(string(tail.bytes()), o.OutputTail, secrets)
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit):
		r.ExitCode = exit.ExitCode()
		if !o.AllowFailure {
			return &ExitError{Code: r.ExitCode}
		}
	case errors.Is(err, exec.ErrWaitDelay):
		return fmt.Errorf("%w: %s has ended, and a process that it started still writes: %w", ErrCommand, filepath.Base(o.Command[0]), err)
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrCommand, filepath.Base(o.Command[0]), err)
	}
	return nil
}

// compare fills in materials, products and changed files.
func (r *Recording) compare(o RecordOptions, before, after []File) error {
	materials, err := hashtree.NewFilter(o.Materials...)
	if err != nil {
		return fmt.Errorf("%w: materials: %w", attest.ErrOptions, err)
	}
	products, err := hashtree.NewFilter(o.Products...)
	if err != nil {
		return fmt.Errorf("%w: products: %w", attest.ErrOptions, err)
	}
	was := make(map[string]string, len(before))
	for _, f := range before {
		was[f.Path] = f.SHA256
		if !o.NoMaterials && materials.Passes(f.Path) {
			r.Materials = append(r.Materials, f)
		}
	}
	is := make(map[string]string, len(after))
	for _, f := range after {
		is[f.Path] = f.SHA256
		if was[f.Path] != f.SHA256 && products.Passes(f.Path) {
			r.Products = append(r.Products, f)
		}
	}
	for _, f := range r.Materials {
		if is[f.Path] != f.SHA256 {
			r.Changed = append(r.Changed, f.Path)
		}
	}
	return nil
}

// Facts returns the facts of the recording, as buildtypes.md describes them for
// BuildTypeCommand.
func (r *Recording) Facts() Facts {
	command := make([]any, len(r.Command))
	for i, arg := range r.Command {
		command[i] = arg
	}
	f := Facts{
		BuildType:          BuildTypeCommand,
		ExternalParameters: map[string]any{"command": command},
		InternalParameters: map[string]any{"exitCode": int64(r.ExitCode)},
		StartedOn:          r.StartedOn, FinishedOn: r.FinishedOn,
		Dependencies: describeFiles(r.Materials, r.maxListed),
	}
	if len(r.Changed) > 0 {
		changed := make([]any, 0, len(r.Changed))
		for _, path := range r.Changed[:min(len(r.Changed), r.maxListed)] {
			changed = append(changed, path)
		}
		f.InternalParameters["changedMaterials"] = changed
	}
	if r.OutputLeftOut != "" {
		f.InternalParameters["outputLeftOut"] = r.OutputLeftOut
	}
	if len(r.Output) > 0 {
		sum := sha256.Sum256(r.Output)
		f.Byproducts = []predicate.ResourceDescriptor{{
			Name: "output", MediaType: outputType(r.Output), Content: r.Output,
			Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])},
		}}
	}
	return f
}

// Subjects returns the products as subjects of an attestation.
func (r *Recording) Subjects() []attest.Subject {
	subjects := make([]attest.Subject, 0, len(r.Products))
	for _, f := range r.Products {
		subjects = append(subjects, attest.Subject{Name: f.Path, Digest: map[string]string{"sha256": f.SHA256}})
	}
	return subjects
}

// describeFiles describes each file, or for more than most files one list of them.
// The list has the lines of "sha256sum", sorted by path: digest, two blanks, path and
// a line feed. Paths hold no control characters.
func describeFiles(files []File, most int) []predicate.ResourceDescriptor {
	if len(files) <= most {
		var all []predicate.ResourceDescriptor
		for _, f := range files {
			all = append(all, predicate.ResourceDescriptor{Name: f.Path, Digest: map[string]string{"sha256": f.SHA256}})
		}
		return all
	}
	sum := sha256.New()
	for _, f := range files {
		_, _ = io.WriteString(sum, f.SHA256+"  "+f.Path+"\n") // a hash does not fail
	}
	return []predicate.ResourceDescriptor{{
		Name: "materials.sha256", MediaType: "text/plain",
		Digest:      map[string]string{"sha256": hex.EncodeToString(sum.Sum(nil))},
		Annotations: map[string]any{"files": int64(len(files))},
	}}
}

// tailWriter keeps the last bytes of what is written. The two streams of a command
// write to it line by line, so one stream cannot split a secret in a line of the
// other.
type tailWriter struct {
	limit   int
	mu      sync.Mutex
	held    []byte
	streams []*lineWriter
}

// lineWriter is one stream of a tailWriter.
type lineWriter struct {
	t    *tailWriter
	line []byte // the last line, which has no end yet
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	l.line = append(l.line, p...)
	if end := bytes.LastIndexByte(l.line, '\n') + 1; end > 0 {
		l.t.add(l.line[:end])
		l.line = append(l.line[:0], l.line[end:]...)
	}
	// A line that is longer than the tail loses its beginning, and is left out
	// later.
	if len(l.line) > 2*l.t.limit {
		l.line = append(l.line[:0], l.line[len(l.line)-l.t.limit:]...)
	}
	return len(p), nil
}

// beside returns a writer that keeps the tail and passes the output on.
func (t *tailWriter) beside(to io.Writer) io.Writer {
	switch {
	case t.limit == 0 && to == nil:
		return nil
	case t.limit == 0:
		return to
	}
	l := &lineWriter{t: t}
	t.streams = append(t.streams, l)
	if to == nil {
		return l
	}
	return io.MultiWriter(to, l)
}

// sameWriter reports whether two writers are the same. Comparing some types of
// writers panics.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}

// add is called with mu held.
func (t *tailWriter) add(p []byte) {
	t.held = append(t.held, p[max(0, len(p)-t.limit):]...)
	// Moving the bytes only at twice the limit spares a copy for each write.
	if len(t.held) > 2*t.limit {
		t.held = append(t.held[:0], t.held[len(t.held)-t.limit:]...)
	}
}

func (t *tailWriter) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.streams { // lines without an end
		t.add(l.line)
		l.line = nil
	}
	return slices.Clone(t.held[max(0, len(t.held)-t.limit):])
}

// outputType returns the media type of an output.
func outputType(output []byte) string {
	if utf8.Valid(output) && !strings.ContainsRune(string(output), 0) {
		return "text/plain"
	}
	return "application/octet-stream"
}
