package command

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionResult is the JSON of version.
type versionResult struct {
	// Version is the module's version. A build from a work tree has "(devel)" or a
	// pseudo-version, and a build without modules "unknown".
	Version string `json:"version"`
	// Revision is the commit. Modified says that the work tree had other changes.
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the program's version, the Go version that built it, and its platform.

JSON is one object: version, revision, modified, go, platform.`,
		Example: "  hallmark version --output json",
		Args:    arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			r := buildVersion()
			if a.json() {
				return a.out.document(r)
			}
			revision := r.Revision
			if r.Modified {
				revision += "+modified"
			}
			a.out.line("", words{"hallmark " + r.Version, revision, r.Go, r.Platform})
			return nil
		},
	}
}

func buildVersion() versionResult {
	r := versionResult{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return r
	}
	if info.Main.Version != "" {
		r.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			r.Revision = s.Value
		case "vcs.modified":
			r.Modified = s.Value == "true"
		}
	}
	return r
}
