package predicate

import (
	"slices"
	"strings"
)

// AnnotationBuildSource is the annotation of a dependency in SLSA provenance v1 that says
// whether the build was started from it. It is true, or false where the build only read
// the dependency. Any other value leaves it open. Package attest/provenance writes it;
// see [Provenance.Sources].
const AnnotationBuildSource = "buildSource"

// GitSource is a repository that a build was, or may have been, started from.
type GitSource struct {
	// URI has its scheme, such as "git+https", and no ref.
	URI string
	// Ref and Commit are empty where the provenance does not say them. Where only a
	// directory of the repository was built, Ref ends in "#" and the directory.
	Ref, Commit string
}

// buildKitTypes are the build types of builds by BuildKit: that of package
// attest/provenance, and BuildKit's own. Their parameters name the source. Other git
// repositories among the dependencies come from a Dockerfile's ADD.
var buildKitTypes = map[string]bool{
	"https://github.com/hallmark-oci/hallmark/blob/main/attest/provenance/buildtypes.md#buildkit-v1": true,
	"https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md":             true,
	"https://mobyproject.org/buildkit@v1":                                                            true,
}

// Sources are the git repositories that the build was started from, according to the
// provenance: one, several where the provenance leaves open which, or none where it says
// nothing. A resource is a git repository if its URI begins with "git+". A gitCommit
// does not make it one: packages can have it too.
//
//   - In a build by BuildKit, the external parameter configSource is the source, if it
//     has a uri.
//   - In all builds, dependencies are sources if [AnnotationBuildSource] says so or
//     leaves it open.
//   - If neither names a source, every git repository among the dependencies may be it.
//     Those that the annotation excludes, and builds by BuildKit, are the exception.
func (p Provenance) Sources() []GitSource {
	def := p.BuildDefinition
	var all sources
	if buildKitTypes[def.BuildType] {
		uri, digest, readable := configSource(def.ExternalParameters)
		if !readable || uri != "" && !all.addGit(uri, digest) {
			return nil // an archive, for one
		}
	}
	marked := slices.ContainsFunc(def.ResolvedDependencies, func(d ResourceDescriptor) bool { return d.Annotations[AnnotationBuildSource] == true })
	for _, d := range def.ResolvedDependencies {
		if mark, there := d.Annotations[AnnotationBuildSource]; there && mark != false && (marked || len(all) > 0) {
			all.addGit(d.URI, d.Digest)
		}
	}
	if len(all) > 0 || buildKitTypes[def.BuildType] {
		return all
	}
	for _, d := range def.ResolvedDependencies {
		if d.Annotations[AnnotationBuildSource] != false {
			all.addGit(d.URI, d.Digest)
		}
	}
	return all
}

// Sources are the repositories that the build was started from, according to the
// provenance.
//
//   - If the configSource of the invocation has a uri, it is the source, and no other
//     resource is. It may be of any scheme, except in builds by BuildKit, where a URI
//     without "git+" may be an archive.
//   - Otherwise every git repository among the materials may be the source, except in
//     builds by BuildKit. [Provenance.Sources] says what a git repository is.
func (p Provenance02) Sources() []GitSource {
	var all sources
	if i := p.Invocation; i != nil && i.ConfigSource != nil && i.ConfigSource.URI != "" {
		if buildKitTypes[p.BuildType] {
			all.addGit(i.ConfigSource.URI, i.ConfigSource.Digest)
		} else {
			all.add(i.ConfigSource.URI, i.ConfigSource.Digest)
		}
		return all
	}
	if buildKitTypes[p.BuildType] {
		return nil
	}
	for _, m := range p.Materials {
		all.addGit(m.URI, m.Digest)
	}
	return all
}

// configSource is the source of a build by BuildKit, with the digests that name a commit.
func configSource(parameters map[string]any) (uri string, digest map[string]string, readable bool) {
	given, there := parameters["configSource"]
	source, isObject := given.(map[string]any)
	stated, says := source["uri"]
	uri, isText := stated.(string)
	if there && !isObject || says && !isText {
		return "", nil, false
	}
	digests, _ := source["digest"].(map[string]any)
	digest = make(map[string]string)
	for _, algorithm := range []string{"gitCommit", "sha1"} {
		if commit, ok := digests[algorithm].(string); ok {
			digest[algorithm] = commit
		}
	}
	return uri, digest, true
}

// sources are different from one another.
type sources []GitSource

// addGit adds a resource if it is a git repository, and reports whether it is.
func (s *sources) addGit(uri string, digest map[string]string) bool {
	if !strings.HasPrefix(uri, "git+") {
		return false
	}
	s.add(uri, digest)
	return true
}

// commitOf is the commit that a resource's digests name. GitLab's runner writes it as
// sha256, with the 40 digits of SHA-1.
func commitOf(digest map[string]string) string {
	for _, algorithm := range []string{"gitCommit", "sha1"} {
		if digest[algorithm] != "" {
			return digest[algorithm]
		}
	}
	if commit := digest["sha256"]; len(commit) == 40 {
		return commit
	}
	return ""
}

func (s *sources) add(uri string, digest map[string]string) {
	source := GitSource{URI: uri, Commit: commitOf(digest)}
	scheme, rest, found := strings.Cut(uri, "://")
	// The first @ of the path begins the ref. Later ones may be part of it, as in
	// refs/heads/x@refs/heads/main: a developer who pushes a branch chooses its name.
	if slash := strings.IndexByte(rest, '/'); found && slash >= 0 {
		if path, ref, has := strings.Cut(rest[slash:], "@"); has {
			source.URI, source.Ref = scheme+"://"+rest[:slash]+path, ref
		}
	}
	if !slices.Contains(*s, source) {
		*s = append(*s, source)
	}
}
