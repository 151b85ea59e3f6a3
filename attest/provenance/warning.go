package provenance

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// Warning says what provenance lacks about its source, and why. A policy that asks
// for what is missing denies the image.
type Warning struct {
	// Reason is a stable word. New records it in the provenance.
	Reason WarningReason `json:"reason"`
	// Detail explains the reason to people, on the build machine. It may name
	// paths of that machine, and holds no URL of a remote and no secret.
	Detail string `json:"detail"`
}

// String returns the detail and the reason.
func (w Warning) String() string { return fmt.Sprintf("%s (%s)", w.Detail, w.Reason) }

// WarningReason is a stable word that says what is missing.
type WarningReason string

// The reasons of warnings.
const (
	// WarnNoSource: no facts name a source. There is neither a git work tree nor a
	// build system's environment with a repository and a commit.
	WarnNoSource WarningReason = "no-source"
	// WarnNoGit: there is a git repository, and no git program to read it.
	WarnNoGit WarningReason = "no-git"
	// WarnUnreadable: git cannot read the repository, or refuses to.
	WarnUnreadable WarningReason = "repository-unreadable"
	// WarnForeign: the repository is not the directory's own; see ErrForeignTree.
	WarnForeign WarningReason = "repository-foreign"
	// WarnNoCommit: nothing is checked out.
	WarnNoCommit WarningReason = "no-commit"
	// WarnNoRemote: the repository has no remote, so the source has a commit and
	// no URI.
	WarnNoRemote WarningReason = "no-remote"
	// WarnRemote: a remote has no URI, or might hold a secret. It is left out.
	WarnRemote WarningReason = "remote-left-out"
	// WarnNoRef: HEAD is detached, so the source has a commit and no ref.
	WarnNoRef WarningReason = "no-ref"
)

// WithoutTree returns the facts to use instead of those of a work tree, after an
// error of ReadTree or WorkTree: a warning that says why there is none. Outside of
// git repositories there is nothing to warn of, and the facts are empty. An error
// that is not about the work tree, such as the context's, is returned.
func WithoutTree(err error) (Facts, error) {
	fault, is := errors.AsType[*treeError](err)
	switch {
	case !is:
		return Facts{}, err
	case fault.reason == "":
		return Facts{}, nil
	}
	return Facts{Warnings: []Warning{{fault.reason, "the work tree is not recorded: " + fault.Error()}}}, nil
}

// treeError is an error of ReadTree after which provenance can be made without the
// work tree.
type treeError struct {
	kind   error         // ErrNoWorkTree, ErrUnreadableTree or ErrForeignTree
	reason WarningReason // empty: there is no repository
	cause  error
}

func (e *treeError) Error() string   { return fmt.Sprintf("%v: %v", e.kind, e.cause) }
func (e *treeError) Unwrap() []error { return []error{e.kind, e.cause} }

// sourceWarnings returns the warnings of facts, each once. Those that other facts
// make up for are left out.
func sourceWarnings(p *predicate.Provenance, facts []Facts) []Warning {
	hasURI, hasRef := true, true
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		if d.Annotations[predicate.AnnotationBuildSource] == true {
			hasURI = hasURI && d.URI != ""
			hasRef = hasRef && strings.Contains(d.URI, "@")
		}
	}
	var all []Warning
	for _, f := range facts {
		for _, w := range f.Warnings {
			madeUp := w.Reason == WarnNoRemote && hasURI || w.Reason == WarnNoRef && hasRef
			if !madeUp && !slices.Contains(all, w) {
				all = append(all, w)
			}
		}
	}
	return all
}

// recordWarnings writes the reasons of warnings into the provenance: a verifier can
// tell there that the source is incomplete.
func recordWarnings(p *predicate.Provenance, all []Warning) error {
	words := make(map[string]bool)
	for _, w := range all {
		words[string(w.Reason)] = true
	}
	if len(words) == 0 {
		return nil
	}
	var list []any
	for _, word := range slices.Sorted(maps.Keys(words)) {
		list = append(list, word)
	}
	return merge(&p.BuildDefinition.InternalParameters, map[string]any{"warnings": list})
}

// noSource warns if no facts name what the build was started from.
func noSource(facts []Facts) []Facts {
	for _, f := range facts {
		isSource := func(d predicate.ResourceDescriptor) bool {
			return d.Annotations[predicate.AnnotationBuildSource] == true
		}
		if len(f.sources()) > 0 || len(f.Warnings) > 0 || slices.ContainsFunc(f.Dependencies, isSource) {
			return nil
		}
	}
	return []Facts{{Warnings: []Warning{{WarnNoSource, "the provenance names no source: neither the build system nor a git work tree tells repository and commit"}}}}
}
