package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/verify"
)

// listOf writes a list of images.
func listOf(t *testing.T, images ...string) string {
	t.Helper()
	return writeFile(t, filepath.Join(t.TempDir(), "images.txt"), []byte("# images\n\n"+strings.Join(images, "\n")+"\n"))
}

// lines decodes JSON lines.
func lines[T any](t *testing.T, text string) (all []T) {
	t.Helper()
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		var v T
		err := d.Decode(&v)
		if err == io.EOF {
			break
		}
		must(t, err)
		all = append(all, v)
	}
	if n := strings.Count(strings.TrimSpace(text), "\n") + 1; len(all) > 0 && n != len(all) {
		t.Errorf("%d lines hold %d objects", n, len(all))
	}
	return all
}

func TestImagesFrom_AFailureHidesNoOther(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	k := newKey(t)
	c := newCLI(t)
	for _, tag := range []string{"v1", "v2", "unsigned"} {
		x.push(tag)
	}
	signed := lines[map[string]any](t, c.run("sign", "--key", k.private, "-o", "json", "--images-from", listOf(t, x.tag("v1"), x.tag("none"), "-", x.tag("v2"))).exits(exitUndecided).stdout)
	failed := 0
	for _, s := range signed {
		if s["error"] != nil {
			failed++
		}
	}
	if len(signed) != 4 || failed != 2 {
		t.Errorf("%v", signed)
	}
	list := listOf(t, x.tag("v1"), x.tag("none"), x.tag("unsigned"), "docker://x", x.tag("v2"))
	reports := lines[verify.Report](t, c.run("verify", "--key", k.public, "-o", "json", "--images-from", list).exits(exitUndecided).stdout)
	counts := make(map[verify.Status]int)
	for _, r := range reports {
		counts[r.Status]++
	}
	if counts[verify.StatusVerified] != 2 || counts[verify.StatusDenied] != 1 || counts[verify.StatusUndecided] != 2 {
		t.Errorf("%v", counts)
	}
	c.run("verify", "--key", k.public, "--images-from", listOf(t, x.tag("v1"), x.tag("unsigned"))).exits(exitDenied).
		prints("verified", "denied").says("2 images: 1 verified 1 denied")
	c.must("verify", "--key", k.public, x.tag("v1"), "--images-from", listOf(t, x.tag("v2"))).says("2 images: 2 verified")
}

func TestImagesFrom_ReadsResultsOfBuilds(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	d := x.push("v1")
	k := newKey(t)
	c := newCLI(t)
	metadata := writeFile(t, filepath.Join(t.TempDir(), "metadata.json"), []byte(fmt.Sprintf(`{"containerimage.digest": %q, "image.name": %q}`, d.DigestStr(), x.tag("v1"))))
	c.must("sign", "--key", k.private, "--images-from", metadata).prints("signed")
	c.must("verify", "--key", k.public, "--images-from", metadata).prints("verified")
	c.stdin = d.String() + "\n"
	c.must("verify", "--key", k.public, "--images-from", "-").prints("verified")
	predicate := writeFile(t, filepath.Join(t.TempDir(), "p"), []byte(`{"x":1}`))
	c.must("attest", "--key", k.private, "--type", "https://x.example/t", "--predicate", predicate, "--images-from", metadata).prints("attested")
}

func TestImagesFrom_ExplainsADigestAlone(t *testing.T) {
	k := newKey(t)
	digest := "sha256:" + strings.Repeat("a", 64)
	file := writeFile(t, filepath.Join(t.TempDir(), "iid"), []byte(digest))
	for _, command := range [][]string{{"verify", "--key", k.public}, {"sign", "--key", k.private}} {
		c := newCLI(t)
		c.run(append(command, "--images-from", file)...).exits(exitUndecided).says("iidfile", "hint: ")
	}
	newCLI(t).run("sign", "--key", k.private, digest).exits(exitUndecided).says("--iidfile")
	newCLI(t).run("verify", "--key", k.public, digest).exits(exitUndecided).prints("--iidfile")
}

