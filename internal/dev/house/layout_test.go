package house_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/dev/race"
)

// allowedAtTop is what the top level may hold, besides dotfiles.
var allowedAtTop = []string{
	"attest", "examples", "internal", "registry", "sign", "verify",
	"LICENSE", "README.md", "go.mod", "go.sum",
}

func TestTopLevelHoldsNothingElse(t *testing.T) {
	seen := make(map[string]bool)
	for _, file := range trackedFiles(t) {
		top, _, _ := strings.Cut(file, "/")
		if seen[top] || strings.HasPrefix(top, ".") {
			continue
		}
		seen[top] = true
		if !slices.Contains(allowedAtTop, top) {
			t.Errorf("%s does not belong at the top level, which holds only %s and dotfiles", top, strings.Join(allowedAtTop, ", "))
		}
	}
}

// foreign matches what works on one machine or through one mirror alone: paths
// of a build machine and hosts of package registries. Each part is written so
// that this file does not match itself.
var foreign = regexp.MustCompile(strings.Join([]string{
	`/wor` + `k/`, `/far` + `m/`, `\.libr` + `ary/`, `/roo` + `t/(go|peers|\.cache)`, `/tm` + `p/brief`,
	`(proxy|sum)\.go` + `lang\.org`, `goprox` + `y\.`, `registry\.npm` + `js`, `(deb|security)\.deb` + `ian\.org`,
	`py` + `pi\.org`, `files\.python` + `hosted`, `crates` + `\.io`, `ruby` + `gems\.org`, `repo1?\.ma` + `ven`,
}, "|"))

func TestNoFileNamesAMachinePathOrAPackageRegistry(t *testing.T) {
	race.Skip(t, "one goroutine reads all files")
	if !foreign.MatchString("see /wor" + "k/main") {
		t.Fatal("the pattern matches nothing")
	}
	for _, file := range trackedFiles(t) {
		text, err := os.ReadFile(filepath.Join(topLevel(t), filepath.FromSlash(file)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range bytes.Split(text, []byte("\n")) {
			if found := foreign.Find(line); found != nil {
				t.Errorf("%s:%d names %q: it must hold on every machine", file, n+1, found)
			}
		}
	}
}
