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

// PackageLock returns the packages of npm's package-lock.json or npm-shrinkwrap.json
// as dependencies. It reads versions 1, 2 and 3, up to 64 MiB. A dependency has:
//
//   - the package URL
//   - the digests of "integrity" in hex, and the gitCommit of a package from git
//   - the download location, without login and query
//   - the annotations "dev", "optional" and "bundled", if the package is needed for
//     development alone, is optional, or is part of another package's archive
//
// Directories of the project (workspaces, links, "file:") are left out. A file of
// version 2 lists its packages twice, and "packages" is read, as npm does.
//
// Errors are ErrOrigin for a malformed file, another version, two names that differ
// in case alone, and a malformed integrity.
//
// Source: npm documentation, package-lock.json; W3C Subresource Integrity.
func PackageLock(data []byte) (Facts, error) {
	if len(data) > maxPackageLock {
		return Facts{}, fmt.Errorf("%w: the lock file has %d bytes, the limit is %d", ErrOrigin, len(data), maxPackageLock)
	}
	root, err := strictjson.ParseExact(data)
	if err != nil {
		return Facts{}, fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	l := lockReader{at: make(map[string]int)}
	version, _ := root.Get("lockfileVersion").Int()
	switch {
	case root.Kind() != strictjson.Object || version < 1 || version > 3:
		return Facts{}, fmt.Errorf("%w: lockfileVersion is %.20s, want 1, 2 or 3", ErrOrigin, root.Get("lockfileVersion").Raw())
	case version == 1:
		err = l.tree(root.Get("dependencies"), false)
	case root.Get("packages").Kind() != strictjson.Object:
		return Facts{}, fmt.Errorf("%w: the lock file has version %d and no packages", ErrOrigin, version)
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
	Resolved    any    `json:"resolved"` // other types than string have no meaning
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
	at    map[string]int // a package's index in found
}

// packages reads the map of versions 2 and 3 from paths to packages. Paths outside of
// node_modules are the project's own.
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
			e.Name = path[at+len(modules):] // a name is given for an alias alone
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
		return fmt.Errorf("%w: dependencies is not an object", ErrOrigin)
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
			// The specifier of a package that is not from a registry.
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

// add adds a package, unless it is the project's own or was not installed.
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

// keep adds a package once. A package in several places keeps an annotation if it has
// the annotation in all of them.
func (l *lockReader) keep(d predicate.ResourceDescriptor) error {
	key := fmt.Sprint(d.URI, d.Digest)
	if i, twice := l.at[key]; twice {
		maps.DeleteFunc(l.found[i].Annotations, func(name string, _ any) bool { return d.Annotations[name] == nil })
		return nil
	}
	if len(l.found) >= maxModules {
		return fmt.Errorf("%w: the lock file has more than %d packages", ErrOrigin, maxModules)
	}
	l.at[key] = len(l.found)
	l.found = append(l.found, d)
	return nil
}

// setLockSource sets the download location of a package, and the commit of one from
// git. A local path is left out.
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

// integrityDigests reads Subresource Integrity metadata: "sha512-" and base64, separated
// by white space. It ignores unknown algorithms. Two different hashes by one algorithm
// are an error.
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
			return nil, fmt.Errorf("%w: an integrity has two different hashes by %s", ErrOrigin, algorithm)
		}
		digests[algorithm] = value
	}
	if len(digests) == 0 {
		return nil, nil
	}
	return digests, nil
}
