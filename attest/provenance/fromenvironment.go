package provenance

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// Options name the sources of FromEnvironment.
type Options struct {
	// BuilderID is the absolute URI of the build platform. Required: the
	// environment cannot give it.
	BuilderID string
	// System names the build system, as Systems lists them. Empty: it is
	// detected. Outside of all of them the work tree and More must say enough.
	System string
	// Dir is a directory of the work tree. Empty: the current directory.
	Dir string
	// Git is the path of the git program. Empty: git is looked up in PATH.
	Git string
	// NoWorkTree leaves the work tree out. False: it is read if there is one.
	NoWorkTree bool
	// Lookup reads the environment. Nil: os.LookupEnv.
	Lookup func(key string) (string, bool)
	// More are facts of further sources. Empty: none.
	More []Facts
	// Warn is told what the provenance lacks about its source, and why. Nil: the
	// provenance alone says so, in the internal parameter "warnings".
	Warn func(Warning)
}

// FromEnvironment makes SLSA provenance from the build system's environment, the git
// work tree, and further facts. It calls Environment, WorkTree and New. It reads the
// variables that Variables lists, and no others.
//
// Provenance never lacks its source in silence. Each of these is a Warning, and not
// an error:
//
//   - There is no git program, or the repository cannot be read.
//   - A remote has no URI, such as a path or a Windows drive, or could hold a
//     secret.
//   - There is no remote, no ref, or no source at all.
//
// Two sources are contradictory or ambiguous:
//
//   - The build system and the work tree name different commits of one repository:
//     ErrConflict. An example is a job for the main branch that checks out a pull
//     request.
//   - They name different repositories: both are sources, as New says. NoWorkTree
//     leaves the second one out.
//
// Errors are those of Environment and New, and the context's.
func FromEnvironment(ctx context.Context, o Options) (*predicate.Provenance, error) {
	if o.Lookup == nil {
		o.Lookup = os.LookupEnv
	}
	var all []Facts
	switch f, err := Environment(EnvironmentOptions{System: o.System, Lookup: o.Lookup}); {
	case err == nil:
		all = append(all, f)
	case !errors.Is(err, ErrNoSystem) || o.System != "":
		return nil, err
	}
	all = append(all, o.More...)
	if !o.NoWorkTree {
		f, err := WorkTree(ctx, WorkTreeOptions{Dir: o.Dir, Git: o.Git})
		if err != nil {
			f, err = WithoutTree(err)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	all = slices.Concat(all, noSource(all))
	p, err := New(o.BuilderID, all...)
	if err != nil {
		return nil, err
	}
	if o.Warn != nil {
		for _, w := range sourceWarnings(p, all) {
			o.Warn(w)
		}
	}
	return p, nil
}
