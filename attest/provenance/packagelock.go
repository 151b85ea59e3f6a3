package provenance

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// maxPackageLock bounds a lock file, in bytes.
const maxPackageLock = 64 << 20

// PackageLock gives the packages that npm's package-lock.json (or
// npm-shrinkwrap.json) of version 1, 2 or 3 locks, as dependencies: package URLs,
// the digests of "integrity" in hex, and where each is from, without credentials
// or query. A package from git has its gitCommit. Packages that are needed for
// development only, optional, or contained in another package's archive say so
// in annotations ("dev", "optional", "bundled").
//
// Directories of the project itself (workspaces, links, "file:") are no
// dependencies. Of version 2, which says everything twice, "packages" is read, as
// npm does.
//
// Errors are ErrOrigin: malformed, another version, two names that differ only in
// case, an integrity that is none.
//
// Source: npm documentation, package-lock.json; W3C Subresource Integrity.
func PackageLock(data []byte) (Facts, error) {
	if len(data) > maxPackageLock {
		return Facts{}, fmt.Errorf("%w: a lock file of %d bytes, at most %d are read", ErrOrigin, len(data), maxPackageLock)
	}
	root, err := strictjson.ParseExact(data)
	if err != nil {
		return Facts{}, fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	l := lockReader{at: make(map[string]int)}
	version, _ := root.Get("lockfileVersion").Int()
	switch {
	case root.Kind() != strictjson.Object || version < 1 || version > 3:
		return Facts{}, fmt.Errorf("%w: lockfileVersion %.20s; known are 1, 2 and 3", ErrOrigin, root.Get("lockfileVersion").Raw())
	case version == 1:
		err = l.tree(root.Get("dependencies"), false)
	case root.Get("packages").Kind() != strictjson.Object:
		return Facts{}, fmt.Errorf("%w: a lock file of version %d without packages", ErrOrigin, version)
	default:
		err = l.packages(root.Get("packages"))
	}
	if err != nil {
		return Facts{}, err
	}
	return Facts{Dependencies: l.found}, nil
}

// lockEntry is one package of a lock file of any version.
type lockEntry struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Resolved    any    `json:"resolved"` // a string where it means anything
	Integrity   string `json:"integrity"`
	Link        bool   `json:"link"`
	Dev         bool   `json:"dev"`
	Optional    bool   `json:"optional"`
	DevOptional bool   `json:"devOptional"`
	InBundle    bool   `json:"inBundle"`
	Bundled     bool   `json:"bundled"` // version 1
}

type lockReader struct {
	found []predicate.ResourceDescriptor
	at    map[string]int // where a package stands in found
}

// packages reads the map of versions 2 and 3, of which the keys are paths. What
// lies in no node_modules is the project's own.
func (l *lockReader) packages(all strictjson.Value) error {
	const modules = "node_modules/"
	for path, v := range all.Members() {
		at := strings.LastIndex(path, modules)
		if at < 0 || at > 0 && path[at-1] != '/' {
			continue
		}
		e, err := lockEntryOf(v, path)
		if err != nil {
			return err
		}
		if e.Name == "" {
			e.Name = path[at+len(modules):] // else it is installed by an alias
		}
		if err := l.add(e); err != nil {
			return err
		}
	}
	return nil
}

// tree reads the nested dependencies of version 1.
func (l *lockReader) tree(all strictjson.Value, bundled bool) error {
	switch all.Kind() {
	case strictjson.Missing, strictjson.Null:
		return nil
	case strictjson.Object:
	default:
		return fmt.Errorf("%w: dependencies of a lock file are no object", ErrOrigin)
	}
	for name, v := range all.Members() {
		e, err := lockEntryOf(v, name)
		if err != nil {
			return err
		}
		e.Name = name
		if alias, ok := strings.CutPrefix(e.Version, "npm:"); ok {
			if at := strings.LastIndexByte(alias, '@'); at > 0 {
				e.Name, e.Version = alias[:at], alias[at+1:]
			}
		}
		if strings.Contains(e.Version, ":") {
			// The specifier of something that is not from a registry.
			if e.Resolved == nil {
				e.Resolved = e.Version
			}
			e.Version = ""
		}
		e.InBundle = e.Bundled || bundled
		if err := l.add(e); err != nil {
			return err
		}
		if err := l.tree(v.Get("dependencies"), e.InBundle); err != nil {
			return err
		}
	}
	return nil
}

