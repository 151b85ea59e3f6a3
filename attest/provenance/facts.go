// Package provenance makes SLSA provenance v1: what an image was built from, how,
// and by which builder.
//
//	p, err := provenance.FromEnvironment(ctx, provenance.Options{BuilderID: "https://ci.example/builder"})
//	attested, err := attest.Image(ctx, client, digest, p, attest.Options{}, signer)
//
// # Sources of facts
//
// Each source returns [Facts], and [New] joins the facts of several sources:
//
//   - [Environment]: the variables of a build system
//   - [WorkTree], [ReadTree]: a git work tree
//   - [Record]: a build command, recorded while it runs
//   - [BuildKitProvenance], [BuildKitMetadata]: what BuildKit wrote
//   - [GoBinary], [GoModules], [PackageLock]: the modules of a program
//   - [Dockerfile], [BaseImage]: the images that an image is made from
//
// [FromEnvironment] joins the first two. The caller always gives the builder ID,
// because a build step can write everything else.
//
// # What provenance is worth
//
// Facts are claims about the machine where they were gathered, and nothing here
// verifies them. Provenance is worth as much as its signer: sign with a key that
// the build platform can use and the build's own steps cannot.
//
// # Secrets
//
//   - Variables are read from an allow-list for each build system; see Variables.
//   - URLs lose logins, queries and fragments.
//   - Build arguments of BuildKit and linker flags of Go are recorded by name.
//   - A recorded command and its output are redacted; see RecordOptions.
//
// # What is missing
//
// A missing or unreadable source is a [Warning], which the provenance records.
//
// # Concurrency
//
// All functions are safe for concurrent use. FromEnvironment, WorkTree and ReadTree
// run git. Record runs the command that it is given.
//
// # Formats
//
// SLSA v1.0, provenance.md; in-toto resource_descriptor.md and digest_set.md. Each
// build system's documentation is named beside its table. buildtypes.md explains
// the build types of this package.
package provenance

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// Facts are what one source says about a build. Parameter values are strings,
// booleans, int64, float64, []any and map[string]any.
type Facts struct {
	// BuildType is the URI that says what the external parameters mean. Empty:
	// the source knows no build type.
	BuildType string
	// ExternalParameters were chosen by the user who started the build,
	// InternalParameters by the builder.
	ExternalParameters, InternalParameters map[string]any
	// Dependencies are what the build read. The source among them is annotated
	// with predicate.AnnotationBuildSource. Without that annotation, every URI
	// that begins with "git+" is a source, unless it is annotated with false.
	Dependencies []predicate.ResourceDescriptor
	// BuilderVersion and BuilderDependencies are about the build platform.
	BuilderVersion      map[string]string
	BuilderDependencies []predicate.ResourceDescriptor
	// InvocationID identifies the run.
	InvocationID string
	// StartedOn and FinishedOn are the run's times. Zero: not known.
	StartedOn, FinishedOn time.Time
	// Byproducts are outputs other than the artifact.
	Byproducts []predicate.ResourceDescriptor
	// Warnings say what is missing of the source, and why. Empty: nothing.
	Warnings []Warning
}

