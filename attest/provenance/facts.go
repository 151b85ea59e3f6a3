// Package provenance makes SLSA provenance v1 from real sources: the environment
// of a build system, the work tree, a recorded command, and artifacts that know
// their own origin.
//
// Each source gives [Facts]; [New] puts the facts of several sources together.
// The builder's identity is always the caller's to give: nothing that a build
// step can write decides it.
//
// # What it is worth
//
// Facts are what was found where the code ran. Provenance is worth as much as
// the signer that vouches for it: sign it with a key that only the build platform
// can use, not the build's own steps.
//
// # Sources
//
// SLSA v1.0, provenance.md; in-toto resource_descriptor.md and digest_set.md;
// each build system's own documentation, as named beside its table.
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

// Facts are what one source knows about a build. Parameter values are strings,
// booleans, int64, float64, []any and map[string]any.
type Facts struct {
	// BuildType is the URI that says what the external parameters mean. Empty:
	// the source knows none.
	BuildType string
	// ExternalParameters were chosen by whoever started the build,
	// InternalParameters by the builder.
	ExternalParameters, InternalParameters map[string]any
	// Dependencies are what the build read, the source among them: what is
	// annotated with predicate.AnnotationBuildSource, or else every URI that begins
	// with "git+" and is not annotated to be none.
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
}

// New puts facts together. builderID is the absolute URI of the build platform
// that the signer stands for.
//
// A buildType says what externalParameters mean, so that only one source may
// speak there: the first facts that have a BuildType. External parameters of
// later ones are recorded as internal parameters. Elsewhere facts add up: a
// parameter that two sources give differently is ErrConflict, dependencies that
// are equal are listed once, the earliest start and the latest end count. The
// first invocation ID is the run's; another one, as of BuildKit within a job,
// becomes the internal parameter innerInvocationId.
//
// The source stands before all other dependencies and is annotated with
// predicate.AnnotationBuildSource: a verifier knows it by that from other git
// repositories that the build has read. Facts that name one commit mean the same
// source, and the URI of the first of them stands. Two commits of one repository
// are ErrConflict: what was checked out is not what the build was started for. Of
// two repositories both are annotated, and verifiers demand of both what their
// policy says of the source.
//
// Errors are attest.ErrOptions, ErrConflict, and predicate.ErrInvalid where what
// comes out is no valid provenance.
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
	if p.BuildDefinition.BuildType == "" {
		return nil, fmt.Errorf("%w: no source of facts says what type of build it was; give Facts with a BuildType", attest.ErrOptions)
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
		return fmt.Errorf("%w: no builder ID; give the URI by which policies know the build platform", attest.ErrOptions)
	}
	u, err := url.Parse(id)
	if err != nil || !u.IsAbs() || u.User != nil {
		return fmt.Errorf("%w: the builder ID is no absolute URI without credentials", attest.ErrOptions)
	}
	return nil
}

func add(p *predicate.Provenance, f Facts) error {
	def, run := &p.BuildDefinition, &p.RunDetails
	switch {
	case def.BuildType == "" && f.BuildType != "":
		// What sources without a type have said so far were no external
		// parameters in the sense of this one.
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

// merge adds parameters and refuses to choose between two values of one.
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

// descriptorID tells dependencies from one another.
type descriptorID struct{ uri, name, digests string }

func idOf(d predicate.ResourceDescriptor) descriptorID {
	var digests string
	for _, algorithm := range slices.Sorted(maps.Keys(d.Digest)) {
		digests += algorithm + ":" + d.Digest[algorithm] + " "
	}
	return descriptorID{d.URI, d.Name, digests}
}

// union adds descriptors that are not there yet.
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