func lockEntryOf(v strictjson.Value, path string) (lockEntry, error) {
	var e lockEntry
	if err := strictjson.Decode(v, &e, strictjson.DecodeOptions{}); err != nil {
		return e, fmt.Errorf("%w: package %.200q: %w", ErrOrigin, path, err)
	}
	return e, nil
}

// add appends a package, unless it is of the project itself or was not installed.
func (l *lockReader) add(e lockEntry) error {
	resolved, _ := e.Resolved.(string)
	local := strings.HasPrefix(resolved, "file:") && e.Integrity == ""
	if e.Link || local || e.Version == "" && resolved == "" {
		return nil
	}
	d := predicate.ResourceDescriptor{URI: purl("npm", e.Name, e.Version)}
	var err error
	if d.Digest, err = integrityDigests(e.Integrity); err != nil {
		return fmt.Errorf("package %.200q: %w", e.Name, err)
	}
	setLockSource(&d, resolved)
	d.Annotations = make(map[string]any)
	for name, is := range map[string]bool{"dev": e.Dev || e.DevOptional, "optional": e.Optional || e.DevOptional, "bundled": e.InBundle} {
		if is {
			d.Annotations[name] = true
		}
	}
	return l.keep(d)
}

// keep adds a package. One that is installed at several places is listed once,
// and is said to be for development, optional or bundled if it is so everywhere.
func (l *lockReader) keep(d predicate.ResourceDescriptor) error {
	key := fmt.Sprint(d.URI, d.Digest)
	if i, twice := l.at[key]; twice {
		maps.DeleteFunc(l.found[i].Annotations, func(name string, _ any) bool { return d.Annotations[name] == nil })
		return nil
	}
	if len(l.found) >= maxModules {
		return fmt.Errorf("%w: more than %d packages in a lock file", ErrOrigin, maxModules)
	}
	l.at[key] = len(l.found)
	l.found = append(l.found, d)
	return nil
}

// setLockSource says where a package is from, and of one from git its commit; of
// a local path it says nothing.
func setLockSource(d *predicate.ResourceDescriptor, resolved string) {
	u, err := url.Parse(resolved)
	if err != nil || u.Host == "" {
		return
	}
	commit := u.Fragment
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	switch {
	case u.Scheme == "http" || u.Scheme == "https":
		d.DownloadLocation = u.String()
	case u.Scheme == "git" || strings.HasPrefix(u.Scheme, "git+"):
		d.DownloadLocation = u.String()
		if (len(commit) == 40 || len(commit) == 64) && isHex(commit) {
			if d.Digest == nil {
				d.Digest = make(map[string]string)
			}
			d.Digest["gitCommit"] = commit
		}
	}
}

// integrityDigests reads Subresource Integrity metadata: "sha512-" and base64,
// several separated by white space. Algorithms that are not known are passed
// over; two different hashes by one algorithm say nothing for certain.
func integrityDigests(text string) (map[string]string, error) {
	digests := make(map[string]string)
	for part := range strings.FieldsSeq(text) {
		part, _, _ = strings.Cut(part, "?") // options
		algorithm, encoded, _ := strings.Cut(part, "-")
		size, known := map[string]int{"sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}[algorithm]
		if !known {
			continue
		}
		hash, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || len(hash) != size {
			return nil, fmt.Errorf("%w: integrity %.140q is malformed", ErrOrigin, part)
		}
		value := hex.EncodeToString(hash)
		if have := digests[algorithm]; have != "" && have != value {
			return nil, fmt.Errorf("%w: an integrity of two different hashes by %s", ErrOrigin, algorithm)
		}
		digests[algorithm] = value
	}
	if len(digests) == 0 {
		return nil, nil
	}
	return digests, nil
}
