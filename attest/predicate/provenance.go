package predicate

import "time"

// Provenance is SLSA provenance v1: how an artifact was built. Package provenance
// makes it from real sources.
//
// Source: SLSA v1.0, provenance.md ("https://slsa.dev/provenance/v1").
type Provenance struct {
	// BuildDefinition is what was asked for; RunDetails what happened.
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// BuildDefinition holds everything that determines the build's outcome.
type BuildDefinition struct {
	// BuildType is the URI that says what the parameters mean. Required.
	BuildType string `json:"buildType"`
	// ExternalParameters are under the control of whoever starts the build: a
	// verifier must check them. Required, may be empty.
	ExternalParameters map[string]any `json:"externalParameters"`
	// InternalParameters are under the builder's control. Empty: none.
	InternalParameters map[string]any `json:"internalParameters,omitempty"`
	// ResolvedDependencies are what the build read, the source among them.
	// Empty: not known.
	ResolvedDependencies []ResourceDescriptor `json:"resolvedDependencies,omitempty"`
}

// RunDetails say who built, when, and what else came out.
type RunDetails struct {
	// Builder is who is vouched for by the signature. Required.
	Builder Builder `json:"builder"`
	// Metadata is about this one run. Nil: nothing known.
	Metadata *BuildMetadata `json:"metadata,omitempty"`
	// Byproducts are outputs that are not the artifact, such as logs.
	Byproducts []ResourceDescriptor `json:"byproducts,omitempty"`
}

// Builder is the build platform.
type Builder struct {
	// ID is the URI by which policies know the builder. Required.
	ID string `json:"id"`
	// BuilderDependencies are what the platform itself consists of.
	BuilderDependencies []ResourceDescriptor `json:"builderDependencies,omitempty"`
	// Version maps the platform's components to their versions.
	Version map[string]string `json:"version,omitempty"`
}

// BuildMetadata is about one run of a build.
type BuildMetadata struct {
	// InvocationID identifies the run, usually as a URL.
	InvocationID string `json:"invocationId,omitempty"`
	// StartedOn and FinishedOn are the run's times. Nil: not known.
	StartedOn  *time.Time `json:"startedOn,omitempty"`
	FinishedOn *time.Time `json:"finishedOn,omitempty"`
}

// ResourceDescriptor describes an artifact or other resource (in-toto
// resource_descriptor.md). At least one of URI, Digest and Content is set.
type ResourceDescriptor struct {
	// URI identifies the resource, Digest its content.
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
	// Name tells it from its neighbours; DownloadLocation is where it can be
	// had, where that is not its URI.
	Name             string `json:"name,omitempty"`
	DownloadLocation string `json:"downloadLocation,omitempty"`
	MediaType        string `json:"mediaType,omitempty"`
	// Content is the resource itself, if small.
	Content []byte `json:"content,omitempty"`
	// Annotations are more about it.
	Annotations map[string]any `json:"annotations,omitempty"`
}
