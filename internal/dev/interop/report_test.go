package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The report of the image that examples/build makes is opened in Chromium. axe-core finds
// nothing in it: in light, dark and print, wide and narrow. HALLMARK_REPORT names a
// directory for the pictures and the PDF; without it they go with the test.
func TestReportReadsWellInChromium(t *testing.T) {
	p, kept := newProgram(t, "axe"), filepath.Join(t.TempDir(), "kept")
	tool(t, "chromium")
	build := exec.CommandContext(t.Context(), "go", "run", "./examples/build", kept)
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("examples/build: %v\n%s", err, out)
	}
	pictures := p.dir
	if dir := os.Getenv("HALLMARK_REPORT"); dir != "" {
		pictures = dir
	}
	image := []string{"inspect", "-o", "html", "--layout-name", "registry.example/team/app", "oci:" + filepath.Join(kept, "layout") + ":v1"}
	for _, view := range []struct {
		name, shows string
		flags       []string
	}{
		{"verified", "<strong>verified</strong>", []string{"--policy", filepath.Join(kept, "production.yaml")}},
		{"unverified", "Nothing in this report is verified", nil},
		{"denied", "<strong>denied</strong>", []string{"--policy", filepath.Join(kept, "production.yaml"), "--at", "2099-01-01T00:00:00Z"}},
	} {
		t.Run(view.name, func(t *testing.T) {
			code, page := hallmark(t, append(image, view.flags...)...)
			_, page, found := strings.Cut(page, "<!DOCTYPE html>") // behind what stderr says
			if code != 0 || !found || !strings.Contains(page, view.shows) {
				t.Fatalf("exit code %d: %s", code, page)
			}
			path := writeFile(t, filepath.Join(pictures, view.name+".html"), []byte("<!DOCTYPE html>"+page))
			p.run(t, path, pictures).accepted(t)
		})
	}
}
