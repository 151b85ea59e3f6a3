package provenance

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// BuildTypeBuildKit is the build type of builds by BuildKit. Its external
// parameters are those of BuildKit's own type (slsa-definitions.md), except that
// of request.args only some have values; see BuildKitProvenance.
//
//   - configSource: path of the Dockerfile, and, where it did not come from a
//     local directory, uri and digest of what it came from; uriWithheld is true
//     where that is no URL
//   - request: frontend, args, withheldArgs (the names of the arguments whose
//     values are not recorded) and locals (the names of local directories)
const BuildTypeBuildKit = buildTypes + "#buildkit-v1"

// The build types that BuildKit itself writes: in SLSA v1, and in v0.2 and by
// older versions also in v1.
const (
	buildKitType1  = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
	buildKitType02 = "https://mobyproject.org/buildkit@v1"
)

// BuildKitProvenance gives what BuildKit's provenance of one image says: a
// statement as IndexEvidence of package registry yields it, or a predicate by
// itself, of SLSA v1 or v0.2.
//
//   - BuildType and ExternalParameters: see BuildTypeBuildKit
//   - Dependencies: what configSource names, if that is from git, before all
//     others and annotated with predicate.AnnotationBuildSource; images as package
//     URLs, other repositories as "git+https://host/path@ref" with their gitCommit,
//     annotated not to be the source; other downloads
//   - InternalParameters "buildkit": builderPlatform, targetPlatform, vcs (source
//     and revision, which the client has sent and BuildKit did not check),
//     dependenciesComplete and hermetic (both claims of BuildKit's)
//   - BuilderVersion, InvocationID, StartedOn and FinishedOn, where they are known
//
// The builder ID in it is not used; see New.
//
// # Secrets
//
// BuildKit copies the values of all build arguments, and buildx does so by
// default even into its metadata file; both repeat what the client has sent, at
// times with a password in a URL, under request.root. So only fields named above
// are copied, and of the arguments only those that BuildKit itself defines and
// that hold no secret by their meaning, such as target or SOURCE_DATE_EPOCH.
// URLs lose user, password and query.
//
// Nobody has signed such a statement. Facts from it are worth what the caller
// knows of where it comes from. What is no provenance of BuildKit's, or
// malformed, is ErrOrigin.
//
// Sources: BuildKit, docs/attestations/slsa-definitions.md and slsa-provenance.md
// (read and measured with v0.34); SLSA v1.0 and v0.2, provenance.md.
func BuildKitProvenance(statementOrPredicate []byte) (Facts, error) {
	root, err := parseBuildKit(statementOrPredicate)
	if err != nil {
		return Facts{}, err
	}
	if root.Get("_type").Exists() {
		s, err := attest.ParseStatement(statementOrPredicate)
		if err != nil {
			return Facts{}, fmt.Errorf("%w: %w", ErrOrigin, err)
		}
		if s.PredicateType != predicate.TypeProvenance && s.PredicateType != predicate.TypeProvenance02 {
			return Facts{}, fmt.Errorf("%w: the statement is no provenance, but %.200q", ErrOrigin, s.PredicateType)
		}
		root = root.Get("predicate")
	}
	return buildKitFacts("buildkit", root)
}

// BuildKitMetadata gives what the metadata file of a build says about it, as
// buildctl and docker buildx write it with --metadata-file: what
// BuildKitProvenance gives of each platform's provenance in it, put together.
// Where there are several platforms, each has its own internal parameter,
// "buildkit:linux/amd64"; that their external parameters or runs differ is
// ErrConflict. The internal parameter "buildx.build.ref" is the name by which
// docker buildx knows the build.
//
// buildctl writes no provenance there, docker buildx does by default
// (BUILDX_METADATA_PROVENANCE; "max" adds times and the run). Without any, or
// with several targets of docker buildx bake, it is ErrOrigin: of those, give the
// member of one.
//
// Sources: docker buildx, docs/reference/buildx_build.md and buildx_bake.md
// (measured with v0.38), buildctl (v0.34).
func BuildKitMetadata(data []byte) (Facts, error) {
	targets, err := buildKitTargets(data)
	if err != nil {
		return Facts{}, err
	}
	if len(targets) > 1 {
		return Facts{}, fmt.Errorf("%w: the metadata file is of %d targets; give the member of one", ErrOrigin, len(targets))
	}
	var all Facts
	for key, value := range targets[0].value.Members() {
		platform, isOne := strings.CutPrefix(key, "buildx.build.provenance")
		if !isOne || platform != "" && platform[0] != '/' {
			continue
		}
		name := "buildkit"
		if platform != "" {
			name += ":" + platform[1:]
		}
		one, err := buildKitFacts(name, value)
		if err != nil {
			return Facts{}, fmt.Errorf("%.200q: %w", key, err)
		}
		if err := joinBuildKit(&all, one); err != nil {
			return Facts{}, err
		}
	}
	if all.BuildType == "" {
		return Facts{}, fmt.Errorf("%w: the metadata file holds no provenance", ErrOrigin)
	}
	if ref, _ := targets[0].value.Get("buildx.build.ref").Str(); ref != "" {
		all.InternalParameters["buildx.build.ref"] = ref
	}
	return all, nil
}

// joinBuildKit adds the facts of one platform to those of the others.
func joinBuildKit(all *Facts, one Facts) error {
	if all.BuildType == "" {
		*all = one
		return nil
	}
	if !reflect.DeepEqual(all.ExternalParameters, one.ExternalParameters) || all.InvocationID != one.InvocationID {
		return fmt.Errorf("%w: the platforms were built by different requests", ErrConflict)
	}
	if err := merge(&all.InternalParameters, one.InternalParameters); err != nil {
		return err
	}
	if err := merge(&all.BuilderVersion, one.BuilderVersion); err != nil {
		return err
	}
	all.Dependencies = union(all.Dependencies, one.Dependencies)
	if all.StartedOn.IsZero() || !one.StartedOn.IsZero() && one.StartedOn.Before(all.StartedOn) {
		all.StartedOn = one.StartedOn
	}
	if one.FinishedOn.After(all.FinishedOn) {
		all.FinishedOn = one.FinishedOn
	}
	return nil
}

// buildKitTarget is the metadata of one build.
type buildKitTarget struct {
	name  string // empty where the file is of one build
	value strictjson.Value
}

// buildKitTargets tells the file of a build from that of docker buildx bake,
// which holds one such object for each target.
func buildKitTargets(data []byte) ([]buildKitTarget, error) {
	root, err := parseBuildKit(data)
	if err != nil {
		return nil, err
	}
	if isBuildKitMetadata(root) {
		return []buildKitTarget{{value: root}}, nil
	}
	var targets []buildKitTarget
	for name, value := range root.Members() {
		if isBuildKitMetadata(value) {
			targets = append(targets, buildKitTarget{name, value})
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%w: no metadata file of BuildKit's", ErrOrigin)
	}
	return targets, nil
}

func isBuildKitMetadata(v strictjson.Value) bool {
	for key := range v.Members() {
		if key == "image.name" || strings.HasPrefix(key, "containerimage.") ||
			strings.HasPrefix(key, "buildx.build.") && key != "buildx.build.warnings" { // bake's stand beside the targets
			return true
		}
	}
	return false
}

// parseBuildKit reads a file in which names, those of arguments and targets, are
// users' own.
func parseBuildKit(data []byte) (strictjson.Value, error) {
	root, err := strictjson.ParseExact(data)
	if err != nil {
		return root, fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	if root.Kind() != strictjson.Object {
		return root, fmt.Errorf("%w: no JSON object", ErrOrigin)
	}
	return root, nil
}
