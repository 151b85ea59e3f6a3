package provenance

import (
	"fmt"
	"maps"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// isGit reports whether a dependency is a git repository, or the commit of one
// without a URI.
func isGit(d predicate.ResourceDescriptor) bool {
	return strings.HasPrefix(d.URI, "git+") || d.URI == "" && d.Name == "source" && d.Digest["gitCommit"] != ""
}

// sources returns what the build was started from: the git repositories annotated
// as the source, or else every one that is not annotated as something else.
func (f *Facts) sources() []predicate.ResourceDescriptor {
	var marked, plain []predicate.ResourceDescriptor
	for _, d := range f.Dependencies {
		switch mark := d.Annotations[predicate.AnnotationBuildSource]; {
		case !isGit(d) || mark == false:
		case mark == true:
			marked = append(marked, d)
		default:
			plain = append(plain, d)
		}
	}
	if len(marked) > 0 {
		return marked
	}
	return plain
}

// placeSource puts the source before all other dependencies and annotates it; New
// says by which rules.
func placeSource(p *predicate.Provenance, facts []Facts) error {
	var all []predicate.ResourceDescriptor
	isSource := make(map[descriptorID]bool)
	for _, f := range facts {
		for _, d := range f.sources() {
			at, err := knownSource(all, d)
			switch {
			case err != nil:
				return err
			case at < 0:
				all = append(all, d)
			case all[at].URI != "" || d.URI == "":
				continue
			default:
				all[at] = d // the same commit, and where it is from
			}
			isSource[idOf(d)] = true
		}
	}
	def := &p.BuildDefinition
	placed := make([]predicate.ResourceDescriptor, 0, len(def.ResolvedDependencies))
	for _, d := range all {
		placed = append(placed, annotated(d, true))
	}
	for _, d := range def.ResolvedDependencies {
		if isGit(d) && isSource[idOf(d)] {
			continue
		}
		if d.Annotations[predicate.AnnotationBuildSource] == true {
			d = annotated(d, false) // another name of the source
		}
		placed = append(placed, d)
	}
	if len(all) > 0 {
		def.ResolvedDependencies = placed
	}
	return nil
}

// knownSource returns the index of the same source in a list, or -1.
func knownSource(all []predicate.ResourceDescriptor, d predicate.ResourceDescriptor) (int, error) {
	commit := d.Digest["gitCommit"]
	for i, have := range all {
		switch other := have.Digest["gitCommit"]; {
		case commit == "" || other == "":
			if idOf(have) == idOf(d) {
				return i, nil
			}
		case commit == other:
			return i, nil
		case have.URI == "" || d.URI == "" || repositoryOf(have.URI) == repositoryOf(d.URI):
			return -1, fmt.Errorf("%w: the source is commit %.64q of %.200q and commit %.64q of %.200q", ErrConflict, other, have.URI, commit, d.URI)
		}
	}
	return -1, nil
}

// repositoryOf returns what the URLs of one repository have in common: host and
// path, in lower case, without user and ".git".
func repositoryOf(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	host, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut(path, "@")
	path, _, _ = strings.Cut(path, "#")
	host = host[strings.LastIndexByte(host, '@')+1:]
	return strings.ToLower(host + "/" + strings.TrimSuffix(strings.TrimRight(path, "/"), ".git"))
}

// annotated returns the dependency with the annotation that says whether it is the
// source.
func annotated(d predicate.ResourceDescriptor, is bool) predicate.ResourceDescriptor {
	d.Annotations = maps.Clone(d.Annotations) // the caller's own
	if d.Annotations == nil {
		d.Annotations = make(map[string]any)
	}
	d.Annotations[predicate.AnnotationBuildSource] = is
	return d
}
