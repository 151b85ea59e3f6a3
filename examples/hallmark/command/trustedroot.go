package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// maxTrustedRoot bounds the text of a trust root, or of what holds one, in bytes.
const maxTrustedRoot = 4 << 20

func (a *app) trustedRootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trusted-root",
		Short: "Get, show, pin and check the trust roots that certificates are verified by",
		Long: `Get, show, pin and check trust roots. A trust root holds the authorities and logs of
a Sigstore instance: what verify and verify-blob need to judge certificates. No command
but fetch asks the network.

A file holds a TrustedRoot, a ClientTrustConfig, or several roots, one on each line, as
'gh attestation trusted-root' prints them.`,
		Example: `  hallmark trusted-root show trusted_root.json
  hallmark trusted-root check trusted_root.json`,
		Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usageError("a subcommand is missing: fetch, show, pin, check or create")
		},
	}
	cmd.AddCommand(a.rootFetchCommand(), a.rootShowCommand(), a.rootPinCommand(), a.rootCheckCommand(), a.rootCreateCommand())
	return cmd
}

// readRoot reads a trust root and what it holds.
func readRoot(path string) ([]byte, []sigstore.Trusted, error) {
	text, _, err := readFile(path, maxTrustedRoot)
	if err != nil {
		return nil, nil, err
	}
	held, err := sigstore.Contents(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, held, nil
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

type rootFetchFlags struct {
	instance   string
	repository string
	firstRoot  string
	state      string
	from       string
	sum        string
	out        string
	replace    bool
}

// fetchedRoot is the JSON of trusted-root fetch, pin and create.
type fetchedRoot struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

func (a *app) rootFetchCommand() *cobra.Command {
	var f rootFetchFlags
	cmd := &cobra.Command{
		Use:   "fetch [--instance NAME | --from URL --sha256 HEX] --out FILE",
		Short: "Get a trust root, verified, and write it to a file",
		Long: `Get a trust root and write it to the file --out.

Without --from, the root is fetched by TUF, which checks signatures, versions and expiry
from a first root on. That needs the program ` + fullProgram + `. It knows the repository and the
first root of public-good; --repository and --first-root name those of other instances.
With --state, the verified metadata is kept in a file, so an older answer is refused.

With --from, the root is read from an https URL or a file, and must have the SHA-256 in
--sha256, which comes from a source that you trust. 'gh attestation trusted-root' prints
the root of github.

With --replace, an existing file is replaced as a whole.

JSON is one object: file, sha256.`,
		Example: `  hallmark trusted-root fetch --from https://trust.example/trusted_root.json --sha256 HEX --out trusted_root.json`,
		Args:    arguments(cobra.NoArgs),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.fetchRoot(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.instance, "instance", sigstore.PublicGood, "fetch the root of the instance with this `NAME` by TUF")
	flags.StringVar(&f.repository, "repository", "", "fetch from the TUF repository at this https `URL`")
	flags.StringVar(&f.firstRoot, "first-root", "", "the `FILE` with the root.json of --repository to begin with")
	flags.StringVar(&f.state, "state", "", "keep the verified metadata of TUF in this `FILE`")
	flags.StringVar(&f.from, "from", "", "read the root from this https `URL` or file")
	flags.StringVar(&f.sum, "sha256", "", "the SHA-256 that the root must have, in `HEX`")
	flags.StringVar(&f.out, "out", "", "write the root to this `FILE`")
	flags.BoolVar(&f.replace, "replace", false, "replace the file if it exists")
	suggest(cmd, "instance", sigstore.PublicGood, sigstore.GitHub)
	return cmd
}

// errNoTUF is the error for a fetch that only TUF can make.
var errNoTUF = errors.New("this program fetches no trust roots by TUF")

func (a *app) fetchRoot(ctx context.Context, f rootFetchFlags) error {
	switch {
	case f.out == "":
		return usageError("--out is missing: name the file to write")
	case f.from == "" && f.sum != "":
		return usageError("--sha256 is for --from: name the URL or file of the root")
	case (f.repository == "") != (f.firstRoot == ""):
		return usageError("--repository and --first-root go together: name the URL, and the file with the root.json to begin with")
	case f.from != "" && f.repository+f.state != "":
		return usageError("--from goes without TUF: leave out --repository, --first-root and --state")
	case f.from != "" && f.sum == "":
		return usageError("--sha256 is missing: give the digest that %s must have, from a source that you trust", withoutSecrets(f.from))
	case f.from != "" && !isSum(f.sum):
		return usageError("--sha256 %.100q: want 64 hex digits", f.sum)
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	text, err := a.rootText(ctx, f)
	if err != nil {
		return err
	}
	if _, err := sigstore.Contents(text); err != nil {
		return err
	}
	return a.writeRoot(f.out, text, f.replace)
}

// rootText gets a root whose text is verified.
func (a *app) rootText(ctx context.Context, f rootFetchFlags) (text []byte, err error) {
	switch {
	case f.from == "" && a.plugins.FetchTrustedRoot == nil:
		return nil, errNoTUF
	case f.from == "":
		return a.rootByTUF(ctx, f)
	case strings.Contains(f.from, "://"):
		text, err = fetchBy(ctx, &http.Client{}, f.from)
	default:
		text, _, err = readFile(f.from, maxTrustedRoot)
	}
	if err != nil {
		return nil, err
	}
	if got := sumOf(text); !strings.EqualFold(got, f.sum) {
		return nil, fmt.Errorf("the trust root at %s has the SHA-256 %s, want %s: %w", withoutSecrets(f.from), got, f.sum, errOtherSum)
	}
	return text, nil
}

func (a *app) rootByTUF(ctx context.Context, f rootFetchFlags) ([]byte, error) {
	r := RootRequest{Instance: f.instance, Repository: f.repository, State: f.state}
	if f.firstRoot != "" {
		var err error
		if r.FirstRoot, _, err = readFile(f.firstRoot, maxTrustedRoot); err != nil {
			return nil, fmt.Errorf("--first-root: %w", err)
		}
	}
	return a.plugins.FetchTrustedRoot(ctx, r)
}

// isSum reports whether a text is a SHA-256 in hex.
func isSum(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == sha256.Size
}

// withoutSecrets is a URL or file as it may be shown: user and query may be secret.
func withoutSecrets(from string) string {
	u, err := url.Parse(from)
	switch {
	case !strings.Contains(from, "//"):
		return from
	case err != nil:
		return "the URL"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

var errOtherSum = errors.New("it was changed or replaced")

// fetchBy reads what an https URL holds. Redirects lead to https alone.
func fetchBy(ctx context.Context, client *http.Client, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil || req.URL.Scheme != "https" {
		return nil, usageError("--from %s: want an https URL or a file", withoutSecrets(from))
	}
	shown := withoutSecrets(from)
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if req.URL.Scheme != "https" || len(via) > 5 {
			return fmt.Errorf("redirect to %s on %.200q: only https is followed, five times", req.URL.Scheme, req.URL.Host)
		}
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		var asked *url.Error // shows the URL of a redirect, which may hold a secret
		if errors.As(err, &asked) {
			err = asked.Err
		}
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", shown, resp.Status)
	}
	text, err := readAll(resp.Body, maxTrustedRoot)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	return text, nil
}

func (a *app) writeRoot(path string, text []byte, replace bool) error {
	write := createFile
	if replace {
		write = replaceFile
	}
	if err := write(path, text, 0o644); err != nil {
		return err
	}
	return a.printRoot("wrote", fetchedRoot{path, sumOf(text)})
}

func (a *app) printRoot(what string, r fetchedRoot) error {
	if a.json() {
		return a.out.document(r)
	}
	a.out.line("", words{good.of("%s", what), r.File, "sha256 " + r.SHA256})
	return nil
}

// replaceFile writes a file whole, in place of one that may exist.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left of it is empty
	made := filepath.Join(dir, "root")
	if err := createFile(made, data, mode); err != nil {
		return err
	}
	return os.Rename(made, path)
}

func (a *app) rootPinCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "pin FILE",
		Short: "Print the line that pins a trust root in a policy",
		Long: `Print the setting that pins the trust root in FILE: a policy with it is refused for
every other root. It stands among the settings of an identity, or of timestamps.

JSON is one object: file, sha256.`,
		Example: "  hallmark trusted-root pin trusted_root.json",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			text, _, err := readRoot(args[0])
			if err != nil {
				return err
			}
			if a.json() {
				return a.out.document(fetchedRoot{args[0], sumOf(text)})
			}
			a.out.line("", words{"root: " + sumOf(text)})
			return nil
		},
	}
}

func (a *app) rootShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Show the authorities and logs of a trust root",
		Long: `Show the authorities and logs that the trust root in FILE holds, and when what each of
them signs is trusted.

JSON is one list with an object for each: root (which of several, from 1 on), kind, name,
id, start, end.`,
		Example: "  hallmark trusted-root show trusted_root.json",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			text, held, err := readRoot(args[0])
			if err != nil {
				return err
			}
			if a.json() {
				return a.out.document(held)
			}
			n := node{words: words{args[0], "sha256 " + sumOf(text)}}
			for _, t := range held {
				n.add(trustedWords(t)...)
			}
			a.out.tree(n)
			return nil
		},
	}
}

