package command

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/attest/scan"
)

type scanReportFlags struct {
	format    string
	predicate string
	on        string
	dbURI     string
	dbUpdated string
}

func (a *app) scanReportCommand() *cobra.Command {
	var f scanReportFlags
	cmd := &cobra.Command{
		Use:   "scan-report FILE",
		Short: "Turn a scanner's output into a predicate",
		Long: `Read the output of a vulnerability scanner from FILE, or from stdin if FILE is -,
and print what it found. The formats are Trivy JSON, Grype JSON and SARIF.

With -o json, print a predicate for 'hallmark attest':
  - vuln: cosign's type, which holds the scanner's own report
  - vulns: in-toto's type, the same for all scanners

An unknown severity counts as critical. Findings that the scanner was told to leave
out count too, if the file lists them. If the file lacks times or the database, give
them with flags.

JSON is the predicate: one object.`,
		Example: `  hallmark scan-report trivy.json
  hallmark scan-report -o json --predicate vulns trivy.json | hallmark attest --key scanner.key --type vulns --predicate - registry.example/team/app:v1`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return a.scanReport(f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.format, "format", "", "the format of FILE: trivy, grype or sarif (default: detected)")
	flags.StringVar(&f.predicate, "predicate", "vuln", "the type that -o json prints: vuln or vulns")
	flags.StringVar(&f.on, "scanned-on", "", "the `TIME` of the scan (RFC 3339), if the file has none")
	flags.StringVar(&f.dbURI, "db-uri", "", "the `URI` of the vulnerability database, if the file has none")
	flags.StringVar(&f.dbUpdated, "db-updated", "", "the `TIME` of the vulnerability database (RFC 3339), if the file has none")
	suggest(cmd, "format", "trivy", "grype", "sarif")
	suggest(cmd, "predicate", "vuln", "vulns")
	return cmd
}

func (f scanReportFlags) options() (scan.Options, error) {
	o := scan.Options{Format: scan.Format(f.format), DB: scan.DB{URI: f.dbURI}}
	if err := oneOf("format", f.format, "", "trivy", "grype", "sarif"); err != nil {
		return o, err
	}
	if err := oneOf("predicate", f.predicate, "vuln", "vulns"); err != nil {
		return o, err
	}
	for flag, to := range map[string]*time.Time{"scanned-on": &o.StartedOn, "db-updated": &o.DB.LastUpdate} {
		text := map[string]string{"scanned-on": f.on, "db-updated": f.dbUpdated}[flag]
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return o, usageError("--%s %q: write it as in 2026-11-23T12:00:00Z", flag, text)
		}
		*to = t
	}
	o.FinishedOn = o.StartedOn
	return o, nil
}

func (a *app) scanReport(f scanReportFlags, path string) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	text, err := a.readInput(path, scan.MaxSize)
	if err != nil {
		return fmt.Errorf("scan report: %w", err)
	}
	report, err := scan.Read(text, o)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !a.json() {
		a.out.tree(scanTree(path, report))
		return nil
	}
	var p attest.Predicate
	if f.predicate == "vuln" {
		p, err = report.CosignVuln()
	} else {
		p, err = report.Vulns()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return a.out.document(p)
}

// maxFindings is how many findings are listed, the most severe first.
const maxFindings = 20

func scanTree(path string, r *scan.Report) node {
	c := r.Counts()
	root := node{words: words{path, string(r.Format)}}
	root.add("scanner", r.Scanner.Name, r.Scanner.Version)
	if r.DB.Version != "" || !r.DB.LastUpdate.IsZero() {
		root.add("database", r.DB.URI, r.DB.Version, timeText(r.DB.LastUpdate))
	}
	root.add("scanned", r.Target.Name, timeText(r.StartedOn))
	found := node{words: words{fmt.Sprintf("findings: %d", c.Total()),
		fmt.Sprintf("%d critical, %d high, %d medium, %d low, %d negligible", c.Critical, c.High, c.Medium, c.Low, c.Negligible)}}
	if c.Unknown > 0 {
		found.words = append(found.words, doubt.of("%d of the critical ones are of unknown severity", c.Unknown))
	}
	shown := 0
	for _, severity := range []predicate.Severity{predicate.SeverityCritical, predicate.SeverityHigh, predicate.SeverityMedium, predicate.SeverityLow, predicate.SeverityNegligible} {
		for _, finding := range r.Findings {
			if finding.Severity == severity && shown < maxFindings {
				shown++
				found.add(severity.String(), finding.ID, finding.Package, finding.Version, fixedIn(finding))
			}
		}
	}
	if more := len(r.Findings) - shown; more > 0 {
		found.add(fmt.Sprintf("and %d more", more))
	}
	root.children = append(root.children, found)
	if r.Suppressed > 0 {
		root.add(doubt.of("%d of these the scanner was told to leave out", r.Suppressed))
	}
	return root
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func fixedIn(f scan.Finding) string {
	if len(f.FixedIn) == 0 {
		return ""
	}
	return "fixed in " + strings.Join(f.FixedIn, ", ")
}
