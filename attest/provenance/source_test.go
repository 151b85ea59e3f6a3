package provenance_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/provenance"
)

func gitDependency(uri, commit string, annotations map[string]any) attest.ResourceDescriptor {
	return attest.ResourceDescriptor{URI: uri, Digest: map[string]string{"gitCommit": strings.Repeat(commit, 40)}, Annotations: annotations}
}

func TestTheSourceStandsFirstAndIsAnnotated(t *testing.T) {
	own := map[string]any{"mine": 1, attest.AnnotationBuildSource: true}
	input := provenance.Facts{BuildType: "https://example.com/a", Dependencies: []attest.ResourceDescriptor{
		{URI: "pkg:npm/x@1", Digest: map[string]string{"gitCommit": strings.Repeat("c", 40)}},
		gitDependency("git+https://git.example/added", "b", map[string]any{attest.AnnotationBuildSource: false}),
		gitDependency("git+https://git.example/team/app@refs/heads/main", "a", nil),
	}}
	again := provenance.Facts{Dependencies: []attest.ResourceDescriptor{gitDependency("git+ssh://git.example/Team/app.git", "a", own)}}
	p, err := provenance.New("https://ci.example/builder", input, again)
	if err != nil {
		t.Fatal(err)
	}
	d := p.BuildDefinition.ResolvedDependencies
	if len(d) != 4 || d[0].URI != "git+https://git.example/team/app@refs/heads/main" || d[0].Annotations[attest.AnnotationBuildSource] != true {
		t.Errorf("%v", d)
	}
	want := attest.GitSource{URI: "git+https://git.example/team/app", Ref: "refs/heads/main", Commit: strings.Repeat("a", 40)}
	if s := p.Sources(); len(s) != 1 || s[0] != want {
		t.Errorf("sources %v, want %v", s, want)
	}
	if own[attest.AnnotationBuildSource] != true || input.Dependencies[2].Annotations != nil {
		t.Error("the caller's own facts were changed")
	}
}

func TestAttack_E16_SourcesThatDifferAreNotPassedOver(t *testing.T) {
	one := func(d attest.ResourceDescriptor) provenance.Facts {
		return provenance.Facts{BuildType: "https://example.com/a", Dependencies: []attest.ResourceDescriptor{d}}
	}
	env := one(gitDependency("git+https://git.example/team/app@refs/heads/main", "a", nil))
	for name, second := range map[string]attest.ResourceDescriptor{
		"same URL":        gitDependency("git+https://git.example/team/app@refs/heads/main", "b", nil),
		"no ref":          gitDependency("git+https://git.example/team/app", "b", nil),
		".git and a user": gitDependency("git+ssh://git@git.example/team/app.git@refs/pull/1/head", "b", nil),
		"other case":      gitDependency("git+https://GIT.example/Team/App/", "b", nil),
		"directory":       gitDependency("git+https://git.example/team/app#dir", "b", nil),
		"no remote":       {Name: "source", Digest: map[string]string{"gitCommit": strings.Repeat("b", 40)}},
	} {
		if _, err := provenance.New("https://ci.example/builder", env, one(second)); !errors.Is(err, provenance.ErrConflict) {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
	}
	p, err := provenance.New("https://ci.example/builder", env, one(gitDependency("git+https://git.example/fork/app", "b", nil)))
	if err != nil || len(p.Sources()) != 2 {
		t.Errorf("two repositories: %v, %v; want both to be sources", p, err)
	}
	tree := attest.ResourceDescriptor{Name: "source", Digest: map[string]string{"gitCommit": strings.Repeat("a", 40)}}
	if p, err = provenance.New("https://ci.example/builder", env, one(tree)); err != nil || len(p.Sources()) != 1 {
		t.Errorf("the same commit without a remote: %v", err)
	}
}
