package provenance

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// ErrOrigin says that the origin of an artifact cannot be read from a file. The file
// is of another kind, is malformed, or does not say exactly what was used.
var ErrOrigin = errors.New("origin cannot be told")

// maxModules bounds the modules of a binary, and the packages of a lock file.
const maxModules = 100_000

// GoBinary returns the facts in the build information of a Go binary (package
// debug/buildinfo). The go command writes it into every binary with module support.
//
//   - Dependencies: every module that was linked, as a package URL with the
//     module's dirHash. The main module is one of them if the binary has its
//     version or its git commit.
//   - BuilderDependencies: the standard library, and with it the toolchain.
//   - InternalParameters "goBinary:PATH" for the main package's path: the target,
//     the build mode, and whether the work tree was modified.
//
// Builds pass secrets and paths in -ldflags, -gcflags, -asmflags and CGO_…FLAGS, as
// in "-X main.token=…". Their values are not recorded. Their names are listed as
// "withheld".
//
// A binary's build information is a claim of its build. Errors are ErrOrigin.
func GoBinary(r io.ReaderAt) (Facts, error) {
	info, err := readGoBinary(r)
	if err != nil {
		return Facts{}, err
	}
	f := Facts{
		BuilderDependencies: []predicate.ResourceDescriptor{{URI: golangPURL(stdlib, stdlibVersion(info.GoVersion)), Name: info.GoVersion}},
		InternalParameters:  map[string]any{"goBinary:" + info.Path: goParameters(info)},
	}
	main, ok, err := mainModule(info)
	if err != nil {
		return Facts{}, err
	}
	if ok {
		f.Dependencies = append(f.Dependencies, main)
	}
	for _, m := range info.Deps {
		d, err := moduleDependency(m)
		if err != nil {
			return Facts{}, err
		}
		f.Dependencies = append(f.Dependencies, d)
	}
	return f, nil
}

func readGoBinary(r io.ReaderAt) (*debug.BuildInfo, error) {
	info, err := buildinfo.Read(r)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not a Go binary with build information: %.200q", ErrOrigin, err.Error())
	}
	if info.Path == "" && info.Main.Path == "" {
		return nil, fmt.Errorf("%w: the Go binary was built without modules", ErrOrigin)
	}
	if len(info.Deps) > maxModules {
		return nil, fmt.Errorf("%w: the Go binary has more than %d modules", ErrOrigin, maxModules)
	}
	return info, nil
}

// copiedSetting reports whether a build setting is recorded with its value. The values
// of these settings say how code was compiled, and hold no secrets.
func copiedSetting(name string) bool {
	switch name {
	case "-buildmode", "-compiler", "-trimpath", "-tags", "-race", "-msan", "-asan", "-cover", "-covermode",
		"CGO_ENABLED", "GOOS", "GOARCH", "GO386", "GOAMD64", "GOARM", "GOARM64", "GOMIPS", "GOMIPS64", "GOPPC64",
		"GORISCV64", "GOWASM", "GOEXPERIMENT", "GOFIPS140", "DefaultGODEBUG", "vcs", "vcs.time", "vcs.modified":
		return true
	}
	return false
}

func goParameters(info *debug.BuildInfo) map[string]any {
	parameters := map[string]any{"goVersion": info.GoVersion}
	if info.Main.Path != "" {
		parameters["module"] = info.Main.Path
	}
	var withheld []any
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.modified":
			parameters[s.Key] = s.Value == "true"
		case copiedSetting(s.Key):
			parameters[s.Key] = s.Value
		case s.Key == "vcs.revision" && setting(info, "vcs") != "git":
			parameters[s.Key] = s.Value
		case s.Key != "vcs.revision":
			withheld = append(withheld, s.Key)
		}
	}
	if len(withheld) > 0 {
		parameters["withheld"] = withheld
	}
	return parameters
}

func setting(info *debug.BuildInfo, name string) string {
	for _, s := range info.Settings {
		if s.Key == name {
			return s.Value
		}
	}
	return ""
}

