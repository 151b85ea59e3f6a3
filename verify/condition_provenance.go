package verify

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/uri"
)

// provenance is SLSA provenance, with the paths at which its version has what
// conditions read.
//
// Sources: SLSA v1.0, provenance.md; SLSA v0.2, provenance/v0.2.md.
type provenance struct {
	document
	builder, buildType, parameters, started, finished string
	// v02 says that the version is v0.2.
	v02 bool
}

func newProvenance(d document) provenance {
	if d.is(predicate.TypeProvenance02) {
		return provenance{
			document: d, v02: true, builder: "builder.id", buildType: "buildType", parameters: "invocation.parameters",
			started: "metadata.buildStartedOn", finished: "metadata.buildFinishedOn",
		}
	}
	return provenance{
		document: d, builder: "runDetails.builder.id", buildType: "buildDefinition.buildType", parameters: "buildDefinition.externalParameters",
		started: "runDetails.metadata.startedOn", finished: "runDetails.metadata.finishedOn",
	}
}

func (a attestation) judgeProvenance(d provenance, c *circumstances) (stated moment, p *problem) {
	stated = d.at(d.finished).moment().or(d.at(d.started).moment())
	for _, judge := range []func(provenance, *circumstances) *problem{
		a.judgeBuilder, a.judgeBuildType, a.judgeSources, a.judgeParameters, a.judgeBinding,
	} {
		if p := judge(d, c); p != nil {
			return stated, p
		}
	}
	if a.BuiltAfter.IsZero() {
		return stated, nil
	}
	switch {
	case stated.err != nil:
		p = problemf(ReasonPredicate, "it does not say when it was built: %v", stated.err)
	case stated.time.IsZero():
		p = problemf(ReasonStale, "it does not say when it was built")
	case !stated.time.After(a.BuiltAfter):
		p = problemf(ReasonStale, "%s is %s, the policy wants a time after %s", stated.path, utc(stated.time), utc(a.BuiltAfter))
	}
	return stated, p
}

func (a attestation) judgeBuilder(d provenance, c *circumstances) *problem {
	builder, err := d.at(d.builder).text()
	if err == nil && builder != "" && !uri.IsAbsolute(builder) {
		err = d.at(d.builder).wrong("an absolute URI")
	}
	switch {
	case err != nil:
		return problemf(ReasonPredicate, "its builder cannot be read: %v", err)
	case len(a.Builder) > 0 && !a.builders.Has(builder):
		return unwanted(ReasonBuilder, d.builder, builder, a.Builder)
	case c.builders[builder] < a.MinLevel:
		level := c.builders[builder]
		return problemf(ReasonBuilder, "%s is %q, which is trusted to reach level %d, the policy wants level %d", d.builder, builder, level, a.MinLevel).compared(strconv.Itoa(level), strconv.Itoa(a.MinLevel))
	}
	return nil
}

func (a attestation) judgeBuildType(d provenance, _ *circumstances) *problem {
	if len(a.BuildType) == 0 {
		return nil
	}
	buildType, err := d.at(d.buildType).text()
	switch {
	case err != nil:
		return problemf(ReasonPredicate, "its build type cannot be read: %v", err)
	case !slices.Contains(a.BuildType, buildType):
		return unwanted(ReasonBuildType, d.buildType, buildType, a.BuildType)
	}
	return nil
}

// judgeParameters reads the names of the external parameters, and the values of those
// that the policy gives a value.
func (a attestation) judgeParameters(d provenance, _ *circumstances) *problem {
	if a.Parameters == nil && a.AbsentParameters == nil && !a.OnlyKnownParameters {
		return nil
	}
	have := make(map[string]strictjson.Value)
	switch given := d.at(d.parameters); {
	case d.v02 && given.err == nil && given.value.Kind() == strictjson.Missing:
		// They may be left out, and then there are none.
	case given.value.Kind() == strictjson.Object:
		maps.Insert(have, given.value.Members())
	case d.v02 && given.err == nil:
		return problemf(ReasonParameters, "its external parameters have no names: %v", given.wrong("an object"))
	default:
		return problemf(ReasonPredicate, "its external parameters cannot be read: %v", given.wrong("an object"))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Parameters)) {
		got, there := have[name]
		if !there || !sameJSON(got, a.Parameters[name]) {
			return problemf(ReasonParameters, "its external parameter %q is %s, the policy wants another value", name, member{value: got}.shown())
		}
	}
	for _, name := range a.AbsentParameters {
		if like, there := likeName(have, name); there {
			return problemf(ReasonParameters, "it has the external parameter %.200q, and the policy wants %q to be absent", like, name)
		}
	}
	if !a.OnlyKnownParameters {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, asked := a.Parameters[name]; !asked && !slices.Contains(a.KnownParameters, name) {
			return problemf(ReasonParameters, "it has the external parameter %q, which the policy does not know", name)
		}
	}
	return nil
}

// likeName is the name of a parameter that is this one, in any case: many programs read
// JSON without regard to case.
func likeName(have map[string]strictjson.Value, name string) (string, bool) {
	for _, like := range slices.Sorted(maps.Keys(have)) {
		if strings.EqualFold(like, name) {
			return like, true
		}
	}
	return "", false
}

// sameJSON compares a value with one of the policy by what both mean in JSON: 1 and
// 1.0 are one number, and "1" is not a number. A value that cannot be read differs.
func sameJSON(got strictjson.Value, want any) bool {
	whole, err := got.Whole()
	var value any
	if err == nil {
		err = strictjson.Decode(whole, &value, strictjson.DecodeOptions{})
	}
	return err == nil && reflect.DeepEqual(strictjson.Plain(value), strictjson.Plain(want))
}
