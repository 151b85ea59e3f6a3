package predicate

import (
	"time"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Provenance02 is SLSA provenance v0.2, which many build systems still write.
//
// Source: SLSA, provenance/v0.2.md ("https://slsa.dev/provenance/v0.2").
type Provenance02 struct {
	// Builder is the platform that ran the build. Required.
	Builder Builder02 `json:"builder"`
	// BuildType is the URI that says what Invocation, BuildConfig and Materials
	// mean. Required.
	BuildType string `json:"buildType"`
	// Invocation says how the build was started. Nil: not known.
	Invocation *Invocation02 `json:"invocation,omitempty"`
	// BuildConfig lists the steps of the build. Nil: not known.
	BuildConfig any `json:"buildConfig,omitempty"`
	// Metadata is about this one run. Nil: not known.
	Metadata *BuildMetadata02 `json:"metadata,omitempty"`
	// Materials are the artifacts that the build read. Empty: not known.
	Materials []Material02 `json:"materials,omitempty"`
}

// Builder02 is the build platform.
type Builder02 struct {
	// ID is the URI by which policies name the builder. Required.
	ID string `json:"id"`
}

// Invocation02 says how a build was started.
type Invocation02 struct {
	// ConfigSource is where the build's configuration came from.
	ConfigSource *ConfigSource02 `json:"configSource,omitempty"`
	// Parameters are chosen by the person or program that starts the build,
	// Environment by the builder. The specification wants objects; some builders write
	// lists. Nil: not known.
	Parameters  any `json:"parameters,omitempty"`
	Environment any `json:"environment,omitempty"`
}

// ConfigSource02 is where a build's configuration came from.
type ConfigSource02 struct {
	// URI identifies the source, Digest its content.
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
	// EntryPoint is the file or target in it.
	EntryPoint string `json:"entryPoint,omitempty"`
}

// BuildMetadata02 is about one run of a build.
type BuildMetadata02 struct {
	// BuildInvocationID identifies the run.
	BuildInvocationID string `json:"buildInvocationId,omitempty"`
	// BuildStartedOn and BuildFinishedOn are the run's times. Nil: not known.
	BuildStartedOn  *time.Time `json:"buildStartedOn,omitempty"`
	BuildFinishedOn *time.Time `json:"buildFinishedOn,omitempty"`
	// Completeness says which parts the builder claims to have recorded in full.
	Completeness Completeness02 `json:"completeness"`
	// Reproducible is a claim that building again gives the same bytes.
	Reproducible bool `json:"reproducible"`
}

// Completeness02 says which parts a builder claims to have recorded in full. False: it
// makes no such claim.
type Completeness02 struct {
	Parameters  bool `json:"parameters"`
	Environment bool `json:"environment"`
	Materials   bool `json:"materials"`
}

// Material02 is something that a build read.
type Material02 struct {
	// URI identifies it, Digest its content.
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// PredicateType is TypeProvenance02.
func (Provenance02) PredicateType() string { return TypeProvenance02 }

// Validate checks the required fields, absolute URIs, well-formed digests, and
// that the build did not end before it began.
func (p Provenance02) Validate() error { return validated(p) }

func (p Provenance02) check(c *checks) {
	c.uri("builder.id", p.Builder.ID)
	c.uri("buildType", p.BuildType)
	if p.Invocation != nil && p.Invocation.ConfigSource != nil {
		c.maybeURI("invocation.configSource.uri", p.Invocation.ConfigSource.URI)
		c.digests("invocation.configSource.digest", p.Invocation.ConfigSource.Digest)
	}
	if m := p.Metadata; m != nil {
		c.span("metadata.buildStartedOn", m.BuildStartedOn, "metadata.buildFinishedOn", m.BuildFinishedOn)
	}
	for i, m := range p.Materials {
		c.maybeURI(indexed("materials", i)+".uri", m.URI)
		c.digests(indexed("materials", i)+".digest", m.Digest)
	}
}

// MarshalJSON writes the times in UTC, as in-toto demands.
func (m BuildMetadata02) MarshalJSON() ([]byte, error) {
	type plain BuildMetadata02
	m.BuildStartedOn, m.BuildFinishedOn = inUTC(m.BuildStartedOn), inUTC(m.BuildFinishedOn)
	return marshalJSON(plain(m))
}

// parseProvenance02 also reads the invocation's identifier as buildInvocationID, the name
// that in-toto-golang, BuildKit and cosign write.
func parseProvenance02(c *checks, uri string, root strictjson.Value) (any, error) {
	value, err := typed[Provenance02](c, uri, root)
	if m := value.(*Provenance02).Metadata; m != nil && m.BuildInvocationID == "" {
		m.BuildInvocationID = textAt(root, "metadata", "buildInvocationID")
	}
	return value, err
}

func (p Provenance02) summary() summaryLines {
	var l summaryLines
	l.add("builder", p.Builder.ID)
	l.add("build type", p.BuildType)
	l.sources(p.Sources())
	if m := p.Metadata; m != nil {
		l.add("invocation", m.BuildInvocationID)
		l.time("started", m.BuildStartedOn)
		l.time("finished", m.BuildFinishedOn)
	}
	l.number("dependencies", len(p.Materials))
	return l
}
