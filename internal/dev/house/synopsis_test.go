package house_test

import (
	"fmt"
	"go/doc"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// longestSynopsis is how many words the first sentence about a package may have.
const longestSynopsis = 25

// packageComments are the comments about packages, by their directories.
func packageComments(t *testing.T) (comments, names map[string]string) {
	t.Helper()
	comments, names = make(map[string]string), make(map[string]string)
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		names[s.dir] = s.file.Name.Name
		if s.file.Doc != nil {
			comments[s.dir] += s.file.Doc.Text()
		}
	}
	return comments, names
}

// A list of packages shows the synopsis of each, and nothing else.
func TestSynopsesSayWhatPackagesAreFor(t *testing.T) {
	comments, names := packageComments(t)
	unclear := make(map[string]int)
	for _, dir := range slices.Sorted(maps.Keys(names)) {
		want := "Package " + names[dir]
		if names[dir] == "main" {
			want = "Command " + path.Base(dir)
		}
		synopsis := new(doc.Package).Synopsis(comments[dir])
		synopsis = strings.Replace(synopsis, "Command containers-image", "Command containersimage", 1) // the program has a hyphen
		verb := regexp.MustCompile(`^` + regexp.QuoteMeta(want) + ` [a-z]+s[ ,.]`)
		if !verb.MatchString(synopsis) || !strings.HasSuffix(synopsis, ".") {
			t.Logf("%s: the synopsis is %q; want one sentence that begins with %q and a verb", dir, synopsis, want)
			unclear[dir] = 1
		}
		if n := len(strings.Fields(synopsis)); n > longestSynopsis {
			t.Logf("%s: the synopsis has %d words, more than %d: %s", dir, n, longestSynopsis, synopsis)
			unclear[dir] = 1
		}
	}
	withinBudget(t, "synopsis", 0, unclear, "say what the package is for in one sentence")
	fmt.Printf("documents: %d packages have a synopsis\n", len(names))
}