func trustedWords(t sigstore.Trusted) words {
	until := "no end"
	if !t.End.IsZero() {
		until = "until " + timeText(t.End)
	}
	return words{t.Kind, t.Name, shortID(t.ID), "from " + timeText(t.Start), until}
}

// States of what a trust root holds.
const (
	rootCurrent = "current"
	rootEnding  = "ending"
	rootEnded   = "ended"
	rootFuture  = "future"
)

// checkedTrust is the JSON of trusted-root check for one authority or log.
type checkedTrust struct {
	sigstore.Trusted
	Status string `json:"status"`
}

func (a *app) rootCheckCommand() *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Check what of a trust root has ended, or ends soon",
		Long: `Check when the authorities and logs of the trust root in FILE end. Those that have ended
stay in a root: signatures from before their end go on to count. Get a newer root when
all of a kind have ended or end soon.

Exit codes:
  0  of each kind that the root holds, one goes on to be trusted
  1  all of a kind have ended, or end within --within
  2  the root could not be read, or wrong use

JSON is one list with an object for each authority and log: root, kind, name, id, start,
end, status (current, ending, ended, future).`,
		Example: `  hallmark trusted-root check trusted_root.json
  hallmark trusted-root check --within 720h trusted_root.json`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return a.checkRoot(args[0], within) },
	}
	a.helpAlone(cmd)
	cmd.Flags().DurationVar(&within, "within", 0, "treat what ends within this `DURATION`, such as 720h, as ended")
	return cmd
}

