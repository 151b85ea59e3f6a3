package predicate

import "time"

// Provenance is SLSA provenance v1, which says how an artifact was built. Package
// attest/provenance makes it from real sources.
//
// Source: SLSA v1.0, provenance.md ("https://slsa.dev/provenance/v1").
type Provenance struct {
	// BuildDefinition is the input of the build.
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	// RunDetails describe the run of the build.
	RunDetails RunDetails `json:"runDetails"`
}

// BuildDefinition holds everything that determines the build's outcome.
type BuildDefinition struct {
	// BuildType is the URI that says what the parameters mean. Required.
	BuildType string `json:"buildType"`
	// ExternalParameters are chosen by the person or program that starts the build. A
	// verifier must check them. Required, may be empty.
	ExternalParameters map[string]any `json:"externalParameters"`
	// InternalParameters are under the builder's control. Empty: none.
	InternalParameters map[string]any `json:"internalParameters,omitempty"`
	// ResolvedDependencies are the artifacts that the build read, the source among
	// them. Empty: not known.
	ResolvedDependencies []ResourceDescriptor `json:"resolvedDependencies,omitempty"`
}

// RunDetails say who built, when, and which further outputs there are.
type RunDetails struct {
	// Builder is the platform that ran the build. Required.
	Builder Builder `json:"builder"`
	// Metadata is about this one run. Nil: not known.
	Metadata *BuildMetadata `json:"metadata,omitempty"`
	// Byproducts are outputs other than the artifact, such as logs.
	Byproducts []ResourceDescriptor `json:"byproducts,omitempty"`
}

// Builder is the build platform.
type Builder struct {
	// ID is the URI by which policies name the builder. Required.
	ID string `json:"id"`
	// BuilderDependencies are the parts of the platform itself.
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
	// Name tells it from its neighbours.
	Name string `json:"name,omitempty"`
	// DownloadLocation is where it can be fetched, where that is not its URI.
	DownloadLocation string `json:"downloadLocation,omitempty"`
	MediaType        string `json:"mediaType,omitempty"`
	// Content is the resource itself, if small.
	Content []byte `json:"content,omitempty"`
	// Annotations are further properties.
	Annotations map[string]any `json:"annotations,omitempty"`
}
