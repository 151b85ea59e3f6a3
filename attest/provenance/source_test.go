package provenance_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/provenance"
)

func gitDependency(uri, commit string, annotations map[string]any) predicate.ResourceDescriptor {
	return predicate.ResourceDescriptor{URI: uri, Digest: map[string]string{"gitCommit": strings.Repeat(commit, 40)}, Annotations: annotations}
}

func TestTheSourceStandsFirstAndIsAnnotated(t *testing.T) {
	own := map[string]any{"mine": 1, predicate.AnnotationBuildSource: true}
	input := provenance.Facts{BuildType: "https://example.com/a", Dependencies: []predicate.ResourceDescriptor{
		{URI: "pkg:npm/x@1", Digest: map[string]string{"gitCommit": strings.Repeat("c", 40)}},
		gitDependency("git+https://git.example/added", "b", map[string]any{predicate.AnnotationBuildSource: false}),
		gitDependency("git+https://git.example/team/app@refs/heads/main", "a", nil),
	}}
	again := provenance.Facts{Dependencies: []predicate.ResourceDescriptor{gitDependency("git+ssh://git.example/Team/app.git", "a", own)}}
	p, err := provenance.New("https://ci.example/builder", input, again)
	if err != nil {
		t.Fatal(err)
	}
	d := p.BuildDefinition.ResolvedDependencies
	if len(d) != 4 || d[0].URI != "git+https://git.example/team/app@refs/heads/main" || d[0].Annotations[predicate.AnnotationBuildSource] != true {
		t.Errorf("%v", d)
	}
	want := predicate.GitSource{URI: "git+https://git.example/team/app", Ref: "refs/heads/main", Commit: strings.Repeat("a", 40)}
	if s := p.Sources(); len(s) != 1 || s[0] != want {
		t.Errorf("sources %v, want %v", s, want)
	}
	if own[predicate.AnnotationBuildSource] != true || input.Dependencies[2].Annotations != nil {
		t.Error("the caller's own facts were changed")
	}
}

func TestAttack_E16_SourcesThatDifferAreNotPassedOver(t *testing.T) {
	one := func(d predicate.ResourceDescriptor) provenance.Facts {
		return provenance.Facts{BuildType: "https://example.com/a", Dependencies: []predicate.ResourceDescriptor{d}}
	}
	env := one(gitDependency("git+https://git.example/team/app@refs/heads/main", "a", nil))
	for name, second := range map[string]predicate.ResourceDescriptor{
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
	tree := predicate.ResourceDescriptor{Name: "source", Digest: map[string]string{"gitCommit": strings.Repeat("a", 40)}}
	if p, err = provenance.New("https://ci.example/builder", env, one(tree)); err != nil || len(p.Sources()) != 1 {
		t.Errorf("the same commit without a remote: %v", err)
	}
}
