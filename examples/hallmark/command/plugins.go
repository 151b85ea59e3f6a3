package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// Plugins are the opt-in packages that a program links. With the zero value, --key names
// files, and policies name keys and the identities of --trusted-root. A program that also
// fetches trust roots:
//
//	plugins := command.Plugins{FetchTrustedRoot: fetch}
//	os.Exit(command.New(plugins).Main())
type Plugins struct {
	// Authorities recognise the identities of policies, by the authority's name in
	// policies. One that is a policy.TimeAuthority also states times. --trusted-root goes
	// before the one named sigstore. Nil: policies may name sigstore alone.
	Authorities map[string]policy.Authority
	// Signers open private keys that --key names as SCHEME:..., by the scheme. Nil: --key
	// names files.
	Signers map[string]OpenSigner
	// FetchTrustedRoot gets the trust root of an instance, verified, for "trusted-root
	// fetch". Nil: the command needs the SHA-256 of the root.
	FetchTrustedRoot func(ctx context.Context, r RootRequest) ([]byte, error)
}

// RootRequest says which trust root to fetch by TUF.
type RootRequest struct {
	// Instance is the name of the instance, such as public-good.
	Instance string
	// Repository is the URL of a TUF repository, and FirstRoot its first root.json. Empty:
	// those that the plug-in knows for the instance.
	Repository string
	FirstRoot  []byte
	// State is the file that keeps what was verified, so versions only rise. Empty: none.
	State string
}

// OpenSigner opens the private key that a URI names.
type OpenSigner func(ctx context.Context, uri string) (sign.Signer, error)

// fullProgram links all plug-ins of the project.
const fullProgram = "hallmark-full"

// The project's plug-ins: authorities by their names in policies, signers by the schemes
// of their keys.
var (
	projectAuthorities = map[string]string{"notation": "verify/notation", "cel": "verify/policy/cel"}
	projectSigners     = map[string]string{
		"awskms": "sign/kms/aws", "azurekms": "sign/kms/azure", "gcpkms": "sign/kms/gcp",
		"hashivault": "sign/kms/vault", "pkcs11": "sign/pkcs11",
	}
)

// errNoPlugin is the error for a plug-in that this program does not link.
var errNoPlugin = errors.New("plug-in is not linked")

func noPlugin(plugin string) error {
	return fmt.Errorf("needs the plug-in %s, which this program does not link; %s links those of the project: %w", plugin, fullProgram, errNoPlugin)
}

// absent stands for an authority that the program does not link, or cannot use. A policy
// that names it is refused with line and column, as for any other mistake.
type absent struct {
	why   error
	named *error
}

func (a absent) refuse() error {
	*a.named = a.why
	return a.why
}

// Matcher implements policy.Authority.
func (a absent) Matcher(map[string]any) (policy.Matcher, error) { return nil, a.refuse() }

// TimeMatcher implements policy.TimeAuthority.
func (a absent) TimeMatcher(map[string]any) (policy.TimeMatcher, error) { return nil, a.refuse() }

// Compile implements policy.ExpressionAuthority.
func (a absent) Compile(string, policy.ExpressionAbout) (policy.Expression, error) {
	return nil, a.refuse()
}

// linked are the authorities that policies may name. root is Sigstore's by the trust
// roots of flags, or nil.
func (p Plugins) linked(root policy.Authority) map[string]policy.Authority {
	linked := maps.Clone(p.Authorities)
	if linked == nil {
		linked = make(map[string]policy.Authority)
	}
	if root != nil {
		linked[sigstoreName] = root
	}
	return linked
}

// rootless is Sigstore's authority where no trust root is given. Policies can bring their
// own.
type rootless struct {
	*sigstore.Authority
	absent
}

// Matcher implements policy.Authority.
func (r rootless) Matcher(settings map[string]any) (policy.Matcher, error) {
	if _, own := settings["rootFile"]; !own {
		return nil, r.refuse()
	}
	return r.Authority.Matcher(settings)
}

// TimeMatcher implements policy.TimeAuthority.
func (r rootless) TimeMatcher(settings map[string]any) (policy.TimeMatcher, error) {
	if _, own := settings["rootFile"]; !own {
		return nil, r.refuse()
	}
	return r.Authority.TimeMatcher(settings)
}

// authorities are those of linked, and stand-ins for those that are absent. A policy that
// names an absent one is refused, and named is why.
func (p Plugins) authorities(root policy.Authority) (linked map[string]policy.Authority, named *error) {
	named = new(error)
	linked = p.linked(root)
	if linked[sigstoreName] == nil {
		linked[sigstoreName] = rootless{sigstore.PolicyRoots(), absent{errNoRoot, named}}
	}
	for name, plugin := range projectAuthorities {
		if linked[name] == nil {
			linked[name] = absent{noPlugin(plugin), named}
		}
	}
	return linked, named
}

// verifierOf judges by the policy in a file, with the authorities that are linked.
func (p Plugins) verifierOf(path string, root policy.Authority, o verify.Options) (*verify.Verifier, error) {
	linked, named := p.authorities(root)
	given, err := policy.Load(path, policy.ParseOptions{Authorities: linked})
	if err != nil && *named != nil {
		return nil, causedBy{err, *named}
	}
	if err == nil {
		err = given.CheckExemptions(time.Now())
	}
	if err != nil {
		return nil, err
	}
	o.Authorities = linked
	return verify.New(given, o)
}

// verifierBy is verifierOf with the trust roots of flags.
func (p Plugins) verifierBy(path string, f rootFlags) (*verify.Verifier, error) {
	root, err := f.authority(instanceDefault)
	if err != nil {
		return nil, err
	}
	return p.verifierOf(path, root, verify.Options{})
}

// causedBy is an error whose text names the cause, which package policy does not wrap.
type causedBy struct {
	error
	cause error
}

// Unwrap returns both.
func (c causedBy) Unwrap() []error { return []error{c.cause, c.error} }

// signer opens a key of --key by a plug-in. It returns nil for a file.
func (p Plugins) signer(ctx context.Context, ref string) (sign.Signer, error) {
	scheme, is := schemeOf(ref)
	if open := p.Signers[scheme]; is && open != nil {
		signer, err := open(ctx, ref)
		return signer, withoutReference(err, ref)
	}
	if plugin := projectSigners[scheme]; is && plugin != "" {
		return nil, fmt.Errorf("key %s:… %w", scheme, noPlugin(plugin))
	}
	return nil, nil
}

// schemeOf is the scheme of a key's reference, such as awskms of awskms:///alias/release.
func schemeOf(ref string) (scheme string, is bool) {
	scheme, _, is = strings.Cut(ref, ":")
	return scheme, is
}

// withoutReference is an error whose text shows of a key's reference the scheme alone: the
// rest may hold a PIN or a token.
func withoutReference(err error, ref string) error {
	if err == nil {
		return nil
	}
	scheme, _ := schemeOf(ref)
	text := strings.ReplaceAll(err.Error(), ref, scheme+":…")
	if rest := strings.TrimLeft(strings.TrimPrefix(ref, scheme+":"), "/"); rest != "" {
		text = strings.ReplaceAll(text, rest, "…")
	}
	return rewritten{err, text}
}

// rewritten is an error with another text.
type rewritten struct {
	error
	text string
}

func (r rewritten) Error() string { return r.text }

// Unwrap returns the error.
func (r rewritten) Unwrap() error { return r.error }
