package verify

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// provenanceView is what both versions of provenance say.
type provenanceView struct {
	builder, buildType string
	// sources are the repositories that the build was, or may have been, started
	// from.
	sources    []predicate.GitSource
	parameters map[string]any
	// unreadable says that there are parameters, in a form that has no names.
	unreadable bool
	finished   time.Time
}

// viewProvenance reads what matters.
func viewProvenance(v any) provenanceView {
	switch p := v.(type) {
	case *predicate.Provenance:
		view := provenanceView{
			builder: p.RunDetails.Builder.ID, buildType: p.BuildDefinition.BuildType, sources: p.Sources(), parameters: p.BuildDefinition.ExternalParameters,
		}
		if m := p.RunDetails.Metadata; m != nil && m.FinishedOn != nil {
			view.finished = *m.FinishedOn
		} else if m != nil && m.StartedOn != nil {
			view.finished = *m.StartedOn
		}
		return view
	case *predicate.Provenance02:
		view := provenanceView{builder: p.Builder.ID, buildType: p.BuildType, sources: p.Sources()}
		if m := p.Metadata; m != nil && m.BuildFinishedOn != nil {
			view.finished = *m.BuildFinishedOn
		} else if m != nil && m.BuildStartedOn != nil {
			view.finished = *m.BuildStartedOn
		}
		if i := p.Invocation; i != nil {
			var known bool
			view.parameters, known = i.Parameters.(map[string]any)
			view.unreadable = i.Parameters != nil && !known
		}
		return view
	}
	return provenanceView{}
}

// hidesParameters reports whether provenance v0.2 has null where the parameters are to
// be. In v1 they are required, and null is none.
func hidesParameters(v any, text []byte) bool {
	if _, is := v.(*predicate.Provenance02); !is {
		return false
	}
	root, err := strictjson.Parse(text)
	invocation := root.Get("invocation")
	return err != nil || invocation.Kind() == strictjson.Null || invocation.Get("parameters").Kind() == strictjson.Null
}

func (a attestation) judgeProvenance(v provenanceView, c *circumstances) *problem {
	for _, x := range []struct {
		reason Reason
		name   string
		want   []string
		got    string
	}{
		{ReasonBuilder, "builder", a.Builder, v.builder},
		{ReasonBuildType, "build type", a.BuildType, v.buildType},
	} {
		if len(x.want) > 0 && !slices.Contains(x.want, x.got) {
			return problemf(x.reason, "its %s is %q", x.name, x.got)
		}
	}
	if p := a.judgeSources(v.sources); p != nil {
		return p
	}
	if level := c.builders[v.builder]; level < a.MinLevel {
		return problemf(ReasonBuilder, "its builder %q is trusted to reach level %d, not %d", v.builder, level, a.MinLevel)
	}
	if !a.BuiltAfter.IsZero() && !v.finished.After(a.BuiltAfter) {
		return problemf(ReasonStale, "it was not built after %s, or does not say when", a.BuiltAfter.UTC().Format(time.RFC3339))
	}
	if v.unreadable && (a.Parameters != nil || a.AbsentParameters != nil || a.OnlyKnownParameters) {
		return problemf(ReasonParameters, "its external parameters are not an object, and have no names")
	}
	return a.judgeParameters(v.parameters)
}

// judgeSources wants the conditions to hold whichever of the sources is the one
// that was built.
func (a attestation) judgeSources(sources []predicate.GitSource) *problem {
	if len(a.Source) == 0 && len(a.Ref) == 0 && len(a.Commit) == 0 {
		return nil
	}
	if len(sources) == 0 {
		return problemf(ReasonSource, "it does not say from which git repository it was built")
	}
	for _, s := range sources {
		for _, x := range []struct {
			name string
			want []string
			got  string
		}{{"source", a.Source, s.URI}, {"ref", a.Ref, s.Ref}, {"commit", a.Commit, s.Commit}} {
			switch {
			case len(x.want) == 0 || slices.Contains(x.want, x.got):
			case len(sources) > 1:
				return problemf(ReasonSource, "it leaves open which of %d git sources was built, and the %s of one is %q", len(sources), x.name, x.got)
			default:
				return problemf(ReasonSource, "its %s is %q", x.name, x.got)
			}
		}
	}
	return nil
}

func (a attestation) judgeParameters(have map[string]any) *problem {
	wrong, all := "", true
	for name, want := range a.Parameters {
		got, there := have[name]
		if (!there || !sameJSON(got, want)) && (all || name < wrong) {
			wrong, all = name, false
		}
	}
	if !all {
		return problemf(ReasonParameters, "its external parameter %q is not what it must be", wrong)
	}
	for _, name := range a.AbsentParameters {
		if _, there := have[name]; there {
			return problemf(ReasonParameters, "it has the external parameter %q", name)
		}
	}
	if !a.OnlyKnownParameters {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, asked := a.Parameters[name]; !asked && !slices.Contains(a.KnownParameters, name) {
			return problemf(ReasonParameters, "it has the external parameter %q, which is not known", name)
		}
	}
	return nil
}

// sameJSON compares values by what they mean in JSON: 1 and 1.0 are one number,
// "1" is none.
func sameJSON(a, b any) bool { return reflect.DeepEqual(strictjson.Plain(a), strictjson.Plain(b)) }
