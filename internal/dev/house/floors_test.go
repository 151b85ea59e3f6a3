package house_test

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floor is one row of the design's table: what packages hold, and which of ours they
// may import.
type floor struct {
	level int
	// packages is a package's path below the module's, or a tree of them: x/...
	// is x and everything below it. The most specific row holds.
	packages string
	// may lists the rows whose packages may be imported. internal/... goes without
	// saying in the root module, and the row itself where it is a tree.
	may []string
	// library marks what other programs import, or what that is made of.
	library bool
	// core marks what the module budget is about.
	core bool
	// tool marks what may import everything, and what no row may list.
	tool bool
	// public marks what imports public packages only: programs that show how the
	// library is used. So do all nested modules.
	public bool
}

var floors = []floor{
	{level: 0, packages: "internal/wire/...", may: []string{"internal/..."}, library: true},
	{level: 0, packages: "internal/...", may: []string{"internal/wire/..."}, library: true},

	{level: 1, packages: "registry", library: true, core: true},
	{level: 1, packages: "registry/remote", may: []string{"registry"}, library: true, core: true},
	{level: 1, packages: "registry/layout", may: []string{"registry"}, library: true, core: true},
	{level: 1, packages: "registry/built", may: []string{"registry"}, library: true, core: true},
	{level: 1, packages: "registry/registrytest", may: []string{"registry"}, library: true},
	{level: 1, packages: "attest/predicate", library: true, core: true},

	{level: 2, packages: "sign", may: []string{"registry"}, library: true, core: true},
	{level: 2, packages: "sign/kms/aws", may: []string{"sign"}, library: true},
	{level: 2, packages: "sign/kms/azure", may: []string{"sign"}, library: true},
	{level: 2, packages: "sign/kms/gcp", may: []string{"sign"}, library: true},
	{level: 2, packages: "sign/kms/vault", may: []string{"sign"}, library: true},
	{level: 2, packages: "sign/pkcs11", may: []string{"sign"}, library: true},
	{level: 2, packages: "sign/agent", may: []string{"sign"}, library: true},
	{level: 2, packages: "sign/keyless", may: []string{"sign"}, library: true},

	{level: 3, packages: "attest", may: []string{"registry", "sign", "attest/predicate"}, library: true, core: true},
	{level: 3, packages: "attest/scan", may: []string{"attest", "attest/predicate"}, library: true, core: true},
	{level: 3, packages: "attest/provenance", may: []string{"attest", "attest/predicate"}, library: true, core: true},
	{level: 3, packages: "attest/steps", may: []string{"attest", "attest/predicate"}, library: true, core: true},

	{level: 4, packages: "verify/policy", may: []string{"attest/predicate"}, library: true, core: true},
	{level: 4, packages: "verify", may: []string{
		"registry", "attest", "attest/predicate", "attest/scan", "attest/provenance", "attest/steps", "verify/policy",
	}, library: true, core: true},
	{level: 4, packages: "sign/signtest", may: []string{"sign", "verify/policy"}, library: true},
	{level: 4, packages: "verify/sigstore", may: []string{"verify/policy"}, library: true, core: true},
	{level: 4, packages: "verify/sigstore/tuf", may: []string{"verify/policy", "verify/sigstore"}, library: true},
	{level: 4, packages: "verify/notation", may: []string{"verify/policy"}, library: true},
	{level: 4, packages: "verify/policy/cel", may: []string{"verify/policy"}, library: true},

	{level: 5, packages: "verify/gate/store", library: true, core: true},
	{level: 5, packages: "verify/gate", may: []string{"registry", "registry/remote", "verify", "verify/gate/store"}, library: true, core: true},
	{level: 5, packages: "verify/gate/status", may: []string{"verify/gate"}, library: true},
	{level: 5, packages: "verify/gate/redis", may: []string{"verify/gate"}, library: true},
	{level: 5, packages: "verify/gate/metrics", may: []string{"verify/gate"}, library: true},
	{level: 5, packages: "verify/gate/otel", may: []string{"verify/gate"}, library: true},
	{level: 5, packages: "verify/pin", may: []string{"registry", "verify"}, library: true},
	{level: 5, packages: "verify/admission", may: []string{"registry", "verify"}, library: true},

	{level: 5, packages: "verify/policytest", may: []string{"registry", "registry/layout", "verify", "verify/policy"}, library: true},

	{level: 6, packages: "examples/...", tool: true, public: true},
	{level: 7, packages: "internal/dev/...", tool: true},
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

// mayImport says whether packages of one row may import those of another. nested is
// true for a package in a module of its own, which is tagged by itself.
func (f *floor) mayImport(other *floor, nested bool) bool {
	switch {
	case other.level == 0 && (nested || f.public):
		return false
	case other.level > f.level || other.tool && f != other:
		return false
	case f.tool:
		return true
	case other.level == 0 && f.level > 0, f == other && strings.HasSuffix(f.packages, "/..."):
		return true
	default:
		return slices.Contains(f.may, other.packages)
	}
}

// isNested says whether the package at dir belongs to a module below the root. Those
// in internal/dev are never tagged, and count as part of the root module.
func isNested(t *testing.T, dir string) bool {
	t.Helper()
	if strings.HasPrefix(dir, "internal/dev/") {
		return false
	}
	for ; dir != "."; dir = path.Dir(dir) {
		if _, err := os.Stat(filepath.Join(topLevel(t), filepath.FromSlash(dir), "go.mod")); err == nil {
			return true
		}
	}
	return false
}

// Tests may import what they like: a user's program never links them. Those of examples
// import what others can, too.
func TestFloors(t *testing.T) {
	var found []finding
	for _, s := range sources(t) {
		row := floorOf(s.dir)
		if row == nil {
			t.Errorf("%s stands on no floor: give its package a row in the design and in floors_test.go, or move it", s.path)
			continue
		}
		if s.isTest() && !row.public {
			continue
		}
		nested := isNested(t, s.dir)
		for _, spec := range s.file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			dir, ours := strings.CutPrefix(imported, modulePath+"/")
			if !ours || row.packages == "internal/dev/..." {
				continue
			}
			if other := floorOf(dir); other == nil || !row.mayImport(other, nested) {
				found = append(found, finding{s.dir + " imports " + dir, s.at(spec)})
			}
		}
	}
	onlyShrinks(t, "floor", found, "its row in floors_test.go does not name it")
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
			switch {
			case i < 0:
				t.Errorf("%s may import %s, which is not a row", row.packages, name)
			case floors[i].tool:
				t.Errorf("%s may import %s, which is for developers", row.packages, name)
			case floors[i].level > row.level:
				t.Errorf("%s may import %s, which stands higher", row.packages, name)
			}
		}
	}
}

