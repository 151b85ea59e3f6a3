package command

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
)

func TestInspect_ReadsAListOfImages(t *testing.T) {
	x, k := registryTarget(t, registrytest.Options{}), newKey(t)
	a, b := x.push("a"), x.push("b")
	_, err := sign.Image(t.Context(), x.store, a, sign.ImageOptions{}, k.signer)
	must(t, err)
	list := writeFile(t, filepath.Join(t.TempDir(), "images"), []byte(x.tag("a")+"\n"+x.tag("none")+"\n"+x.tag("b")+"\n"))
	o := newCLI(t).run("inspect", "--key", k.public, "--images-from", list, "-o", "json").exits(exitUndecided)
	found := make(map[string]string)
	for line := range strings.Lines(o.stdout) {
		var v struct {
			verify.Inspection
			Failure string `json:"-"`
			Hint    string `json:"hint"`
		}
		must(t, json.Unmarshal([]byte(line), &v))
		found[v.Image] = v.Digest
		if v.Image == x.tag("none") && (v.Error == "" || v.Hint == "") || v.Image == x.tag("a") && len(v.Evidence) != 1 {
			t.Errorf("%s", line)
		}
	}
	if len(found) != 3 || found[x.tag("a")] != a.String() || found[x.tag("b")] != b.String() || found[x.tag("none")] != "" {
		t.Errorf("%v", found)
	}
	newCLI(t).run("inspect", "--images-from", list, "--progress").exits(exitUndecided).
		prints(a.String(), b.String(), "failed  "+x.tag("none")).says("inspecting: 3 of 3 images")
	good := writeFile(t, filepath.Join(t.TempDir(), "good"), []byte(x.tag("a")+"\n"))
	newCLI(t).must("inspect", "--images-from", good, x.tag("b")).prints(a.String(), b.String())
	c := newCLI(t)
	c.stdin = x.tag("a") + "\n"
	c.must("inspect", "--images-from", "-").prints(a.String())
	newCLI(t).run("inspect", "--images-from", good, "-o", "html").exits(exitUndecided).says("one image")
	newCLI(t).run("inspect", "--progress", x.tag("b")).exits(exitUndecided).says("--progress goes with --images-from")
}

// An image of a list whose evidence cannot be listed is shown, and the exit code says so.
func TestInspect_OfAListTellsWhatItCouldNotRead(t *testing.T) {
	x := registryTarget(t, registrytest.Options{})
	a := x.push("a")
	list := writeFile(t, filepath.Join(t.TempDir(), "images"), []byte(x.tag("a")+"\n"))
	x.reg.Inject(registrytest.Fault{Kind: registrytest.KindReferrers, Do: registrytest.Status(http.StatusForbidden)})
	newCLI(t).run("inspect", "--images-from", list).exits(exitUndecided).prints(a.String()).says("not everything about 1 of 1 images could be read")
}
