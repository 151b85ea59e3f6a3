package command

import (
	"strings"

	"github.com/hallmark-oci/hallmark/verify"
)

// goNames are words for Go programs in the library's errors, each with what stands for it
// on the command line. A test looks for others in the library.
var goNames = []string{
	"Limits.MaxPayloadBytes is", "--max-payload-bytes is",
	"and MaxBytes is", "and at most",
	"and DockerfileOptions.Resolve is not set", "and no registry was asked",
	"EnvironmentOptions.Lookup is not set; give os.LookupEnv", "no variables were given",
	"RecordOptions.Command is empty", "the command is missing",
	"give Options.Scanner.URI", "attest it as type vulns",
	"give Options.DB.LastUpdate", "give --db-updated TIME",
	"give Options.FinishedOn", "give --scanned-on TIME",
	"; see AmbientOptions.Run", "",
	"Options.WithoutCT signs", "--without-ct signs",
	"see Options.WithoutCT", "see --without-ct",
	"see Options.WithoutLogs", "see --without-logs",
	"; WithoutLogs demands none", "; --without-logs INSTANCE demands none",
	"; WithoutCT demands none", "; --without-ct INSTANCE demands none",
	"Options.Identity is nil", "no identity was given",
	"LoginOptions.Show is nil", "nothing can be shown",
	"LoginOptions.Listen", "the address to listen at,",
	" (Options.TokenRealms)", "",
	": open it with Options.Create", ", and by copy alone",
	"make a signer with the package of the key service, and FromSigstore", "use a program with the plug-in of the key service",
	", but ParseOptions.ReadFile is nil", ", which was not read",
	"want exactly one of Root and RootFile", "want exactly one trust root",
	" (see sign.SignerOptions)", "",
	"Options.Wrap returned no transport", "no transport was made",
	"MaxLinks is", "the limit of links is",
	"neither may be negative, and MaxLinkBytes at most", "neither may be negative, and the second at most",
	"and MaxLinkBytes", "and that of their bytes",
	"Layout.Expires is not set", "the layout has no end",
	"VerifyOptions.OwnerKeys is empty", "no key owns the layout",
	"which VerifyOptions.ImageStep names", "which makes the image",
}

// reworded says a report's texts as on the command line.
func reworded(r *verify.Report) {
	for ; r != nil; r = r.Index {
		r.Detail = inFlags(r.Detail)
		for i := range r.Unmet {
			r.Unmet[i].Detail = inFlags(r.Unmet[i].Detail)
		}
		for i := range r.Evidence {
			r.Evidence[i].Detail = inFlags(r.Evidence[i].Detail)
		}
		for i := range r.Causes {
			r.Causes[i] = inFlags(r.Causes[i])
		}
	}
}

// inFlags is a text of the library as it is said on the command line.
func inFlags(text string) string { return strings.NewReplacer(goNames...).Replace(text) }