func TestFloorsDecideWhoImportsWhat(t *testing.T) {
	for _, test := range []struct {
		from, to string
		nested   bool
		want     bool
	}{
		{"verify", "registry", false, true},
		{"verify", "internal/lru", false, true},
		{"verify", "verify/policy", false, true},
		{"verify", "verify/gate", false, false},
		{"verify/policy", "attest/predicate", false, true},
		{"verify/policy", "registry", false, false},
		{"verify/policy", "verify", false, false},
		{"registry", "sign", false, false},
		{"registry/layout", "registry/remote", false, false},
		{"internal/wire/dsse", "internal/wire/b64", false, true},
		{"internal/lru", "internal/singleflight", false, true},
		{"internal/lru", "registry", false, false},
		{"internal/wire/dsse", "internal/dev/leak", false, false},
		{"verify/gate/redis", "verify/gate", true, true},
		{"verify/gate/redis", "internal/seal", true, false},
		{"examples/hallmark", "verify", false, true},
		{"examples/hallmark", "examples/policy", false, true},
		{"examples/hallmark", "internal/lru", false, false},
		{"examples/hallmark", "internal/dev/leak", false, false},
	} {
		if got := floorOf(test.from).mayImport(floorOf(test.to), test.nested); got != test.want {
			t.Errorf("%s imports %s: %v, want %v", test.from, test.to, got, test.want)
		}
	}
}
