package provenance

import (
	"fmt"
	"maps"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// isGit reports whether a dependency is a git repository, or the commit of a work
// tree that has no remote.
func isGit(d predicate.ResourceDescriptor) bool {
	return strings.HasPrefix(d.URI, "git+") || d.URI == "" && d.Name == "source" && d.Digest["gitCommit"] != ""
}

// sources are what facts say that the build was started from: what is annotated
// so, or else every git repository that is not annotated as something else.
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

// placeSource puts the source before all other dependencies and annotates it.
// Facts that name the same commit mean the same source, under whichever URL: that
// of the first of them stands. Two commits of one repository contradict each
// other. Of two repositories both are annotated, since nothing tells which of them
// was built.
func placeSource(p *predicate.Provenance, facts []Facts) error {
	var all []predicate.ResourceDescriptor
	for _, f := range facts {
		for _, d := range f.sources() {
			known, err := knownSource(all, d)
			if err != nil {
				return err
			}
			if !known {
				all = append(all, d)
			}
		}
	}
	def := &p.BuildDefinition
	placed := make([]predicate.ResourceDescriptor, 0, len(def.ResolvedDependencies))
	isSource := make(map[descriptorID]bool, len(all))
	for _, d := range all {
		isSource[idOf(d)] = true
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

// knownSource reports whether a source is among those that are known.
func knownSource(all []predicate.ResourceDescriptor, d predicate.ResourceDescriptor) (bool, error) {
	commit := d.Digest["gitCommit"]
	for _, have := range all {
		switch other := have.Digest["gitCommit"]; {
		case commit == "" || other == "":
			if idOf(have) == idOf(d) {
				return true, nil
			}
		case commit == other:
			return true, nil
		case have.URI == "" || d.URI == "" || repositoryOf(have.URI) == repositoryOf(d.URI):
			return false, fmt.Errorf("%w: the source is commit %.64q of %.200q and commit %.64q of %.200q", ErrConflict, other, have.URI, commit, d.URI)
		}
	}
	return false, nil
}

// repositoryOf is what the URLs of one repository have in common: host and path,
// in lower case, without user and ".git".
func repositoryOf(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	host, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut(path, "@")
	path, _, _ = strings.Cut(path, "#")
	host = host[strings.LastIndexByte(host, '@')+1:]
	return strings.ToLower(host + "/" + strings.TrimSuffix(strings.TrimRight(path, "/"), ".git"))
}

// annotated is the dependency with the annotation of the source.
func annotated(d predicate.ResourceDescriptor, is bool) predicate.ResourceDescriptor {
	d.Annotations = maps.Clone(d.Annotations) // the caller's own
	if d.Annotations == nil {
		d.Annotations = make(map[string]any)
	}
	d.Annotations[predicate.AnnotationBuildSource] = is
	return d
}
