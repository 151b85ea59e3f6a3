package command

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

const certificateHelp = `Certificates are judged by the trust roots in --trusted-root, without asking the
network. A root without a name is that of the instance in --instance. The instance
decides what is demanded: a transparency log, a log of certificates and a signed time,
one each; of github, a time alone. In a policy, identities name the instances in
--trusted-root, or their own trust root with rootFile and root.

The URI of a workflow that others may call is the workflow's, not its caller's. Name the
caller's repository with --certificate-claim sourceRepository=URL.`

// sigstoreName is the name of Sigstore's authority in policies.
const sigstoreName = "sigstore"

// instanceDefault is what a trust root without a name is called.
const instanceDefault = "default"

// rootFlags name the trust roots that certificates are verified by.
type rootFlags struct {
	roots      []string
	withoutLog []string
	withoutCT  []string
	stamped    []string
}

func (f *rootFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.roots, "trusted-root", nil, "verify certificates by the trust root in this `[INSTANCE=]FILE` (repeatable); get one with 'hallmark trusted-root fetch'")
	flags.StringArrayVar(&f.withoutLog, "without-logs", nil, "this private `INSTANCE` has no transparency log (repeatable); github has none")
	flags.StringArrayVar(&f.withoutCT, "without-ct", nil, "this private `INSTANCE` has no log of certificates (repeatable); github has none")
	flags.StringArrayVar(&f.stamped, "require-timestamps", nil, "for this `INSTANCE`, count times of timestamp authorities alone (repeatable)")
}

// errNoRoot is the error for a certificate without a trust root to verify it by.
var errNoRoot = errors.New("no trust root is given for certificates: name it with --trusted-root, or in the policy with rootFile and root")

// instances are the instances of the roots. A root without a name is called unnamed.
func (f *rootFlags) instances(unnamed string) (map[string]sigstore.Instance, error) {
	all := make(map[string]sigstore.Instance)
	for _, given := range f.roots {
		instance, file, named := strings.Cut(given, "=")
		if !named {
			instance, file = unnamed, given
		}
		if _, twice := all[instance]; twice || instance == "" || file == "" {
			return nil, usageError("--trusted-root %q: give each INSTANCE one file, as INSTANCE=FILE", given)
		}
		i := sigstore.Known(instance)
		i.RootFile = file
		all[instance] = i
	}
	for _, change := range []struct {
		flag  string
		names []string
		apply func(*sigstore.Instance)
	}{
		{"without-logs", f.withoutLog, func(i *sigstore.Instance) { i.WithoutLogs = true }},
		{"without-ct", f.withoutCT, func(i *sigstore.Instance) { i.WithoutCT = true }},
		{"require-timestamps", f.stamped, func(i *sigstore.Instance) { i.RequireTimestamps = true }},
	} {
		for _, name := range change.names {
			i, known := all[name]
			if !known {
				return nil, usageError("--%s %q: want one of %s, named by --trusted-root", change.flag, name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
			}
			change.apply(&i)
			all[name] = i
		}
	}
	return all, nil
}

// authority verifies certificates by the roots; nil: no root is given.
func (f *rootFlags) authority(unnamed string) (policy.Authority, error) {
	instances, err := f.instances(unnamed)
	if err != nil || len(instances) == 0 {
		return nil, err
	}
	a, err := sigstore.New(instances)
	if err != nil {
		return nil, fmt.Errorf("--trusted-root: %w", err)
	}
	return a, nil
}

// Kinds of identities: the setting of a policy's identity that names them.
const (
	identityEmail    = "email"
	identityURI      = "uri"
	identityUsername = "username"
)

// certificateFlags describe trusted identities, which share all but their names.
type certificateFlags struct {
	rootFlags
	identities []string
	kind       string
	issuers    []string
	claims     []string
	instance   string
}

func (f *certificateFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.identities, "certificate-identity", nil, "trust certificates of this `IDENTITY` (repeatable): an email, a URI or a username; in a URI, * is one segment, ** any number")
	flags.StringArrayVar(&f.issuers, "certificate-oidc-issuer", nil, "the `URL` of the issuer that vouches for the identity, exactly")
	flags.StringVar(&f.kind, "certificate-identity-type", "", "email, uri or username (default: uri with ://, else email with @, else username)")
	flags.StringArrayVar(&f.claims, "certificate-claim", nil, "trust only certificates with this `NAME=VALUE`, such as sourceRepository=https://github.com/acme/app (repeatable)")
	flags.StringVar(&f.instance, "instance", "", "the `INSTANCE` that issues the certificates: public-good, github, or a name in --trusted-root")
	suggest(cmd, "certificate-identity-type", identityEmail, identityURI, identityUsername)
	suggest(cmd, "instance", sigstore.PublicGood, sigstore.GitHub)
	f.rootFlags.flags(cmd)
}

// given reports whether an identity is described, if only in part.
func (f *certificateFlags) given() bool {
	return len(f.identities)+len(f.issuers)+len(f.claims) > 0 || f.kind != ""
}

// unnamed is the instance of a root that is given without a name.
func (f *certificateFlags) unnamed() string {
	if f.instance != "" {
		return f.instance
	}
	return instanceDefault
}

// check refuses flags that describe an identity in part, or two ways.
func (f *certificateFlags) check() error {
	switch {
	case len(f.identities) == 0:
		return usageError("--certificate-identity is missing: name the identity that you trust")
	case len(f.issuers) != 1:
		return usageError("--certificate-oidc-issuer is missing or repeated: name the one issuer that vouches for %s", strings.Join(f.identities, ", "))
	}
	return oneOf("certificate-identity-type", f.kind, "", identityEmail, identityURI, identityUsername)
}

// settings are those of a policy's identity.
func (f *certificateFlags) settings(identity string) (map[string]any, error) {
	settings := map[string]any{"issuer": f.issuers[0], f.kindOf(identity): identity}
	if f.instance != "" {
		settings["instance"] = f.instance
	}
	for _, claim := range f.claims {
		name, value, ok := splitPair(claim)
		if _, twice := settings[name]; !ok || twice {
			return nil, usageError("--certificate-claim %q: want NAME=VALUE, each NAME once", claim)
		}
		settings[name] = value
	}
	return settings, nil
}

func (f *certificateFlags) kindOf(identity string) string {
	switch {
	case f.kind != "":
		return f.kind
	case strings.Contains(identity, "://"):
		return identityURI
	case strings.Contains(identity, "@"):
		return identityEmail
	}
	return identityUsername
}

// add adds the identities to the role of a policy.
func (f *certificateFlags) add(p *policy.Policy) error {
	if err := f.check(); err != nil {
		return err
	}
	p.Identities = make(map[string]policy.Identity)
	signers := p.Files[0].Signature.By
	role := p.Roles[signers]
	for i, identity := range f.identities {
		settings, err := f.settings(identity)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("certificate %d", i+1)
		p.Identities[name] = policy.Identity{Authority: sigstoreName, Settings: settings}
		role.Identities = append(role.Identities, name)
	}
	p.Roles[signers] = role
	return nil
}
