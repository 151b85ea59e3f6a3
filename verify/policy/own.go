package policy

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// own returns a copy of a leaf that shares nothing with q. The caller copies the
// lists of anyOf and allOf.
func (q Requirement) own() Requirement {
	if q.Signature != nil {
		s := *q.Signature
		s.Annotations = maps.Clone(s.Annotations)
		q.Signature = &s
	}
	if q.Attestation != nil {
		a := *q.Attestation
		for _, list := range []*[]string{
			&a.Builder, &a.Source, &a.Ref, &a.Commit, &a.BuildType, &a.AbsentParameters, &a.KnownParameters,
			&a.DenyPackages, &a.DenyLicenses, &a.Result, &a.Verifier, &a.Resource, &a.VerifiedLevels, &a.CEL,
		} {
			*list = slices.Clone(*list)
		}
		if a.Parameters != nil {
			if own, ok := strictjson.Plain(a.Parameters).(map[string]any); ok { // otherwise the policy has no digest
				a.Parameters = own
			}
		}
		a.Where = slices.Clone(a.Where)
		for i := range a.Where {
			a.Where[i] = a.Where[i].own()
		}
		a.Accept, a.LayoutEnvelope = slices.Clone(a.Accept), slices.Clone(a.LayoutEnvelope)
		q.Attestation = &a
	}
	if q.Config != nil {
		c := *q.Config
		c.BaseImages, c.Platforms, c.CEL = slices.Clone(c.BaseImages), slices.Clone(c.Platforms), slices.Clone(c.CEL)
		c.Labels, c.Annotations = maps.Clone(c.Labels), maps.Clone(c.Annotations)
		q.Config = &c
	}
	return q
}

func (m MemberCondition) own() MemberCondition {
	for _, value := range []*json.RawMessage{&m.Equals, &m.AtMost, &m.AtLeast} {
		*value = slices.Clone(*value)
	}
	m.In, m.Matches = slices.Clone(m.In), slices.Clone(m.Matches)
	for i := range m.In {
		m.In[i] = slices.Clone(m.In[i])
	}
	return m
}
