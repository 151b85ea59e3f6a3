package provenance

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
)

// maxModuleFile bounds go.mod and go.sum, in bytes.
const maxModuleFile = 16 << 20

// GoModules returns the modules that a go.mod requires as dependencies: package URLs
// with the dirHash of go.sum. GoBinary returns what was really linked.
//
//   - A replaced module is listed as its replacement.
//   - From Go 1.17 on, go.mod lists every module that may be needed, tests
//     included. An older go.mod is ErrOrigin.
//   - A module is left out if go.sum has the sum of its go.mod alone: the build did
//     not read its code. A module without any sum is ErrOrigin.
//
// The internal parameter "goModule:PATH" for the module's path holds the versions of
// the language and the toolchain. Errors are ErrOrigin.
//
// Source: Go Modules Reference, "go.mod files" and "go.sum files".
func GoModules(goMod, goSum []byte) (Facts, error) {
	if len(goMod) > maxModuleFile || len(goSum) > maxModuleFile {
		return Facts{}, fmt.Errorf("%w: go.mod or go.sum exceeds %d bytes", ErrOrigin, maxModuleFile)
	}
	mod, err := parseGoMod(goMod)
	if err != nil {
		return Facts{}, err
	}
	sums, err := parseGoSum(goSum)
	if err != nil {
		return Facts{}, err
	}
	parameters := map[string]any{"go": mod.goVersion}
	if mod.toolchain != "" {
		parameters["toolchain"] = mod.toolchain
	}
	f := Facts{InternalParameters: map[string]any{"goModule:" + mod.path: parameters}}
	for _, m := range mod.require {
		m.Replace = mod.replacement(m.Path, m.Version)
		read, err := sums.sum(m)
		if err != nil {
			return Facts{}, err
		}
		if !read {
			continue
		}
		d, err := moduleDependency(m)
		if err != nil {
			return Facts{}, err
		}
		f.Dependencies = append(f.Dependencies, d)
	}
	return f, nil
}

// moduleVersion is one version of a module. Empty version: all of them.
type moduleVersion struct{ path, version string }

type goModFile struct {
	path, goVersion, toolchain string
	require                    []*debug.Module
	replace                    map[moduleVersion]moduleVersion
}

func (m *goModFile) replacement(path, version string) *debug.Module {
	for _, key := range []moduleVersion{{path, version}, {path, ""}} {
		if by, ok := m.replace[key]; ok {
			return &debug.Module{Path: by.path, Version: by.version}
		}
	}
	return nil
}

func parseGoMod(text []byte) (*goModFile, error) {
	m := &goModFile{replace: make(map[moduleVersion]moduleVersion)}
	block, n := "", 0
	for line := range bytes.Lines(text) {
		n++
		words, err := goModWords(string(line))
		if err != nil {
			return nil, fmt.Errorf("%w: go.mod line %d: %w", ErrOrigin, n, err)
		}
		switch {
		case len(words) == 0:
			continue
		case block != "" && len(words) == 1 && words[0] == ")":
			block = ""
			continue
		case block == "" && len(words) == 2 && words[1] == "(":
			block = words[0]
			continue
		case block != "":
			words = append([]string{block}, words...)
		}
		if err := m.directive(words); err != nil {
			return nil, fmt.Errorf("%w: go.mod line %d: %w", ErrOrigin, n, err)
		}
	}
	switch {
	case block != "":
		return nil, fmt.Errorf("%w: go.mod ends within a block", ErrOrigin)
	case m.path == "":
		return nil, fmt.Errorf("%w: go.mod names no module", ErrOrigin)
	case !since117(m.goVersion):
		return nil, fmt.Errorf("%w: go.mod is for Go %.20q, want 1.17 or newer; an older one does not list all modules of a build", ErrOrigin, m.goVersion)
	}
	return m, nil
}

