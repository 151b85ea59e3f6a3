package house_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floor is one row of the table that says which of our packages may import
// which other ones.
type floor struct {
	// packages is a package's path below the module's, or a tree of them: x/...
	// is x and everything below it. The most specific row holds.
	packages string
	// may lists the rows whose packages may be imported, besides those of the
	// row itself where it is a tree.
	may []string
	// library marks what other programs import, or what that is made of.
	library bool
	// core marks what the module budget is about.
	core bool
	// tool marks what only developers run: it may import everything, and no
	// row may list it.
	tool bool
}

var floors = []floor{
	{packages: "internal/...", library: true},
	{packages: "internal/dev/house/...", tool: true},
	{packages: "internal/dev/interop/...", tool: true},
	{packages: "internal/dev/bench/...", tool: true},
	{packages: "internal/dev/leak/...", tool: true},
	{packages: "internal/dev/uncovered/...", tool: true},

	{packages: "registry", may: []string{"internal/..."}, library: true, core: true},
	{packages: "registry/registrytest", may: []string{"registry", "internal/..."}, library: true},

	{packages: "sign", may: []string{"registry", "internal/..."}, library: true, core: true},
	{packages: "sign/kms/aws", may: []string{"sign", "internal/..."}, library: true},
	{packages: "sign/kms/azure", may: []string{"sign", "internal/..."}, library: true},
	{packages: "sign/kms/gcp", may: []string{"sign", "internal/..."}, library: true},
	{packages: "sign/kms/vault", may: []string{"sign", "internal/..."}, library: true},
	{packages: "sign/pkcs11", may: []string{"sign", "internal/..."}, library: true},
	{packages: "sign/keyless", may: []string{"sign", "internal/..."}, library: true},

	{packages: "attest/predicate", may: []string{"internal/..."}, library: true, core: true},
	{packages: "attest/scan", may: []string{"attest/predicate", "internal/..."}, library: true, core: true},
	{packages: "attest", may: []string{"registry", "sign", "attest/predicate", "internal/..."}, library: true, core: true},
	{packages: "attest/provenance", may: []string{"attest", "attest/predicate", "internal/..."}, library: true, core: true},
	{packages: "attest/steps", may: []string{"attest", "attest/predicate", "sign", "internal/..."}, library: true, core: true},

	{packages: "verify/policy", may: []string{"attest/predicate", "internal/..."}, library: true, core: true},
	{packages: "verify", may: []string{"registry", "attest", "attest/predicate", "attest/scan", "attest/steps", "verify/policy", "internal/..."}, library: true, core: true},
	{packages: "verify/sigstore", may: []string{"verify", "internal/..."}, library: true},

	{packages: "verify/gate", may: []string{"registry", "verify", "verify/policy", "internal/..."}, library: true, core: true},

	{packages: "examples/...", tool: true},
}

// floorOf finds the most specific row that holds the package at dir; nil where
// there is none.
func floorOf(dir string) *floor {
	var best *floor
	for i, row := range floors {
		tree, isTree := strings.CutSuffix(row.packages, "/...")
		held := dir == row.packages || isTree && (dir == tree || strings.HasPrefix(dir, tree+"/"))
		if held && (best == nil || len(row.packages) > len(best.packages)) {
			best = &floors[i]
		}
	}
	return best
}

func (f *floor) mayImport(other *floor) bool {
	switch {
	case f.tool:
		return true
	case f == other:
		return strings.HasSuffix(f.packages, "/...")
	default:
		return slices.Contains(f.may, other.packages)
	}
}

// Tests may import what they like: a user's program never links them.
func TestFloors(t *testing.T) {
	for _, s := range sources(t) {
		row := floorOf(s.dir)
		if row == nil {
			t.Errorf("%s stands on no floor: give its package a row in the design and in floors_test.go, or move it", s.path)
			continue
		}
		if s.isTest() {
			continue
		}
		for _, spec := range s.file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			dir, ours := strings.CutPrefix(imported, modulePath+"/")
			if !ours {
				continue
			}
			other := floorOf(dir)
			if other == nil || !row.mayImport(other) {
				t.Errorf("%s: %s may not import %s: its floor allows only %q", s.at(spec), s.dir, dir, row.may)
			}
		}
	}
}

// What only describes, and reads no registry, must not be able to.
func TestLanguageReachesNoRegistry(t *testing.T) {
	imports := make(map[string]map[string]bool) // by directory
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		if imports[s.dir] == nil {
			imports[s.dir] = make(map[string]bool)
		}
		for _, spec := range s.file.Imports {
			imports[s.dir][strings.Trim(spec.Path.Value, `"`)] = true
		}
	}
	for _, dir := range []string{"attest/predicate", "attest/scan", "verify/policy"} {
		reached := map[string]bool{dir: true}
		for next := []string{dir}; len(next) > 0; next = next[1:] {
			for path := range imports[next[0]] {
				ours, is := strings.CutPrefix(path, modulePath+"/")
				if path == "net/http" || ours == "registry" || strings.HasPrefix(ours, "registry/") {
					t.Errorf("%s reaches %s, by %s", dir, path, next[0])
				}
				if is && !reached[ours] {
					reached[ours] = true
					next = append(next, ours)
				}
			}
		}
	}
}

func TestFloorsListsWhatExistsBelowEachRow(t *testing.T) {
	for _, row := range floors {
		for _, name := range row.may {
			i := slices.IndexFunc(floors, func(f floor) bool { return f.packages == name })
			if i < 0 {
				t.Errorf("%s may import %s, which is no row", row.packages, name)
			} else if floors[i].tool {
				t.Errorf("%s may import %s, which is for developers", row.packages, name)
			}
		}
	}
}
