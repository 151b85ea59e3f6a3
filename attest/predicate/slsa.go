package predicate

import "github.com/hallmark-oci/hallmark/internal/strictjson"

// PredicateType is TypeProvenance.
func (Provenance) PredicateType() string { return TypeProvenance }

// Validate checks what SLSA v1.0, provenance.md demands: the required fields, absolute
// URIs, well-formed digests, and that the build did not end before it began. External
// parameters must be given and may be empty. Their meaning depends on the build type and
// is not checked.
func (p Provenance) Validate() error { return validated(p) }

func (p Provenance) check(c *checks) {
	def, run := p.BuildDefinition, p.RunDetails
	c.uri("buildDefinition.buildType", def.BuildType)
	c.need("buildDefinition.externalParameters", def.ExternalParameters != nil)
	c.descriptors("buildDefinition.resolvedDependencies", def.ResolvedDependencies)
	c.uri("runDetails.builder.id", run.Builder.ID)
	c.descriptors("runDetails.builder.builderDependencies", run.Builder.BuilderDependencies)
	if m := run.Metadata; m != nil {
		c.span("runDetails.metadata.startedOn", m.StartedOn, "runDetails.metadata.finishedOn", m.FinishedOn)
	}
	c.descriptors("runDetails.byproducts", run.Byproducts)
}

// MarshalJSON writes the times in UTC, as in-toto demands.
func (m BuildMetadata) MarshalJSON() ([]byte, error) {
	type plain BuildMetadata
	m.StartedOn, m.FinishedOn = inUTC(m.StartedOn), inUTC(m.FinishedOn)
	return marshalJSON(plain(m))
}

// parseProvenance also reads the invocation's identifier as invocationID, the name that
// in-toto-golang up to v0.9 and cosign v2 write.
func parseProvenance(c *checks, uri string, root strictjson.Value) (any, error) {
	value, err := typed[Provenance](c, uri, root)
	if m := value.(*Provenance).RunDetails.Metadata; m != nil && m.InvocationID == "" {
		m.InvocationID = textAt(root, "runDetails", "metadata", "invocationID")
	}
	return value, err
}

func (p Provenance) summary() summaryLines {
	var l summaryLines
	l.add("builder", p.RunDetails.Builder.ID)
	l.add("build type", p.BuildDefinition.BuildType)
	l.sources(p.Sources())
	if m := p.RunDetails.Metadata; m != nil {
		l.add("invocation", m.InvocationID)
		l.time("started", m.StartedOn)
		l.time("finished", m.FinishedOn)
	}
	l.number("dependencies", len(p.BuildDefinition.ResolvedDependencies))
	return l
}
