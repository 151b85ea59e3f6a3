package verify

import (
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// judgeSources wants the conditions to hold whichever of the sources is the one that
// was built.
func (a attestation) judgeSources(d provenance, _ *circumstances) *problem {
	if len(a.Source) == 0 && len(a.Ref) == 0 && len(a.Commit) == 0 {
		return nil
	}
	sources, err := d.sources()
	if err != nil {
		return problemf(ReasonPredicate, "its source cannot be read: %v", err)
	}
	if len(sources) == 0 {
		return problemf(ReasonSource, "it does not say from which git repository it was built")
	}
	for _, s := range sources {
		for _, x := range []struct {
			name string
			want []string
			is   func(string) bool
			got  string
		}{{"source", a.Source, a.sources.Has, s.URI}, {"ref", a.Ref, a.refs.Has, s.Ref}, {"commit", a.Commit, a.isCommit, s.Commit}} {
			if len(x.want) == 0 || x.is(x.got) {
				continue
			}
			p := unwanted(ReasonSource, x.name, x.got, x.want)
			if len(sources) > 1 {
				p.detail += "; which of several git sources was built is left open"
			}
			return p
		}
	}
	return nil
}

func (a attestation) isCommit(commit string) bool { return slices.Contains(a.Commit, commit) }

// sources reads what the provenance says of the sources, and no other member.
func (d provenance) sources() ([]predicate.GitSource, error) {
	if d.v02 {
		return d.sources02()
	}
	var p predicate.Provenance
	var err error
	if p.BuildDefinition.BuildType, err = d.at(d.buildType).text(); err != nil {
		return nil, err
	}
	p.BuildDefinition.ExternalParameters = d.configSource()
	if p.BuildDefinition.ResolvedDependencies, err = resources(d.at("buildDefinition.resolvedDependencies")); err != nil {
		return nil, err
	}
	return p.Sources(), nil
}

// sources02 reads the materials only where no configSource is given.
func (d provenance) sources02() ([]predicate.GitSource, error) {
	var p predicate.Provenance02
	var err error
	if p.BuildType, err = d.at(d.buildType).optionalText(); err != nil {
		return nil, err
	}
	const path = "invocation.configSource"
	source := d.at(path)
	switch {
	case source.err != nil, source.given() && source.value.Kind() != strictjson.Object:
		return nil, source.wrong("an object")
	case source.given():
		var s shape
		r := resource(&s, path, s.whole(path, source.value), true)
		if s.err != nil {
			return nil, s.err
		}
		p.Invocation = &predicate.Invocation02{ConfigSource: &predicate.ConfigSource02{URI: r.URI, Digest: r.Digest}}
		if r.URI != "" {
			return p.Sources(), nil
		}
	}
	all, err := resources(d.at("materials"))
	for _, r := range all {
		p.Materials = append(p.Materials, predicate.Material02{URI: r.URI, Digest: r.Digest})
	}
	return p.Sources(), err
}

// configSource are the external parameters, reduced to the one that says what BuildKit
// was started from. A value of another form stands for itself, and is not a source.
func (d provenance) configSource() map[string]any {
	const unreadable = false
	given := d.at(d.parameters + ".configSource")
	switch {
	case given.err != nil:
		return map[string]any{"configSource": unreadable}
	case !given.value.Exists():
		return nil
	case given.value.Kind() != strictjson.Object:
		return map[string]any{"configSource": unreadable}
	}
	if _, misspelt := given.value.Misspelt([]string{"uri", "digest"}); misspelt {
		return map[string]any{"configSource": unreadable}
	}
	source := map[string]any{}
	if uri := given.value.Get("uri"); uri.Exists() {
		source["uri"] = any(unreadable)
		if text, ok := uri.Str(); ok {
			source["uri"] = text
		}
	}
	digest := map[string]any{}
	for _, algorithm := range []string{"gitCommit", "sha1"} {
		if text, err := d.at(d.parameters + ".configSource.digest." + algorithm).text(); err == nil {
			digest[algorithm] = text
		}
	}
	source["digest"] = digest
	return map[string]any{"configSource": source}
}

// resources reads a list of materials or dependencies as far as sources need it.
func resources(list member) (all []predicate.ResourceDescriptor, err error) {
	if list.err != nil {
		return nil, list.err
	}
	var s shape
	s.eachOrNull(list.path, list.value, func(at string, v strictjson.Value) { all = append(all, resource(&s, at, v, false)) })
	return all, s.err
}

// resource reads a resource's URI, the annotation that marks the source, and the commit
// of a source or git repository. Other digests are not read: builders write them in many
// forms.
func resource(s *shape, at string, v strictjson.Value, isSource bool) (r predicate.ResourceDescriptor) {
	s.object(at, v, "uri", "digest", "annotations")
	r.URI = s.maybeText(at+".uri", v.Get("uri"))
	if annotations := v.Get("annotations"); s.given(annotations) {
		s.object(at+".annotations", annotations, predicate.AnnotationBuildSource)
		if mark := annotations.Get(predicate.AnnotationBuildSource); mark.Exists() {
			is, known := mark.Truth()
			r.Annotations = map[string]any{predicate.AnnotationBuildSource: any(is)}
			if !known {
				r.Annotations[predicate.AnnotationBuildSource] = nil
			}
		}
	}
	digest := v.Get("digest")
	if !isSource && !strings.HasPrefix(r.URI, "git+") || !s.given(digest) {
		return r
	}
	s.object(at+".digest", digest, "gitCommit", "sha1")
	r.Digest = make(map[string]string)
	for _, algorithm := range []string{"gitCommit", "sha1"} {
		r.Digest[algorithm] = s.maybeText(at+".digest."+algorithm, digest.Get(algorithm))
	}
	r.Digest["sha256"], _ = digest.Get("sha256").Str() // a commit, as GitLab's runner writes it
	return r
}
