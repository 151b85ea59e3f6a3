package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

func (q *ProvenanceConditions) set() []string {
	return setNames(map[string]bool{
		"builder": q.Builder != nil, "minLevel": q.MinLevel != 0, "source": q.Source != nil, "ref": q.Ref != nil, "commit": q.Commit != nil,
		"buildType": q.BuildType != nil, "parameters": q.Parameters != nil, "absentParameters": q.AbsentParameters != nil,
		"knownParameters": q.KnownParameters != nil, "onlyKnownParameters": q.OnlyKnownParameters, "builtAfter": !q.BuiltAfter.IsZero(),
	})
}

var commitForm = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

func (q *ProvenanceConditions) check() error {
	if len(q.Builder) == 0 {
		return fmt.Errorf("needs builder: provenance by whatever builder says nothing")
	}
	for field, list := range map[string][]string{"builder": q.Builder, "source": q.Source, "buildType": q.BuildType} {
		if err := checkURIs(field, list); err != nil {
			return err
		}
	}
	for _, s := range q.Source {
		if strings.Contains(strings.SplitN(s, "://", 2)[len(strings.SplitN(s, "://", 2))-1], "@") {
			return fmt.Errorf("has in source %.200q, which has a login or a ref; the ref belongs in ref", s)
		}
	}
	for _, c := range q.Commit {
		if !commitForm.MatchString(c) {
			return fmt.Errorf("has in commit %.100q, which is not 40 or 64 lower-case hex digits", c)
		}
	}
	if q.MinLevel < 0 || q.MinLevel > 4 {
		return fmt.Errorf("has minLevel %d, want 1 to 4", q.MinLevel)
	}
	if q.KnownParameters != nil && !q.OnlyKnownParameters {
		return fmt.Errorf("has knownParameters, which says nothing without onlyKnownParameters")
	}
	for _, name := range q.AbsentParameters {
		if slices.Contains(q.KnownParameters, name) {
			return fmt.Errorf("wants the parameter %.100q to be known and to be absent", name)
		}
		if _, both := q.Parameters[name]; both {
			return fmt.Errorf("wants the parameter %.100q to have a value and to be absent", name)
		}
	}
	return nil
}

// reachable refuses a level that none of the builders is trusted to reach.
func (q *ProvenanceConditions) reachable(levels map[string]int) error {
	if q.MinLevel > 0 && !slices.ContainsFunc(q.Builder, func(id string) bool { return levels[id] >= q.MinLevel }) {
		return fmt.Errorf("has minLevel %d, which none of its builders is trusted to reach: say so in the policy's builders", q.MinLevel)
	}
	return nil
}

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

func (q *ProvenanceConditions) judge(v provenanceView, c *circumstances) *problem {
	for _, x := range []struct {
		reason Reason
		name   string
		want   []string
		got    string
	}{
		{ReasonBuilder, "builder", q.Builder, v.builder},
		{ReasonBuildType, "build type", q.BuildType, v.buildType},
	} {
		if len(x.want) > 0 && !slices.Contains(x.want, x.got) {
			return problemf(x.reason, "its %s is %q", x.name, x.got)
		}
	}
	if p := q.judgeSources(v.sources); p != nil {
		return p
	}
	if level := c.builders[v.builder]; level < q.MinLevel {
		return problemf(ReasonBuilder, "its builder %q is trusted to reach level %d, not %d", v.builder, level, q.MinLevel)
	}
	if !q.BuiltAfter.IsZero() && !v.finished.After(q.BuiltAfter) {
		return problemf(ReasonStale, "it was not built after %s, or does not say when", q.BuiltAfter.UTC().Format(time.RFC3339))
	}
	if v.unreadable && (q.Parameters != nil || q.AbsentParameters != nil || q.OnlyKnownParameters) {
		return problemf(ReasonParameters, "its external parameters are not an object, and have no names")
	}
	return q.judgeParameters(v.parameters)
}

// judgeSources wants the conditions to hold whichever of the sources is the one
// that was built.
func (q *ProvenanceConditions) judgeSources(sources []predicate.GitSource) *problem {
	if len(q.Source) == 0 && len(q.Ref) == 0 && len(q.Commit) == 0 {
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
		}{{"source", q.Source, s.URI}, {"ref", q.Ref, s.Ref}, {"commit", q.Commit, s.Commit}} {
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

func (q *ProvenanceConditions) judgeParameters(have map[string]any) *problem {
	wrong, all := "", true
	for name, want := range q.Parameters {
		got, there := have[name]
		if (!there || !sameJSON(got, want)) && (all || name < wrong) {
			wrong, all = name, false
		}
	}
	if !all {
		return problemf(ReasonParameters, "its external parameter %q is not what it must be", wrong)
	}
	for _, name := range q.AbsentParameters {
		if _, there := have[name]; there {
			return problemf(ReasonParameters, "it has the external parameter %q", name)
		}
	}
	if !q.OnlyKnownParameters {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, asked := q.Parameters[name]; !asked && !slices.Contains(q.KnownParameters, name) {
			return problemf(ReasonParameters, "it has the external parameter %q, which is not known", name)
		}
	}
	return nil
}

// sameJSON compares values by what they mean in JSON: 1 and 1.0 are one number,
// "1" is none.
func sameJSON(a, b any) bool { return reflect.DeepEqual(plainJSON(a), plainJSON(b)) }

func plainJSON(v any) (plain any) {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()        // float64 has no room for every int64
	_ = d.Decode(&plain) // it was marshalled above
	return plain
}