func (a *app) checkRoot(path string, within time.Duration) error {
	if within < 0 {
		return usageError("--within %s: use a duration above 0, such as 720h", within)
	}
	_, held, err := readRoot(path)
	if err != nil {
		return err
	}
	type group struct {
		root int
		kind string
	}
	goesOn := make(map[group]bool)
	all := []checkedTrust{}
	for _, t := range held {
		status := statusOf(t, time.Now(), within)
		all = append(all, checkedTrust{t, status})
		goesOn[group{t.Root, t.Kind}] = goesOn[group{t.Root, t.Kind}] || status == rootCurrent
	}
	if a.json() {
		err = a.out.document(all)
	} else {
		for _, c := range all {
			mark := map[string]style{rootCurrent: good, rootEnding: doubt, rootEnded: faint, rootFuture: faint}[c.Status]
			a.out.line("", append(words{mark.of("%s", c.Status)}, trustedWords(c.Trusted)...))
		}
	}
	for g, on := range goesOn {
		if !on {
			a.console.say("hallmark: %s: every %s of root %d has ended, or ends soon", path, g.kind, g.root)
			err = errors.Join(err, errDenied)
		}
	}
	return err
}

func statusOf(t sigstore.Trusted, now time.Time, within time.Duration) string {
	switch {
	case t.Start.After(now):
		return rootFuture
	case t.End.IsZero():
		return rootCurrent
	case t.End.Before(now):
		return rootEnded
	case t.End.Before(now.Add(within)):
		return rootEnding
	}
	return rootCurrent
}
