package command

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

// evidencePlace says where evidence is kept apart from images.
type evidencePlace struct{ name, repository string }

func (e *evidencePlace) flag(cmd *cobra.Command, verb string) {
	e.named(cmd, "evidence-repository", verb)
}

// named is flag by another name, for a command that has two of them.
func (e *evidencePlace) named(cmd *cobra.Command, flag, verb string) {
	e.name = flag
	cmd.Flags().StringVar(&e.repository, flag, "", verb+" evidence in this `REPOSITORY`, such as registry.example/evidence, and not beside the image; cosign's COSIGN_REPOSITORY")
}

// parse returns the repository; the zero one stands for the image's.
func (e *evidencePlace) parse() (name.Repository, error) {
	if e.repository == "" {
		return name.Repository{}, nil
	}
	repo, err := registry.ParseRepository(e.repository)
	if err != nil {
		return repo, usageError("--%s: %w", e.name, err)
	}
	return repo, nil
}

// beside is parse for evidence about images in these places. A layout is one repository,
// and holds its own.
func (e *evidencePlace) beside(places []place) (name.Repository, error) {
	repo, err := e.parse()
	if err != nil || e.repository == "" {
		return repo, err
	}
	for _, p := range places {
		if _, inLayout := p.store.(*layout.Layout); inLayout {
			return repo, usageError("--%s %q: %s is in a layout, which holds its own evidence", e.name, e.repository, p.image)
		}
	}
	return repo, nil
}

// evidenceLimits are the flags for registry.Limits.
type evidenceLimits struct{ registry.Limits }

// limitFlags are the flags that raise a field of registry.Limits, by its name. Policy
// files and the settings of a gate have fields of nearly the same names, under limits.
var limitFlags = map[string]struct{ flag, field string }{
	"MaxItems":        {"max-items", "maxItems"},
	"MaxReferrers":    {"max-referrers", "maxReferrers"},
	"MaxPayloadBytes": {"max-payload-bytes", "maxPayloadBytes"},
	"MaxTotalBytes":   {"max-total-bytes", "maxTotalBytes"},
}

func (l *evidenceLimits) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Int64Var(&l.MaxPayloadBytes, "max-payload-bytes", 0, "read single pieces of evidence of up to so many `BYTES` (default 33554432)")
	flags.Int64Var(&l.MaxTotalBytes, "max-total-bytes", 0, "read so many `BYTES` of evidence from one place (default 134217728, or four times --max-payload-bytes)")
	flags.IntVar(&l.MaxItems, "max-items", 0, "read so many pieces of evidence from one place (default 10000)")
	flags.IntVar(&l.MaxReferrers, "max-referrers", 0, "look at so many entries of a list of referrers (default 10000)")
}

// check refuses limits that cannot be meant.
func (l *evidenceLimits) check() error {
	if l.MaxPayloadBytes < 0 || l.MaxTotalBytes < 0 || l.MaxItems < 0 || l.MaxReferrers < 0 {
		return usageError("limits of evidence are positive numbers")
	}
	return nil
}

// raised is a flag that raises a limit far enough, as far as is known.
func raised(limit *registry.ReachedLimit) (flag string, value int64) {
	value = limit.Needed
	if value <= limit.Value {
		value = 2 * limit.Value
	}
	return limitFlags[limit.Name].flag, value
}

// limitAdvice says how a command raises a limit that was reached; empty: no setting does.
func limitAdvice(command string, limit *registry.ReachedLimit) string {
	if limit == nil || limitFlags[limit.Name].flag == "" {
		return ""
	}
	flag, value := raised(limit)
	return fmt.Sprintf("if the evidence is meant to be there, run %s with --%s %d; in a policy or a gate's settings write limits: {%s: %d}",
		command, flag, value, limitFlags[limit.Name].field, value)
}
