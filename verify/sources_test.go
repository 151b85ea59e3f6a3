package verify_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
	"github.com/hallmark-oci/hallmark/verify"
)

// The good source is team/app at refs/heads/main and someCommit; the evil one is
// whatever else was really built.
const (
	goodConditions = "source: [git+https://git.example/team/app], ref: [refs/heads/main], commit: [" + someCommit + "]"
	goodContext    = `{"uri":"https://git.example/team/app#refs/heads/main","digest":{"sha1":"` + someCommit + `"}}`
	evilContext    = `{"uri":"https://git.example/zzz/evil#refs/heads/main","digest":{"sha1":"` + evilCommit + `"}}`
	evilCommit     = "6666666666666666666666666666666666666666"
	localContext   = `{"path":"Dockerfile"}`
)

// fromSource demands provenance that meets conditions about the source.
func fromSource(conditions string) string {
	return "attestation: {type: slsaprovenance, by: builder, builder: [" + someBuilder + "], " + conditions + "}"
}

// buildKitRun is what BuildKit says about a build.
func buildKitRun(t *testing.T, configSource, dependencies string) provenance.Facts {
	t.Helper()
	f, err := provenance.BuildKitMetadata(fmt.Appendf(nil, `{"containerimage.digest":"x","buildx.build.provenance":{"buildDefinition":{"buildType":"https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
"externalParameters":{"configSource":%s,"request":{"frontend":"dockerfile.v0"}},"resolvedDependencies":[%s]}}}`, configSource, dependencies))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ciJob is what the environment says: pairs of names and values.
func ciJob(t *testing.T, pairs ...string) provenance.Facts {
	t.Helper()
	env := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	f, err := provenance.Environment(provenance.EnvironmentOptions{Lookup: func(k string) (string, bool) { v, ok := env[k]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func gitLabJob(t *testing.T, project, commit string) provenance.Facts {
	t.Helper()
	return ciJob(t, "GITLAB_CI", "true", "CI_PROJECT_URL", "https://git.example/"+project,
		"CI_JOB_NAME", "b", "CI_COMMIT_REF_NAME", "main", "CI_COMMIT_BRANCH", "main", "CI_COMMIT_SHA", commit)
}

func gitHubJob(t *testing.T, event string) provenance.Facts {
	t.Helper()
	return ciJob(t, "GITHUB_ACTIONS", "true", "GITHUB_SERVER_URL", "https://git.example", "GITHUB_REPOSITORY", "team/app", "GITHUB_REF", "refs/heads/main",
		"GITHUB_SHA", someCommit, "GITHUB_EVENT_NAME", event, "GITHUB_WORKFLOW_REF", "team/app/.github/workflows/b.yml@refs/heads/main")
}

// checkedOut is a work tree without a branch, as build systems leave it.
func checkedOut(remote, commit string) provenance.Facts {
	return (&provenance.Tree{Commit: commit, Remote: remote}).Facts()
}

func predicateOf(t *testing.T, facts []provenance.Facts) says {
	t.Helper()
	p, err := provenance.New(someBuilder, facts...)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return says{predicate.TypeProvenance, string(text)}
}

func wantSource(t *testing.T, conditions string, statement says, met bool) {
	t.Helper()
	_, err := required(t, fromSource(conditions), statement)
	if met {
		wantReason(t, err, "")
	} else {
		wantReason(t, err, verify.ReasonSource)
	}
}

func TestAttack_E16_ARepositoryThatWasNotBuiltIsNoSource(t *testing.T) {
	lock, err := provenance.PackageLock([]byte(`{"lockfileVersion":3,"packages":{"node_modules/x":{"version":"1.0.0","resolved":"git+https://git.example/team/app#` + someCommit + `"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	own := provenance.Facts{BuildType: "https://ci.example/v1"}
	evilTree := (&provenance.Tree{Commit: evilCommit, Ref: "refs/heads/main", Remote: "https://git.example/zzz/evil"}).Facts()
	for name, c := range map[string]struct {
		conditions string
		facts      []provenance.Facts
	}{
		// BuildKit sorts sources from git by URL, so what is ADDed comes first.
		"ADD beside the context":              {goodConditions, []provenance.Facts{buildKitRun(t, evilContext, goodContext+","+evilContext)}},
		"ADD, local context":                  {goodConditions, []provenance.Facts{buildKitRun(t, localContext, goodContext)}},
		"ADD, local context, own build type":  {goodConditions, []provenance.Facts{own, buildKitRun(t, localContext, goodContext)}},
		"ADD, local context, another project": {goodConditions, []provenance.Facts{buildKitRun(t, localContext, goodContext), gitLabJob(t, "zzz/evil", evilCommit)}},
		"ADD, local context, another tree":    {goodConditions, []provenance.Facts{buildKitRun(t, localContext, goodContext), evilTree}},
		"job that builds another context":     {goodConditions, []provenance.Facts{gitLabJob(t, "team/app", someCommit), buildKitRun(t, evilContext, evilContext)}},
		"context of an archive":               {goodConditions, []provenance.Facts{buildKitRun(t, `{"uri":"https://files.example/a.tar","digest":{"sha256":"`+strings.Repeat("ab", 32)+`"}}`, goodContext)}},
		"lock file's dependency":              {"commit: [" + someCommit + "]", []provenance.Facts{own, lock}},
		"lock file's dependency, before":      {"commit: [" + someCommit + "]", []provenance.Facts{own, lock, evilTree}},
		"checkout of a fork":                  {goodConditions, []provenance.Facts{gitHubJob(t, "pull_request_target"), checkedOut("https://git.example/zzz/evil", evilCommit)}},
	} {
		t.Run(name, func(t *testing.T) { wantSource(t, c.conditions, predicateOf(t, c.facts), false) })
	}
	// A pull request of the same repository: nothing is made to be judged.
	if _, err := provenance.New(someBuilder, gitHubJob(t, "pull_request_target"), checkedOut("https://git.example/team/app.git", evilCommit)); err == nil {
		t.Error("two commits of one repository: no error")
	}
}

func TestAttack_E16_ForeignProvenanceWithAnOpenSource(t *testing.T) {
	const (
		source = `{"uri":"git+https://git.example/team/app@refs/heads/main","digest":{"gitCommit":"` + someCommit + `"}}`
		other  = `{"uri":"git+https://git.example/zzz/evil@refs/heads/main","digest":{"gitCommit":"` + evilCommit + `"}}`
	)
	v1 := func(dependencies string) says {
		return provenanceBy(someBuilder, source, dependencies)
	}
	buildKit := func(configSource, dependencies string) says {
		return provenanceBy(someBuilder, "https://ci.example/v1", provenance.BuildTypeBuildKit, `"target":"app"`, `"configSource":`+configSource, source, dependencies)
	}
	old := func(buildType, configSource, materials string) says {
		return says{predicate.TypeProvenance02, `{"builder":{"id":"` + someBuilder + `"},"buildType":"` + buildType + `","invocation":{"configSource":` + configSource + `},"materials":[` + materials + `]}`}
	}
	marked := func(resource, is string) string {
		return strings.TrimSuffix(resource, "}") + `,"annotations":{"buildSource":` + is + `}}`
	}
	for name, c := range map[string]struct {
		statement says
		met       bool
	}{
		"one":                                   {v1(source), true},
		"one, twice":                            {v1(source + "," + source), true},
		"one, beside what is no git repository": {v1(`{"uri":"pkg:golang/a","digest":{"gitCommit":"` + evilCommit + `"}},` + source), true},
		"another, after":                        {v1(source + "," + other), false},
		"another, before":                       {v1(other + "," + source), false},
		"another commit":                        {v1(source + "," + strings.Replace(source, someCommit, evilCommit, 1)), false},
		"another ref":                           {v1(source + "," + strings.Replace(source, "main", "evil", 1)), false},
		"without a commit":                      {v1(source + `,{"uri":"git+https://git.example/team/app@refs/heads/main"}`), false},
		"package with a commit":                 {v1(strings.Replace(source, "git+https://git.example/team/app@refs/heads/main", "pkg:npm/x", 1)), false},
		"scheme without git+":                   {v1(strings.Replace(source, "git+", "", 1)), false},
		"annotated, after another":              {v1(other + "," + marked(source, "true")), true},
		"annotated another":                     {v1(source + "," + marked(other, "true")), false},
		"both annotated":                        {v1(marked(source, "true") + "," + marked(other, "true")), false},
		"annotated to be none":                  {v1(marked(source, "false")), false},
		"another annotated to be none":          {v1(marked(other, "false") + "," + source), true},
		"annotated in other words":              {v1(other + "," + marked(source, `"true"`)), false},
		"BuildKit's context":                    {buildKit(source, other+","+source), true},
		"BuildKit's other context":              {buildKit(other, source), false},
		"BuildKit's other context, annotated":   {buildKit(other, marked(source, "true")), false},
		"BuildKit's context without git+":       {buildKit(`{"uri":"https://git.example/zzz/evil"}`, marked(source, "true")), false},
		"BuildKit, local":                       {buildKit(`{"path":"Dockerfile"}`, source), false},
		"BuildKit, local, annotated":            {buildKit(`{"path":"Dockerfile"}`, marked(source, "true")), true},
		"BuildKit, context that is none":        {buildKit(`[1]`, source), false},
		"v0.2":                                  {old("https://ci.example/v1", source, other), true},
		"v0.2, another":                         {old("https://ci.example/v1", other, source), false},
		"v0.2, another without git+":            {old("https://ci.example/v1", `{"uri":"https://git.example/zzz/evil","digest":{"sha1":"`+evilCommit+`"}}`, source), false},
		"v0.2, one material":                    {old("https://ci.example/v1", `{"entryPoint":"x"}`, source), true},
		"v0.2, two materials":                   {old("https://ci.example/v1", `{}`, source+","+other), false},
		"v0.2 by BuildKit, local":               {old("https://mobyproject.org/buildkit@v1", `{"entryPoint":"Dockerfile"}`, source), false},
	} {
		t.Run(name, func(t *testing.T) { wantSource(t, goodConditions, c.statement, c.met) })
	}
}

func TestOurProvenanceSaysUnambiguouslyWhatTheSourceIs(t *testing.T) {
	lock, err := provenance.PackageLock([]byte(`{"lockfileVersion":3,"packages":{"node_modules/x":{"version":"1.0.0","resolved":"git+https://git.example/other#` + evilCommit + `"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	recorded := (&provenance.Recording{Command: []string{"make"}}).Facts()
	tree := (&provenance.Tree{Commit: someCommit, Ref: "refs/heads/main", Remote: "https://git.example/team/app"}).Facts()
	for name, facts := range map[string][]provenance.Facts{
		"environment alone":               {gitLabJob(t, "team/app", someCommit)},
		"environment, tree, lock file":    {gitLabJob(t, "team/app", someCommit), lock, checkedOut("https://git.example/team/app.git", someCommit)},
		"environment, tree by SSH":        {gitHubJob(t, "push"), checkedOut("ssh://git.example/team/app.git", someCommit)},
		"command, lock file, tree":        {recorded, lock, tree},
		"BuildKit's context, ADD":         {buildKitRun(t, goodContext, evilContext+","+goodContext)},
		"BuildKit's context, environment": {buildKitRun(t, goodContext, goodContext), gitLabJob(t, "team/app", someCommit)},
		"local context, ADD, environment": {buildKitRun(t, localContext, evilContext), gitLabJob(t, "team/app", someCommit)},
		"environment, local context, ADD": {gitLabJob(t, "team/app", someCommit), buildKitRun(t, localContext, evilContext)},
		"local context, ADD of itself":    {buildKitRun(t, localContext, goodContext), gitLabJob(t, "team/app", someCommit)},
	} {
		t.Run(name, func(t *testing.T) { wantSource(t, goodConditions, predicateOf(t, facts), true) })
	}
}
