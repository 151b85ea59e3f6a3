package provenance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/provenance"
)

// tree is a directory with files in it.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func shell(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil || runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
}

func names(files []provenance.File) (all []string) {
	for _, f := range files {
		all = append(all, f.Path)
	}
	return all
}

func TestRecordTellsMaterialsProductsAndTimes(t *testing.T) {
	shell(t)
	dir := tree(t, map[string]string{"main.c": "int main;", "lib/a.h": "x", ".git/config": "secret", "notes.txt": "n", "out/old": "o"})
	var stdout bytes.Buffer
	phases := map[string]bool{}
	r, err := provenance.Record(context.Background(), provenance.RecordOptions{
		Command: []string{"sh", "-c", "echo building; cp main.c out/app; echo n2 > notes.txt; rm lib/a.h"},
		Dir:     dir, Stdout: &stdout, OutputTail: 100, Materials: []string{"out/"},
		Progress: func(phase string, _ int, _ int64) { phases[phase] = true },
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(r.Materials); !slices.Equal(got, []string{"lib/a.h", "main.c", "notes.txt"}) {
		t.Errorf("materials %q", got)
	}
	if got := names(r.Products); !slices.Equal(got, []string{"notes.txt", "out/app"}) {
		t.Errorf("products %q", got)
	}
	if !slices.Equal(r.Changed, []string{"lib/a.h", "notes.txt"}) {
		t.Errorf("changed %q", r.Changed)
	}
	if r.ExitCode != 0 || r.FinishedOn.Before(r.StartedOn) || stdout.String() != "building\n" || string(r.Output) != "building\n" {
		t.Errorf("%+v, stdout %q", r, stdout.String())
	}
	if !phases["materials"] || !phases["products"] {
		t.Errorf("told of %v", phases)
	}
	p, err := provenance.New("https://ci.example/builder", r.Facts())
	if err != nil {
		t.Fatal(err)
	}
	if p.BuildDefinition.BuildType != provenance.BuildTypeCommand || len(p.BuildDefinition.ResolvedDependencies) != 3 ||
		p.RunDetails.Metadata.StartedOn == nil || len(p.RunDetails.Byproducts) != 1 || p.RunDetails.Byproducts[0].MediaType != "text/plain" {
		t.Errorf("%+v", p)
	}
	if subjects := r.Subjects(); len(subjects) != 2 || subjects[1].Name != "out/app" {
		t.Errorf("%+v", subjects)
	}
	if _, err := attest.NewStatement(p, r.Subjects()...); err != nil {
		t.Error(err)
	}
}

func TestAFailingCommandYieldsNothingUnlessAsked(t *testing.T) {
	shell(t)
	o := provenance.RecordOptions{Command: []string{"sh", "-c", "echo x > made; exit 7"}, Dir: tree(t, nil)}
	r, err := provenance.Record(context.Background(), o)
	var exit *provenance.ExitError
	if r != nil || !errors.As(err, &exit) || exit.Code != 7 || !errors.Is(err, provenance.ErrCommand) {
		t.Errorf("%+v, %v", r, err)
	}
	o.AllowFailure, o.Dir = true, tree(t, nil)
	if r, err = provenance.Record(context.Background(), o); err != nil || r.ExitCode != 7 || len(r.Products) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	for name, o := range map[string]provenance.RecordOptions{
		"no command":    {},
		"negative tail": {Command: []string{"true"}, OutputTail: -1},
		"large tail":    {Command: []string{"true"}, OutputTail: 1 << 30},
		"bad ignore":    {Command: []string{"true"}, Ignore: []string{"["}},
		"bad product":   {Command: []string{"true"}, Products: []string{"["}, Dir: tree(t, nil)},
		"bad materials": {Command: []string{"true"}, Materials: []string{"["}, Dir: tree(t, nil)},
	} {
		if r, err := provenance.Record(context.Background(), o); r != nil || !errors.Is(err, attest.ErrOptions) {
			t.Errorf("%s: %+v, %v; want ErrOptions", name, r, err)
		}
	}
	if _, err := provenance.Record(context.Background(), provenance.RecordOptions{Command: []string{"no-such-program-at-all"}, Dir: tree(t, nil)}); !errors.Is(err, provenance.ErrCommand) {
		t.Errorf("%v, want ErrCommand", err)
	}
}

func TestCancellationKillsTheWholeProcessGroup(t *testing.T) {
	shell(t)
	dir := tree(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := provenance.Record(ctx, provenance.RecordOptions{
			// A child that would go on to write, and keeps the output open.
			Command: []string{"sh", "-c", "(sleep 2; echo alive > survivor) & touch started; wait"}, Dir: dir, OutputTail: 10,
		})
		done <- err
	}()
	for range 500 {
		if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	start := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("ended after %v", took)
	}
	time.Sleep(2500 * time.Millisecond)
	if _, err := os.Stat(filepath.Join(dir, "survivor")); err == nil {
		t.Error("a child of the command went on")
	}
}

func TestAttack_S5_NoSecretOfTheCommandOrItsEnvironmentIsRecorded(t *testing.T) {
	shell(t)
	secrets := []string{
		"hunter2pass", "ghp_0123456789abcdefABCDEF0123", "AKIAABCDEFGHIJKLMNOP", "named-by-the-caller", "envsecretvalue", "bearersecret",
		"urlpassword", "aftertheoption", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
	}
	r, err := provenance.Record(context.Background(), provenance.RecordOptions{
		Command: []string{
			"sh", "-c", `printf '%s\n' "$@" "$FROM_ENV"`, "sh", "--password=hunter2pass", "--token", "aftertheoption", "API_KEY=hunter2pass",
			"https://user:urlpassword@git.example/x", "Authorization: Bearer bearersecret", "ghp_0123456789abcdefABCDEF0123", "AKIAABCDEFGHIJKLMNOP",
			"prefix-named-by-the-caller-suffix", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "--verbose", "kept",
		},
		Env: append(os.Environ(), "FROM_ENV=envsecretvalue"), Dir: tree(t, nil), OutputTail: 4096,
		Redact: []string{"named-by-the-caller", "envsecretvalue", "hunter2pass", "aftertheoption"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := provenance.New("https://ci.example/builder", r.Facts())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	all := string(text) + string(r.Output) + fmt.Sprint(r.Command)
	for _, s := range secrets {
		if strings.Contains(all, s) {
			t.Errorf("%q is recorded in %s", s, all)
		}
	}
	for _, kept := range []string{"--password=[redacted]", "--token", "API_KEY=[redacted]", "https://git.example/x", "--verbose", "kept"} {
		if !strings.Contains(all, kept) {
			t.Errorf("%q is missing in %s", kept, all)
		}
	}
}

func TestOutputIsCutAtItsTailAndMayBeBinary(t *testing.T) {
	shell(t)
	r, err := provenance.Record(context.Background(), provenance.RecordOptions{
		Command: []string{"sh", "-c", `i=0; while [ $i -lt 3000 ]; do echo line$i; i=$((i+1)); done; printf '\377\000end'`}, Dir: tree(t, nil), OutputTail: 64,
	})
	if err != nil {
		t.Fatal(err)
	}
	// The line that 64 bytes would begin in the middle of is left out.
	if string(r.Output) != "line2994\nline2995\nline2996\nline2997\nline2998\nline2999\n\xff\x00end" {
		t.Errorf("%d bytes: %q", len(r.Output), r.Output)
	}
	p, err := provenance.New("https://ci.example/builder", r.Facts())
	if err != nil {
		t.Fatal(err)
	}
	if b := p.RunDetails.Byproducts[0]; b.MediaType != "application/octet-stream" || !bytes.Equal(b.Content, r.Output) {
		t.Errorf("%+v", b)
	}
}

func TestManyMaterialsAreRecordedAsOneList(t *testing.T) {
	shell(t)
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("f%02d", i)] = fmt.Sprint(i)
	}
	dir := tree(t, files)
	r, err := provenance.Record(context.Background(), provenance.RecordOptions{Command: []string{"true"}, Dir: dir, MaxListed: 19})
	if err != nil {
		t.Fatal(err)
	}
	deps := r.Facts().Dependencies
	cmd := exec.Command("sh", "-c", "sha256sum * | sha256sum")
	cmd.Dir = dir
	want, err := cmd.Output()
	if err != nil {
		t.Skipf("nothing to compare with: %v", err)
	}
	if len(deps) != 1 || deps[0].Digest["sha256"] != strings.Fields(string(want))[0] || deps[0].Annotations["files"] != int64(20) {
		t.Errorf("%+v, want the digest %s", deps, want)
	}
	if r, err = provenance.Record(context.Background(), provenance.RecordOptions{Command: []string{"true"}, Dir: dir, NoMaterials: true}); err != nil || r.Materials != nil || r.Products != nil {
		t.Errorf("without materials: %+v, %v", r, err)
	}
}

func TestAttack_S6_OddFilesAreRefusedOrLeftOut(t *testing.T) {
	shell(t)
	dir := tree(t, map[string]string{"a": "a"})
	if err := os.Symlink("loop", filepath.Join(dir, "loop")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	o := provenance.RecordOptions{Command: []string{"true"}, Dir: dir}
	r, err := provenance.Record(context.Background(), o)
	if err != nil || !slices.Equal(names(r.Materials), []string{"a"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a\nb"), nil, 0o644); err != nil {
		t.Skipf("no such names here: %v", err)
	}
	if r, err := provenance.Record(context.Background(), o); r != nil || !errors.Is(err, provenance.ErrFileName) {
		t.Errorf("%+v, %v; want ErrFileName", r, err)
	}
	o.Ignore = []string{"a?b"}
	if r, err := provenance.Record(context.Background(), o); err != nil || !slices.Equal(names(r.Materials), []string{"a"}) {
		t.Errorf("left out: %+v, %v", r, err)
	}
	// What the command itself makes is looked at in the same way.
	o.Ignore, o.Dir, o.Command = nil, tree(t, nil), []string{"sh", "-c", `printf x > "$(printf 'new\nline')"`}
	if r, err := provenance.Record(context.Background(), o); r != nil || !errors.Is(err, provenance.ErrFileName) {
		t.Errorf("%+v, %v; want ErrFileName", r, err)
	}
}

// os/exec promises that equal writers are written to by one goroutine at a time.
// The race detector tells where two do.
func TestOneWriterMayTakeBothStreams(t *testing.T) {
	shell(t)
	for name, limit := range map[string]int{"with a tail": 1000, "without": 0} {
		var both bytes.Buffer
		r, err := provenance.Record(t.Context(), provenance.RecordOptions{
			Command: []string{"sh", "-c", "i=0; while [ $i -lt 200 ]; do echo $i; echo $i >&2; i=$((i+1)); done"},
			Dir:     t.TempDir(), Stdout: &both, Stderr: &both, OutputTail: limit,
		})
		if err != nil {
			t.Fatal(err)
		}
		// One writer also keeps the order of the two streams.
		if text := both.String(); strings.Count(text, "\n") != 400 || !strings.HasSuffix(text, "198\n198\n199\n199\n") || !strings.HasSuffix(text, string(r.Output)) {
			t.Errorf("%s: %q, tail %q", name, text, r.Output)
		}
	}
}

// incomparable cannot be compared with ==.
type incomparable struct{ to []io.Writer }

func (w incomparable) Write(p []byte) (int, error) { return w.to[0].Write(p) }

func TestWritersNeedNotBeComparable(t *testing.T) {
	shell(t)
	var out, err bytes.Buffer
	if _, e := provenance.Record(t.Context(), provenance.RecordOptions{
		Command: []string{"sh", "-c", "echo a; echo b >&2"}, Dir: t.TempDir(),
		Stdout: incomparable{[]io.Writer{&out}}, Stderr: incomparable{[]io.Writer{&err}}, OutputTail: 10,
	}); e != nil || out.String() != "a\n" || err.String() != "b\n" {
		t.Errorf("%q, %q, %v", &out, &err, e)
	}
}
