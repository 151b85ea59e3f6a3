package interop

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/examples/hallmark/command"
	"github.com/hallmark-oci/hallmark/registry"
)

// hallmark runs a command line of ours.
func hallmark(t testing.TB, args ...string) (code int, printed string) {
	t.Helper()
	var out bytes.Buffer
	code = command.New(command.Plugins{}).Run(t.Context(), args, strings.NewReader(""), &out, &out)
	return code, out.String()
}

// commandFiles are the files that the command line names.
type commandFiles struct {
	dir, root, token string
	// signs are the flags of commands that sign, verifies those of commands that verify.
	signs, verifies []string
}

func newCommandFiles(t testing.TB, rekor int) commandFiles {
	t.Helper()
	stack, dir := sigstoreStack(t), t.TempDir()
	root, err := stack.Trust.Root()
	if err != nil {
		t.Fatal(err)
	}
	config, err := stack.SigningConfig(rekor)
	if err != nil {
		t.Fatal(err)
	}
	token, err := stack.People.Email(jane)
	if err != nil {
		t.Fatal(err)
	}
	f := commandFiles{dir: dir, token: token}
	f.root = writeFile(t, filepath.Join(dir, "root.json"), root)
	f.signs = []string{
		"--keyless", "--signing-config", writeFile(t, filepath.Join(dir, "config.json"), config), "--trusted-root", f.root,
		"--identity-token", writeFile(t, filepath.Join(dir, "token"), []byte(token)),
	}
	f.verifies = append([]string{"--trusted-root", f.root}, identity(jane, stack.People.URL)...)
	return f
}

func TestTheCommandLineSignsWithoutKey(t *testing.T) {
	host := inMemory.start(t)
	for _, w := range []struct {
		name   string
		rekor  int
		format []string
	}{{"bundle", 2, nil}, {"tag", 1, []string{"--format", "sig"}}} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			s, f := newScene(t, host), newCommandFiles(t, w.rekor)
			run := func(want int, args ...[]string) string {
				t.Helper()
				code, printed := hallmark(t, slices.Concat(args...)...)
				if code != want || strings.Contains(printed, f.token) {
					t.Fatalf("%v: exit code %d, want %d\n%s", args[0], code, want, printed)
				}
				return printed
			}
			image := []string{s.image.String()}
			run(1, []string{"verify"}, f.verifies, image)
			if printed := run(0, []string{"sign"}, f.signs, w.format, image); !strings.Contains(printed, "signing as email "+jane) {
				t.Errorf("it does not say who signs:\n%s", printed)
			}
			run(0, []string{"verify"}, f.verifies, image)
			run(1, []string{"verify"}, f.verifies, []string{s.other.String()})
			run(1, []string{"verify", "--trusted-root", f.root}, identity("john@acme.example", sigstoreStack(t).People.URL), image)

			file, bundle := writeFile(t, filepath.Join(f.dir, "file"), []byte(blobText)), filepath.Join(f.dir, "file.bundle")
			run(0, []string{"sign-blob", file, "--bundle", bundle}, f.signs)
			run(0, []string{"verify-blob", file, "--bundle", bundle}, f.verifies)
			predicate := writeFile(t, filepath.Join(f.dir, "predicate"), []byte(`{"checked":true}`))
			run(0, []string{"attest", "--type", keylessType, "--predicate", predicate}, f.signs, image)
		})
	}
}

// What is down, or has been replaced, leaves nothing behind.
func TestAttack_T21_TheCommandLineLeavesNothing(t *testing.T) {
	host, stack := inMemory.start(t), sigstoreStack(t)
	for name, c := range map[string]struct {
		from, to string // of the signing configuration
		root     bool   // of the trust root
		says     string
	}{
		"log down":            {stack.Trust.Rekor2.URL, "http://127.0.0.1:1", false, "rekor http://127.0.0.1:1"},
		"timestamps down":     {stack.Trust.TSA.URL, "http://127.0.0.1:1/x", false, "timestamp authority http://127.0.0.1:1"},
		"fulcio down":         {stack.Trust.CA.URL, "http://127.0.0.1:1", false, "fulcio http://127.0.0.1:1"},
		"fulcio is not it":    {stack.Trust.CA.URL, stack.Trust.Rekor2.URL, false, "fulcio " + stack.Trust.Rekor2.URL},
		"log of another name": {`"tlogs"`, `"ctlogs"`, true, "--trusted-root"},
		"plain HTTP":          {stack.Trust.CA.URL, "http://fulcio.example", false, "https is required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, f := newScene(t, host), newCommandFiles(t, 2)
			file := filepath.Join(f.dir, "config.json")
			if c.root {
				file = f.root
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, file, []byte(strings.ReplaceAll(string(text), c.from, c.to)))
			code, printed := hallmark(t, slices.Concat([]string{"sign"}, f.signs, []string{s.image.String()})...)
			if code != 2 || !strings.Contains(printed, c.says) || strings.Contains(printed, f.token) {
				t.Errorf("exit code %d, want 2 and %q:\n%s", code, c.says, printed)
			}
			for item, err := range registry.Evidence(t.Context(), s.store, s.image, registry.Limits{}) {
				t.Errorf("something is attached: %+v, %v", item, err)
			}
		})
	}
}