// directive reads one directive. It ignores those that do not change which modules are
// used, and those that it does not know.
func (m *goModFile) directive(words []string) error {
	args := words[1:]
	set := func(into *string) error {
		if len(args) != 1 || *into != "" {
			return fmt.Errorf("malformed %s", words[0])
		}
		*into = args[0]
		return nil
	}
	switch words[0] {
	case "module":
		return set(&m.path)
	case "go":
		return set(&m.goVersion)
	case "toolchain":
		return set(&m.toolchain)
	case "require":
		if len(args) != 2 || len(m.require) >= maxModules {
			return fmt.Errorf("malformed require")
		}
		m.require = append(m.require, &debug.Module{Path: args[0], Version: args[1]})
	case "replace":
		return m.replaceDirective(args)
	}
	return nil
}

// replaceDirective reads "old [version] => new [version]".
func (m *goModFile) replaceDirective(args []string) error {
	for i, word := range args {
		if word != "=>" {
			continue
		}
		old, by := args[:i], args[i+1:]
		if len(old) < 1 || len(old) > 2 || len(by) < 1 || len(by) > 2 {
			break
		}
		key, value := moduleVersion{path: old[0]}, moduleVersion{path: by[0]}
		if len(old) == 2 {
			key.version = old[1]
		}
		if len(by) == 2 {
			value.version = by[1]
		}
		if have, twice := m.replace[key]; twice && have != value {
			return fmt.Errorf("one module has two replacements")
		}
		m.replace[key] = value
		return nil
	}
	return fmt.Errorf("malformed replace")
}

// since117 reports whether a version of the language, such as 1.21 or 1.26rc1, is 1.17
// or newer.
func since117(version string) bool {
	major, minor, _ := strings.Cut(version, ".")
	if end := strings.IndexFunc(minor, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		minor = minor[:end]
	}
	first, errMajor := strconv.Atoi(major)
	second, errMinor := strconv.Atoi(minor)
	return errMajor == nil && errMinor == nil && (first > 1 || first == 1 && second >= 17)
}

// goModWords splits a line into words. Parentheses are words, and comments are left
// out.
func goModWords(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeft(line, " \t\r\n")
		switch {
		case line == "" || strings.HasPrefix(line, "//"):
			return words, nil
		case strings.HasPrefix(line, "/*"):
			return nil, fmt.Errorf("a comment with /*, which go.mod does not allow")
		case line[0] == '(' || line[0] == ')':
			words, line = append(words, line[:1]), line[1:]
		case line[0] == '"' || line[0] == '`':
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("malformed string")
			}
			word, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("malformed string")
			}
			words, line = append(words, word), line[len(quoted):]
		default:
			end := strings.IndexAny(line, " \t\r\n()\"`")
			if end < 0 {
				end = len(line)
			}
			if comment := strings.Index(line[:end], "//"); comment > 0 {
				end = comment
			}
			words, line = append(words, line[:end]), line[end:]
		}
	}
}

// goSums holds the sums in a go.sum. The version of a go.mod ends in "/go.mod".
type goSums map[moduleVersion]string

// sum sets the sum of the module or its replacement. read is false if the build did not
// read the module's code.
func (s goSums) sum(m *debug.Module) (read bool, err error) {
	used, local := usedModule(m)
	if local {
		return true, nil
	}
	sum, ok := s[moduleVersion{used.Path, used.Version}]
	if !ok {
		if _, known := s[moduleVersion{used.Path, used.Version + "/go.mod"}]; known {
			return false, nil
		}
		return false, fmt.Errorf("%w: go.sum has no sum of %.200q", ErrOrigin, used.Path+"@"+used.Version)
	}
	if m.Replace != nil {
		m.Replace.Sum = sum
	} else {
		m.Sum = sum
	}
	return true, nil
}

// parseGoSum reads lines of "path version sum". It ignores sums by other algorithms than
// h1.
func parseGoSum(text []byte) (goSums, error) {
	sums := make(goSums)
	n := 0
	for line := range bytes.Lines(text) {
		n++
		words := strings.Fields(string(line))
		if len(words) == 0 {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("%w: go.sum line %d is malformed", ErrOrigin, n)
		}
		if !strings.HasPrefix(words[2], "h1:") {
			continue
		}
		key := moduleVersion{words[0], words[1]}
		if have, twice := sums[key]; twice && have != words[2] {
			return nil, fmt.Errorf("%w: go.sum line %d: a second, different sum of one module", ErrOrigin, n)
		}
		sums[key] = words[2]
	}
	return sums, nil
}
