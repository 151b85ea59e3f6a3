package provenance

import (
	"context"
	"errors"
	"os"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

// Options say what FromEnvironment makes provenance of.
type Options struct {
	// BuilderID is the absolute URI of the build platform. Required: nothing in
	// the environment can give it.
	BuilderID string
	// System names the build system, as Systems lists them. Empty: it is
	// detected; outside of all of them the work tree and More must say enough.
	System string
	// Dir is a directory of the work tree. Empty: the current directory.
	Dir string
	// NoWorkTree leaves the work tree out. False: it is read where there is one.
	NoWorkTree bool
	// Lookup reads the environment. Nil: os.LookupEnv.
	Lookup func(key string) (string, bool)
	// More are facts of further sources. Empty: none.
	More []Facts
}

// FromEnvironment makes SLSA provenance of what the environment of the build
// system says, of the work tree, and of further facts, by Environment, WorkTree
// and New. Only the variables of the system's allow-list are read.
//
// A job that builds from another repository than its own names two sources, and
// New says what that means; NoWorkTree leaves the second out. A job that has
// checked out another commit than the one that it was started for, such as a pull
// request's in a workflow of the main branch, is ErrConflict.
//
// Errors are those of the three, and of the context.
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
		switch f, err := WorkTree(ctx, WorkTreeOptions{Dir: o.Dir}); {
		case err == nil:
			all = append(all, f)
		case !errors.Is(err, ErrNoWorkTree):
			return nil, err
		}
	}
	return New(o.BuilderID, all...)
}