// New joins facts into provenance. builderID is the absolute URI of the build
// platform that the signer stands for. The order of the facts matters:
//
//   - The first facts with a BuildType give the external parameters. External
//     parameters of other facts become internal parameters.
//   - The first invocation ID is the run's. Another one, such as BuildKit's within
//     a job, becomes the internal parameter innerInvocationId.
//   - A parameter with two different values is ErrConflict.
//   - Equal dependencies are listed once. The earliest start and the latest end
//     count.
//   - The reasons of warnings become the internal parameter "warnings".
//
// The source stands before all other dependencies. It is annotated with
// predicate.AnnotationBuildSource, which tells it from git repositories that the
// build read:
//
//   - Facts that name the same commit name one source, with the first URI.
//   - Two commits of one repository are ErrConflict: the commit that was checked
//     out is not the one that the build was started for.
//   - Two repositories are both annotated. Verifiers demand of both what their
//     policy says of the source.
//
// Errors are attest.ErrOptions, ErrConflict, and predicate.ErrInvalid if the result
// would not be valid provenance.
func New(builderID string, facts ...Facts) (*predicate.Provenance, error) {
	if err := checkBuilderID(builderID); err != nil {
		return nil, err
	}
	p := &predicate.Provenance{RunDetails: predicate.RunDetails{Builder: predicate.Builder{ID: builderID}}}
	for _, f := range facts {
		if err := add(p, f); err != nil {
			return nil, err
		}
	}
	if err := placeSource(p, facts); err != nil {
		return nil, err
	}
	if err := recordWarnings(p, sourceWarnings(p, facts)); err != nil {
		return nil, err
	}
	if p.BuildDefinition.BuildType == "" {
		return nil, fmt.Errorf("%w: the build type is unknown: no build system was detected, and no command was recorded; name the system, record a command, or state the build type", attest.ErrOptions)
	}
	if p.BuildDefinition.ExternalParameters == nil {
		p.BuildDefinition.ExternalParameters = map[string]any{}
	}
	if v, ok := any(p).(attest.Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func checkBuilderID(id string) error {
	if id == "" {
		return fmt.Errorf("%w: the builder ID is empty; give the URI by which policies name the build platform", attest.ErrOptions)
	}
	u, err := url.Parse(id)
	if err != nil || !u.IsAbs() || u.User != nil {
		return fmt.Errorf("%w: the builder ID is not an absolute URI, or has a login", attest.ErrOptions)
	}
	return nil
}

func add(p *predicate.Provenance, f Facts) error {
	def, run := &p.BuildDefinition, &p.RunDetails
	switch {
	case def.BuildType == "" && f.BuildType != "":
		// Parameters of facts without a build type are not external in the
		// sense of this one.
		def.BuildType, def.ExternalParameters = f.BuildType, maps.Clone(f.ExternalParameters)
	default:
		if err := merge(&def.InternalParameters, f.ExternalParameters); err != nil {
			return err
		}
	}
	if err := merge(&def.InternalParameters, f.InternalParameters); err != nil {
		return err
	}
	if err := merge(&run.Builder.Version, f.BuilderVersion); err != nil {
		return err
	}
	def.ResolvedDependencies = union(def.ResolvedDependencies, f.Dependencies)
	run.Builder.BuilderDependencies = union(run.Builder.BuilderDependencies, f.BuilderDependencies)
	run.Byproducts = union(run.Byproducts, f.Byproducts)
	return addMetadata(p, f)
}

func addMetadata(p *predicate.Provenance, f Facts) error {
	run := &p.RunDetails
	if f.InvocationID == "" && f.StartedOn.IsZero() && f.FinishedOn.IsZero() {
		return nil
	}
	if run.Metadata == nil {
		run.Metadata = &predicate.BuildMetadata{}
	}
	m := run.Metadata
	if f.InvocationID != "" {
		if m.InvocationID == "" {
			m.InvocationID = f.InvocationID
		} else if m.InvocationID != f.InvocationID {
			// A build within a build has an ID of its own.
			if err := merge(&p.BuildDefinition.InternalParameters, map[string]any{"innerInvocationId": f.InvocationID}); err != nil {
				return err
			}
		}
	}
	if t := f.StartedOn.UTC(); !f.StartedOn.IsZero() && (m.StartedOn == nil || t.Before(*m.StartedOn)) {
		m.StartedOn = &t
	}
	if t := f.FinishedOn.UTC(); !f.FinishedOn.IsZero() && (m.FinishedOn == nil || t.After(*m.FinishedOn)) {
		m.FinishedOn = &t
	}
	return nil
}

// merge adds parameters, and refuses a second value of one.
func merge[V any](into *map[string]V, from map[string]V) error {
	if len(from) > 0 && *into == nil {
		*into = make(map[string]V)
	}
	for _, key := range slices.Sorted(maps.Keys(from)) {
		have, there := (*into)[key]
		if there && !reflect.DeepEqual(have, from[key]) {
			return fmt.Errorf("%w: two values of the parameter %.100q", ErrConflict, key)
		}
		(*into)[key] = from[key]
	}
	return nil
}

// descriptorID is equal for descriptors of the same resource.
type descriptorID struct{ uri, name, digests string }

func idOf(d predicate.ResourceDescriptor) descriptorID {
	var digests string
	for _, algorithm := range slices.Sorted(maps.Keys(d.Digest)) {
		digests += algorithm + ":" + d.Digest[algorithm] + " "
	}
	return descriptorID{d.URI, d.Name, digests}
}

// union adds the descriptors that the first list does not have.
func union(have, more []predicate.ResourceDescriptor) []predicate.ResourceDescriptor {
	seen := make(map[descriptorID]bool, len(have)+len(more))
	for _, d := range have {
		seen[idOf(d)] = true
	}
	for _, d := range more {
		if len(d.Content) > 0 || !seen[idOf(d)] {
			seen[idOf(d)] = true
			have = append(have, d)
		}
	}
	return have
}