func TestAttack_F4_AnEmptyListVerifiesNothing(t *testing.T) {
	k := newKey(t)
	for _, text := range []string{"", "\n", "# nothing\n", "[]", "{}"} {
		file := writeFile(t, filepath.Join(t.TempDir(), "list"), []byte(text))
		newCLI(t).run("verify", "--key", k.public, "--images-from", file).exits(exitUndecided)
	}
	newCLI(t).run("verify", "--key", k.public, "--images-from", "none").exits(exitUndecided)
	newCLI(t).run("verify", "--key", k.public, "--images-from", "").exits(exitUndecided)
	newCLI(t).run("verify", "--key", k.public, "--progress", "x").exits(exitUndecided).says("goes with")
}

// A name in a list is never a flag.
func TestAttack_F4_ListsHoldNoFlags(t *testing.T) {
	k := newKey(t)
	x := layoutTarget(t)
	x.push("v1")
	newCLI(t).run("verify", "--key", k.public, "--images-from", listOf(t, "--help", "-h", x.tag("v1"))).exits(exitUndecided)
}

func TestCopy_ImagesOfAList(t *testing.T) {
	x, y := registryTarget(t, registrytest.Options{}), registryTarget(t, registrytest.Options{})
	a, b := x.push("v1"), x.push("v2")
	host := strings.Split(y.image, "/")[0]
	c := newCLI(t)
	list := listOf(t, x.tag("v1"), x.at(b), x.tag("v2")+"@"+b.DigestStr(), "oci:x:v1")
	all := lines[map[string]any](t, c.run("copy", "-o", "json", "--images-from", list, host+"/mirror").exits(exitUndecided).stdout)
	if len(all) != 4 {
		t.Errorf("%v", all)
	}
	c.must("inspect", host+"/mirror/team/app:v1").prints(a.DigestStr())
	c.must("inspect", host+"/mirror/team/app:v2").prints(b.DigestStr())
	for _, wrong := range []string{"oci:dir", "oci-archive:x", host + "/x:v1", "a b"} {
		c.run("copy", "--images-from", list, wrong).exits(exitUndecided).says("DESTINATION")
	}
	c.run("copy", "--images-from", list, "a", "b").exits(exitUndecided).says("accepts 1 arg")
}

// waits cancels a run after the first line of its output.
type waits struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (w *waits) Write(p []byte) (int, error) {
	w.cancel()
	return w.Buffer.Write(p)
}

func TestImagesFrom_AnInterruptSaysWhatWasNotDone(t *testing.T) {
	x := layoutTarget(t)
	k := newKey(t)
	var images []string
	for i := range 40 {
		tag := fmt.Sprintf("v%d", i)
		images = append(images, x.tag(tag))
	}
	x.push("v0")
	for _, command := range [][]string{{"sign", "--key", k.private}, {"verify", "--key", k.public}} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := &waits{cancel: cancel}
		c := newCLI(t)
		c.ctx, c.stdout = ctx, w
		out := c.run(append(command, "-o", "json", "--images-from", listOf(t, images...))...).exits(exitUndecided)
		if n := len(lines[map[string]any](t, w.String())); n != len(images) {
			t.Errorf("%s: %d of %d images are reported", command[0], n, len(images))
		}
		if command[0] == "sign" {
			out.says("interrupted: ")
		}
	}
}

func TestProgress_HasARateAndWhatRemains(t *testing.T) {
	track := tracker{verb: "verifying", total: 100, done: 25}
	if got := track.text(5 * time.Second); got != "verifying: 25 of 100 images, 5.0/s, 15s left" {
		t.Errorf("%q", got)
	}
	track.done = 100
	if got := track.text(5 * time.Second); got != "verifying: 100 of 100 images" {
		t.Errorf("%q", got)
	}
	x := layoutTarget(t)
	x.push("v1")
	k := newKey(t)
	c := newCLI(t)
	c.must("sign", "--key", k.private, "--progress", "--images-from", listOf(t, x.tag("v1"))).says("signing: 1 of 1 images")
	if out := c.must("sign", "--key", k.private, "--images-from", listOf(t, x.tag("v1"))); strings.Contains(out.stderr, "1 of 1") {
		t.Errorf("progress without a terminal: %s", out.stderr)
	}
	if _, err := os.Stat("images.txt"); err == nil {
		t.Error("a file is left")
	}
}
