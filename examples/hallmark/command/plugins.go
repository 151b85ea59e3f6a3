package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Plugins are the opt-in packages that a program links. With the zero value, --key names
// files and policies name keys. A program that also recognises Sigstore's certificates:
//
//	instance := sigstore.Instance{RootFile: "trusted_root.json"}
//	authority, err := sigstore.New(map[string]sigstore.Instance{"public-good": instance})
//	if err != nil {
//		log.Fatal(err)
//	}
//	linked := map[string]policy.Authority{"sigstore": authority}
//	os.Exit(command.New(command.Plugins{Authorities: linked}).Main())
type Plugins struct {
	// Authorities recognise the identities of policies, by the authority's name in
	// policies. One that is a policy.TimeAuthority also states times. Nil: a policy that
	// names an authority is refused.
	Authorities map[string]policy.Authority
	// Signers open private keys that --key names as SCHEME:..., by the scheme. Nil: --key
	// names files.
	Signers map[string]OpenSigner
}

// OpenSigner opens the private key that a URI names.
type OpenSigner func(ctx context.Context, uri string) (sign.Signer, error)

// fullProgram links all plug-ins of the project.
const fullProgram = "hallmark-full"

// The project's plug-ins: authorities by their names in policies, signers by the schemes
// of their keys.
var (
	projectAuthorities = map[string]string{"sigstore": "verify/sigstore", "notation": "verify/notation"}
	projectSigners     = map[string]string{
		"awskms": "sign/kms/aws", "azurekms": "sign/kms/azure", "gcpkms": "sign/kms/gcp",
		"hashivault": "sign/kms/vault", "pkcs11": "sign/pkcs11",
	}
)

// errNoPlugin is the error for a plug-in that this program does not link.
var errNoPlugin = errors.New("plug-in is not linked")

func noPlugin(plugin string) error {
	return fmt.Errorf("needs the plug-in %s, which %s links and this program does not: %w", plugin, fullProgram, errNoPlugin)
}

// absent stands for an authority that the program does not link. A policy that names it
// is refused with line and column, as for any other mistake.
type absent struct {
	plugin string
	named  *bool
}

func (a absent) refuse() error {
	*a.named = true
	return noPlugin(a.plugin)
}

// Matcher implements policy.Authority.
func (a absent) Matcher(map[string]any) (policy.Matcher, error) { return nil, a.refuse() }

// TimeMatcher implements policy.TimeAuthority.
func (a absent) TimeMatcher(map[string]any) (policy.TimeMatcher, error) { return nil, a.refuse() }

// verifierOf judges by the policy in a file, with the authorities that are linked.
func (p Plugins) verifierOf(path string, o verify.Options) (*verify.Verifier, error) {
	named := false
	linked := make(map[string]policy.Authority)
	for name, plugin := range projectAuthorities {
		linked[name] = absent{plugin, &named}
	}
	maps.Copy(linked, p.Authorities)
	given, err := policy.Load(path, policy.ParseOptions{Authorities: linked})
	if err != nil && named {
		return nil, fmt.Errorf("%w: %w", errNoPlugin, err)
	}
	if err != nil {
		return nil, err
	}
	o.Authorities = linked
	return verify.New(given, o)
}

// signer opens a key of --key by a plug-in. It returns nil for a file.
func (p Plugins) signer(ctx context.Context, ref string) (sign.Signer, error) {
	scheme, _, _ := strings.Cut(ref, ":")
	if open := p.Signers[scheme]; open != nil {
		return open(ctx, ref)
	}
	if plugin := projectSigners[scheme]; plugin != "" && scheme != ref {
		return nil, fmt.Errorf("key %s %w", ref, noPlugin(plugin))
	}
	return nil, nil
}