// mainModule returns the program's own module if the binary has its commit or its sum.
// The repository is not in the binary.
func mainModule(info *debug.BuildInfo) (predicate.ResourceDescriptor, bool, error) {
	commit := setting(info, "vcs.revision")
	if info.Main.Path == "" {
		return predicate.ResourceDescriptor{}, false, nil
	}
	if setting(info, "vcs") == "git" && (len(commit) == 40 || len(commit) == 64) && isHex(commit) {
		d := predicate.ResourceDescriptor{URI: golangPURL(info.Main.Path, ""), Digest: map[string]string{"gitCommit": commit}}
		if setting(info, "vcs.modified") == "true" {
			d.Annotations = map[string]any{"modified": true}
		}
		return d, true, nil
	}
	if info.Main.Sum == "" {
		return predicate.ResourceDescriptor{}, false, nil
	}
	d, err := moduleDependency(&info.Main)
	return d, true, err
}

// usedModule returns the module whose code was used: the replacement, if there is one.
// If the replacement is a directory of the build machine, local is true and the module
// has neither version nor sum.
func usedModule(m *debug.Module) (used debug.Module, local bool) {
	switch {
	case m.Replace == nil:
		return *m, false
	case m.Replace.Version == "", m.Replace.Version == "(devel)", isDirectory(m.Replace.Path):
		return debug.Module{Path: m.Path}, true
	}
	return *m.Replace, false
}

// isDirectory reports whether a replacement's path is a directory, by the rules of
// go.mod.
func isDirectory(path string) bool {
	return path == "." || path == ".." || strings.HasPrefix(path, "./") || strings.HasPrefix(path, "../") ||
		strings.HasPrefix(path, "/") || strings.Contains(path, `\`) || len(path) > 1 && path[1] == ':'
}

func moduleDependency(m *debug.Module) (predicate.ResourceDescriptor, error) {
	used, local := usedModule(m)
	d := predicate.ResourceDescriptor{URI: golangPURL(used.Path, used.Version)}
	switch {
	case local:
		d.Annotations = map[string]any{"replaces": m.Path + "@" + m.Version, "replacedBy": "a local directory"}
	case m.Replace != nil:
		d.Annotations = map[string]any{"replaces": m.Path + "@" + m.Version}
	}
	if used.Sum == "" {
		return d, nil
	}
	sum, err := dirHash(used.Sum)
	if err != nil {
		return d, fmt.Errorf("module %.200q: %w", used.Path, err)
	}
	d.Digest = map[string]string{"dirHash": sum}
	return d, nil
}

// dirHash returns a module's sum as the digest that in-toto calls dirHash: the same
// hash in hex (digest_set.md).
func dirHash(sum string) (string, error) {
	text, ok := strings.CutPrefix(sum, "h1:")
	hash, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(hash) != 32 {
		return "", fmt.Errorf("%w: %.80q is not an h1 sum", ErrOrigin, sum)
	}
	return hex.EncodeToString(hash), nil
}

// golangPURL returns the package URL of a module. It keeps upper case, unlike the purl
// specification: module paths that differ in case are different modules.
func golangPURL(path, version string) string { return purl("golang", path, version) }

// stdlib is the name by which scanners know the standard library.
const stdlib = "stdlib"

// stdlibVersion returns the version of a toolchain's standard library. The toolchain's
// own version may name experiments, as in "go1.26.1 X:jsonv2".
func stdlibVersion(goVersion string) string {
	version, _, _ := strings.Cut(goVersion, " ")
	return strings.TrimPrefix(version, "go")
}

// purl returns a package URL without qualifiers (purl-spec). path may have several
// segments.
func purl(kind, path, version string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		segments[i] = purlEscape(s)
	}
	text := "pkg:" + kind + "/" + strings.Join(segments, "/")
	if version != "" {
		text += "@" + purlEscape(version)
	}
	return text
}

// purlEscape percent-escapes what purl-spec does not allow.
func purlEscape(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~:", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
