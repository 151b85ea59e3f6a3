package predicate

import (
	"slices"
	"strings"
)

// AnnotationBuildSource is the annotation of a dependency in SLSA provenance v1
// that says whether the build was started from it: true, or false where the build
// only read it. Any other value leaves it open. Package provenance writes it; see
// Provenance.Sources.
const AnnotationBuildSource = "buildSource"

// GitSource is a git repository that a build was, or may have been, started from.
type GitSource struct {
	// URI has its scheme, "git+https" for one, and no ref.
	URI string
	// Ref and Commit are empty where provenance does not say them. Where only a
	// directory of the repository counts, Ref ends in "#" and the directory.
	Ref, Commit string
}

// buildKitTypes are the build types by which BuildKit's builds are known, ours
// (package provenance, BuildTypeBuildKit) and its own. They say themselves what
// the source is; the git repositories among what the build has read are what a
// Dockerfile's ADD names.
var buildKitTypes = map[string]bool{
	"https://github.com/hallmark-oci/hallmark/blob/main/attest/provenance/buildtypes.md#buildkit-v1": true,
	"https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md":             true,
	"https://mobyproject.org/buildkit@v1":                                                            true,
}

// Sources are the git repositories that the build was started from by what the
// provenance says: one, several where it leaves open which, none where it says
// nothing. A resource is a git repository by a URI that begins with "git+", and
// by nothing else: a package can have a gitCommit too.
//
//   - Of a build by BuildKit the external parameter configSource is the source,
//     where it has a uri.
//   - Otherwise, and beside it, those resolved dependencies that
//     AnnotationBuildSource says it of, and those for which it leaves that open.
//   - Where there is neither, every git repository among the resolved
//     dependencies may be the source, except those of which the annotation says
//     that they are not, and except in builds by BuildKit.
func (p Provenance) Sources() []GitSource {
	def := p.BuildDefinition
	var all sources
	if buildKitTypes[def.BuildType] {
		uri, digest, readable := configSource(def.ExternalParameters)
		if !readable || uri != "" && !all.add(uri, digest) {
			return nil // an archive, for one
		}
	}
	marked := slices.ContainsFunc(def.ResolvedDependencies, func(d ResourceDescriptor) bool { return d.Annotations[AnnotationBuildSource] == true })
	for _, d := range def.ResolvedDependencies {
		if mark, there := d.Annotations[AnnotationBuildSource]; there && mark != false && (marked || len(all) > 0) {
			all.add(d.URI, d.Digest)
		}
	}
	if len(all) > 0 || buildKitTypes[def.BuildType] {
		return all
	}
	for _, d := range def.ResolvedDependencies {
		if d.Annotations[AnnotationBuildSource] != false {
			all.add(d.URI, d.Digest)
		}
	}
	return all
}

// Sources are the git repositories that the build was started from: the
// configSource of the invocation and nothing else where that has a uri; otherwise
// every git repository among the materials may be it, except in builds by
// BuildKit. What a git repository is stands with Provenance.Sources.
func (p Provenance02) Sources() []GitSource {
	var all sources
	if i := p.Invocation; i != nil && i.ConfigSource != nil && i.ConfigSource.URI != "" {
		all.add(i.ConfigSource.URI, i.ConfigSource.Digest)
		return all
	}
	if buildKitTypes[p.BuildType] {
		return nil
	}
	for _, m := range p.Materials {
		all.add(m.URI, m.Digest)
	}
	return all
}

// configSource is what a build by BuildKit was started from; of the digest what
// names a commit.
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

// add adds a resource and reports whether it is a git repository.
func (s *sources) add(uri string, digest map[string]string) bool {
	if !strings.HasPrefix(uri, "git+") {
		return false
	}
	source := GitSource{URI: uri, Commit: digest["gitCommit"]}
	if source.Commit == "" {
		source.Commit = digest["sha1"]
	}
	scheme, rest, found := strings.Cut(uri, "://")
	// The first @ of the path: refs may hold others, as refs/heads/x@refs/heads/main
	// does, and whoever may push a branch chooses its name.
	if slash := strings.IndexByte(rest, '/'); found && slash >= 0 {
		if path, ref, has := strings.Cut(rest[slash:], "@"); has {
			source.URI, source.Ref = scheme+"://"+rest[:slash]+path, ref
		}
	}
	for _, have := range *s {
		if have == source {
			return true
		}
	}
	*s = append(*s, source)
	return true
}
