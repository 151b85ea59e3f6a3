package provenance

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/buildkit"
)

// BuildTypeBuildKit is the build type of builds by BuildKit. Its external parameters
// are those of BuildKit's own type (slsa-definitions.md), without the values of
// arguments that may be secret:
//
//   - configSource: the path of the Dockerfile. If the Dockerfile is not from a
//     local directory, also the uri and digest of its origin. uriWithheld is true
//     if the origin is not a URL.
//   - request: frontend, args, withheldArgs (the names of arguments whose values
//     are not recorded) and locals (the names of local directories)
const BuildTypeBuildKit = buildTypes + "#buildkit-v1"

// The build types that BuildKit itself writes. buildKitType1 is of SLSA v1.
// buildKitType02 is of v0.2, and older versions write it in v1.
const (
	buildKitType1  = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
	buildKitType02 = "https://mobyproject.org/buildkit@v1"
)

// BuildKitProvenance returns the facts of BuildKit's provenance of one image. The
// argument is a statement, as registry.IndexEvidence yields it, or a predicate of
// SLSA v1 or v0.2.
//
//   - BuildType and ExternalParameters: see BuildTypeBuildKit.
//   - Dependencies: images as package URLs, git repositories as
//     "git+https://host/path@ref" with their gitCommit, and other downloads. The
//     git repository of configSource is the source, and stands first.
//   - InternalParameters "buildkit": builderPlatform, targetPlatform, vcs (source
//     and revision), dependenciesComplete and hermetic. The client sends vcs, and
//     BuildKit does not check it.
//   - BuilderVersion, InvocationID, StartedOn and FinishedOn, if they are known.
//
// The builder ID of BuildKit's provenance is not used; New wants the caller's.
//
// # Secrets
//
// BuildKit copies the values of all build arguments, and the requests of clients
// with passwords in URLs. So no other fields than these are copied. Arguments are
// copied if BuildKit defines them and their meaning excludes secrets, such as
// target or SOURCE_DATE_EPOCH. URLs lose user, password and query.
//
// # Trust
//
// BuildKit does not sign this provenance. Its facts are worth as much as the place
// it was read from.
//
// Errors are ErrOrigin.
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
			return Facts{}, fmt.Errorf("%w: the statement is of type %.200q, not provenance", ErrOrigin, s.PredicateType)
		}
		root = root.Get("predicate")
	}
	return buildKitFacts("buildkit", root)
}

// BuildKitMetadata returns the facts of a metadata file, which docker buildx writes
// with --metadata-file. It joins the facts that BuildKitProvenance returns for each
// platform.
//
//   - With several platforms, each has an internal parameter of its own, such as
//     "buildkit:linux/amd64".
//   - The internal parameter "buildx.build.ref" is the name by which docker buildx
//     knows the build.
//   - docker buildx writes provenance into the file by default. With
//     BUILDX_METADATA_PROVENANCE=max it adds times and the run.
//
// The images that the file names are built.Images of registry/built.
//
// Errors are ErrConflict for platforms of different builds, and ErrOrigin for a file
// without provenance, such as buildctl's. A file of docker buildx bake with several
// targets is ErrOrigin too: pass the member of one target.
//
// Sources: docker buildx, docs/reference/buildx_build.md and buildx_bake.md
// (measured with v0.38), buildctl (v0.34).
func BuildKitMetadata(data []byte) (Facts, error) {
	targets, err := buildkit.Targets(data)
	if err != nil {
		return Facts{}, fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	if len(targets) > 1 {
		return Facts{}, fmt.Errorf("%w: the metadata file has %d targets; pass the member of one", ErrOrigin, len(targets))
	}
	var all Facts
	for key, value := range targets[0].Value.Members() {
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
		return Facts{}, fmt.Errorf("%w: the metadata file holds no provenance; build with docker buildx and BUILDX_METADATA_PROVENANCE=max", ErrOrigin)
	}
	if ref, _ := targets[0].Value.Get("buildx.build.ref").Str(); ref != "" {
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
	all.Warnings = append(all.Warnings, one.Warnings...)
	if all.StartedOn.IsZero() || !one.StartedOn.IsZero() && one.StartedOn.Before(all.StartedOn) {
		all.StartedOn = one.StartedOn
	}
	if one.FinishedOn.After(all.FinishedOn) {
		all.FinishedOn = one.FinishedOn
	}
	return nil
}

// parseBuildKit parses provenance, in which users choose the names of arguments.
func parseBuildKit(data []byte) (strictjson.Value, error) {
	root, err := strictjson.ParseExact(data)
	if err != nil {
		return root, fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	if root.Kind() != strictjson.Object {
		return root, fmt.Errorf("%w: it is not a JSON object", ErrOrigin)
	}
	return root, nil
}
