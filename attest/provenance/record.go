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

// BuildTypeCommand is the build type of a recorded command: see buildtypes.md.
const BuildTypeCommand = buildTypes + "#command-v1"

// ErrCommand says that a recorded command could not be run, or failed.
var ErrCommand = errors.New("command failed")

// ExitError is the error of a command that ended with another status than 0. It
// is ErrCommand.
type ExitError struct {
	// Code is the exit status; -1 where a signal ended the command.
	Code int
}

// Error implements error.
func (e *ExitError) Error() string {
	if e.Code < 0 {
		return ErrCommand.Error() + ": ended by a signal"
	}
	return fmt.Sprintf("%v with exit status %d", ErrCommand, e.Code)
}

// Unwrap returns ErrCommand.
func (e *ExitError) Unwrap() error { return ErrCommand }

// Bounds of a recording.
const (
	defaultMaxListed = 1000
	maxTail          = 1 << 20
	maxPrivateKey    = 16 << 10 // of one that is found by its form
	killDelay        = 5 * time.Second
)

// RecordOptions say what is recorded of a build command.
type RecordOptions struct {
	// Command is the program and its arguments. Required. It is run as it is,
	// without a shell.
	Command []string
	// Dir is where it runs, and the tree whose files are its materials and
	// products. Empty: the current directory.
	Dir string
	// Env is the command's environment. Nil: that of this process. Nothing of it
	// is recorded: what is secret in it is looked for in the tail.
	Env []string
	// Stdin is what the command reads. Nil: nothing.
	Stdin io.Reader
	// Stdout and Stderr take what it writes. Where both are one writer, it is
	// written to by one goroutine at a time. Nil: it is thrown away, but for the
	// tail.
	Stdout, Stderr io.Writer
	// Ignore are patterns like those of .gitignore: what they match is not looked
	// at, besides .git. Empty: nothing else is left out.
	Ignore []string
	// Materials and Products are patterns that leave files out of the one or the
	// other. Empty: all files are materials, and those that are new or have
	// changed are products.
	Materials, Products []string
	// NoMaterials leaves the materials out, for a build in an empty directory or
	// where other facts name them. False: they are hashed.
	NoMaterials bool
	// OutputTail is how many bytes at the end of what the command writes are
	// kept as a byproduct, up to 1 MiB; of a line that they would cut, nothing.
	// It is kept once all secrets that are known of the command are replaced: those
	// in Redact, what is redacted in its arguments, and the values of variables of
	// its environment whose names speak of secrets, if they have four bytes or
	// more. Each is looked for as it is and as JSON, shells, URLs, HTML, base64 and
	// hexadecimal show it, in upper and lower case, and across ends of lines. Of a
	// named secret or an argument with fewer than four bytes, whole lines are
	// replaced. Where there are more than 1000 secrets nothing is kept, and
	// Recording.OutputLeftOut says so. Zero: none.
	OutputTail int
	// Redact are texts that must appear neither in the recorded command nor in
	// the tail, such as tokens. Of both, what looks like a secret is redacted
	// without being named: private keys, tokens of well-known forms, logins and
	// queries of URLs, values behind names such as API_KEY or --token. Short
	// options (-u, -p) do not tell. Empty: none besides.
	Redact []string
	// AllowFailure gives a Recording of a command that failed. False: an
	// *ExitError.
	AllowFailure bool
	// MaxListed is how many materials are listed one by one; of more, one
	// descriptor of a list is recorded. Zero: 1000.
	MaxListed int
	// Workers is how many files are hashed at once. Zero: one for each
	// processor.
	Workers int
	// Progress is told how many files and bytes have been hashed, while
	// materials and products are. Nil: nobody.
	Progress func(phase string, files int, bytes int64)
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Recording is what was recorded of a command.
type Recording struct {
	// Command is what was run, redacted.
	Command []string
	// ExitCode is its exit status; -1 where a signal ended it.
	ExitCode int
	// StartedOn and FinishedOn are its times.
	StartedOn, FinishedOn time.Time
	// Materials are the files before, Products those that the command made or
	// changed, and Changed the paths of materials that it changed or removed.
	Materials, Products []File
	Changed             []string
	// Output is the tail of what it wrote, redacted; nil where none was asked for.
	Output []byte
	// OutputLeftOut says why there is none although it was asked for. Empty: there
	// is.
	OutputLeftOut string

	maxListed int
}

// File is a file of the tree.
type File struct {
	// Path is relative to the tree, with slashes.
	Path string
	// SHA256 is the digest of its content, in hex, and Size its bytes.
	SHA256 string
	Size   int64
}

// Record hashes the tree, runs a command in it, and hashes the tree again.
//
// Only regular files count. Symbolic links are not followed, and nothing outside
// of the tree is read. Cancelling the context kills the command with all of its
// children (on Unix; elsewhere the command alone). So does the command's own end:
// what goes on could change the products once they are hashed. A child that has
// left the process group, as daemons do, is not found.
//
// The command can write to what other sources of facts read. Read those before: of
// a git work tree, see Tree.Recheck.
//
// Errors are attest.ErrOptions, ErrCommand, ErrFileChanged, ErrFileName,
// ErrTooLarge, those of the file system, and that of the context.
func Record(ctx context.Context, o RecordOptions) (*Recording, error) {
	if len(o.Command) == 0 {
		return nil, fmt.Errorf("%w: no command to record", attest.ErrOptions)
	}
	if o.OutputTail < 0 || o.OutputTail > maxTail {
		return nil, fmt.Errorf("%w: an output tail of %d bytes; the limit is %d", attest.ErrOptions, o.OutputTail, maxTail)
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

// tailKept is how much of the output has to be kept, so that a secret which reaches
// into the tail is known as a whole.
func (o RecordOptions) tailKept(secrets []string) int {
	if o.OutputTail == 0 {
		return 0
	}
	longest := maxPrivateKey
	for _, s := range secrets {
		longest = max(longest, 2*formGrowth*len(s)) // with ends of lines within it
	}
	return o.OutputTail + longest
}

// run runs the command and keeps its status, times and the tail of its output.
func (r *Recording) run(ctx context.Context, o RecordOptions) error {
	cmd := exec.CommandContext(ctx, o.Command[0], o.Command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = o.dir(), o.Env, o.Stdin
	var secrets []string
	if o.OutputTail > 0 {
		var tooMany bool
		if secrets, tooMany = commandSecrets(o.Command, cmd.Environ(), o.Redact); tooMany {
			r.OutputLeftOut = fmt.Sprintf("the command has more than %d secrets, which could be in it", maxSecrets)
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
	// A grandchild that keeps the output open must not keep us waiting.
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
		return fmt.Errorf("%w: %s has ended, but not what it started, which still writes: %w", ErrCommand, filepath.Base(o.Command[0]), err)
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrCommand, filepath.Base(o.Command[0]), err)
	}
	return nil
}

// compare tells materials, products and what has changed.
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

// Facts are what the recording says about the build: the command as an external
// parameter, the materials as dependencies, the times, the exit status, materials
// that changed, and the tail of the output as a byproduct. See buildtypes.md.
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

// Subjects are the products, to be attested.
func (r *Recording) Subjects() []attest.Subject {
	subjects := make([]attest.Subject, 0, len(r.Products))
	for _, f := range r.Products {
		subjects = append(subjects, attest.Subject{Name: f.Path, Digest: map[string]string{"sha256": f.SHA256}})
	}
	return subjects
}

// describeFiles lists files one by one, or where there are too many one list of
// them: lines as "sha256sum" writes them, of digest, two blanks, path and a line
// feed, sorted by path. Paths hold no control characters.
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

// tailWriter keeps the last bytes of what is written. Two streams of one command
// write to it, line by line: what one writes does not hide a secret in the midst of a
// line of the other.
type tailWriter struct {
	limit   int
	mu      sync.Mutex
	held    []byte
	streams []*lineWriter
}

// lineWriter is one stream.
type lineWriter struct {
	t    *tailWriter
	line []byte // the last one, as far as it has come
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.t.mu.Lock()
	defer l.t.mu.Unlock()
	l.line = append(l.line, p...)
	if end := bytes.LastIndexByte(l.line, '\n') + 1; end > 0 {
		l.t.add(l.line[:end])
		l.line = append(l.line[:0], l.line[end:]...)
	}
	// The beginning of a line that is longer than the tail is cut, and the line not
	// kept then.
	if len(l.line) > 2*l.t.limit {
		l.line = append(l.line[:0], l.line[len(l.line)-l.t.limit:]...)
	}
	return len(p), nil
}

// beside gives a writer that also passes on to another one.
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

// sameWriter reports whether two writers are one. Some cannot be compared, which
// panics.
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
	// Twice as much is let gather, so that not every write moves all of it.
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

// outputType says whether output is text.
func outputType(output []byte) string {
	if utf8.Valid(output) && !strings.ContainsRune(string(output), 0) {
		return "text/plain"
	}
	return "application/octet-stream"
}
