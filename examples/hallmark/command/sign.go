package command

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

// signedImage is what was signed; sign prints a JSON list of them, in the order
// of its arguments.
type signedImage struct {
	// Image is the argument.
	Image string `json:"image"`
	// Digest is what it named, and what was signed, with its repository.
	Digest     string      `json:"digest"`
	Signatures []signature `json:"signatures"`
}

type signature struct {
	// Subject is the manifest that it is about: the image, or a part of it.
	Subject string `json:"subject"`
	KeyID   string `json:"keyId"`
	Format  string `json:"format"`
	// Evidence is the manifest that carries it.
	Evidence string `json:"evidence"`
	// Existed is true where it was there already and nothing was added.
	Existed bool `json:"existed"`
}

// keyFlags say what to sign with.
type keyFlags struct {
	passwords passwords
	keys      []string
}

func (f *keyFlags) signers(ctx context.Context) ([]sign.Signer, error) {
	if len(f.keys) == 0 {
		return nil, usageError("--key is missing: name the private key to sign with")
	}
	var signers []sign.Signer
	for _, path := range f.keys {
		signer, err := f.passwords.app.plugins.signer(ctx, path)
		if signer == nil && err == nil {
			signer, err = sign.Load(ctx, path, sign.LoadOptions{
				Password: func(ctx context.Context) ([]byte, error) {
					return f.passwords.existing(ctx, "Password for "+path+": ")
				},
				Logger: f.passwords.app.logger(),
			})
		}
		if err != nil {
			return nil, err
		}
		signers = append(signers, signer)
	}
	return signers, nil
}

type signFlags struct {
	keyFlags
	format      string
	recursive   bool
	annotations []string
	evidence    evidencePlace
}

// signFormats are the values of --format.
var signFormats = map[string][]registry.Format{
	"bundle": {registry.FormatBundle},
	"sig":    {registry.FormatSimpleSigning},
	"both":   {registry.FormatBundle, registry.FormatSimpleSigning},
}

func (a *app) signCommand() *cobra.Command {
	f := signFlags{keyFlags: keyFlags{passwords: passwords{app: a}}}
	cmd := &cobra.Command{
		Use:   "sign --key FILE IMAGE...",
		Short: "Sign images",
		Long: `Sign the digest that each IMAGE names now, attach the signature beside it, read
it back and verify it. A signature that is there already is kept; signing again
adds nothing.

Formats: bundle is what cosign v3 reads, sig (the tag sha256-....sig) what podman,
skopeo and older cosign read. cosign 2.6.5 refuses an image that carries a bundle beside
a .sig tag, unless it has a trusted root: sign for it with --format sig alone. The password of an encrypted key comes from
--password-file, from ` + passwordVariable + ` (for all keys), or from a prompt for each.

JSON is one list with an object for each IMAGE: image, digest, signatures
(subject, keyId, format, evidence, existed).`,
		Example: `  hallmark sign --key release.key registry.example/team/app:v1
  hallmark sign --key release.key --recursive --format both -a commit=4f2a registry.example/team/app:v1`,
		Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.sign(cmd.Context(), f, args) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "sign with this private key `FILE` (repeatable)")
	flags.StringVar(&f.format, "format", "bundle", "what to write: bundle, sig or both")
	flags.BoolVar(&f.recursive, "recursive", false, "sign every manifest that an index lists, too")
	flags.StringArrayVarP(&f.annotations, "annotation", "a", nil, "sign this `KEY=VALUE` along (repeatable)")
	f.evidence.flag(cmd, "write")
	f.passwords.flag(cmd)
	suggest(cmd, "format", "bundle", "sig", "both")
	return cmd
}

func (a *app) sign(ctx context.Context, f signFlags, images []string) error {
	if err := oneOf("format", f.format, "bundle", "sig", "both"); err != nil {
		return err
	}
	annotations, err := parseAnnotations(f.annotations)
	if err != nil {
		return err
	}
	places := make([]place, len(images))
	for i, image := range images {
		if places[i], err = a.locate(image, existing); err != nil {
			return err
		}
	}
	evidence, err := f.evidence.toWrite(places)
	if err != nil {
		return err
	}
	digests, signers, err := a.prepare(ctx, places, f.keyFlags)
	if err != nil {
		return err
	}
	o := sign.ImageOptions{
		EvidenceRepository: evidence,
		Formats:            signFormats[f.format], Annotations: annotations, Recursive: f.recursive,
		Progress: func(done, total int) { a.console.progress("signing: %d of %d manifests", done, total) },
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	all := []signedImage{}
	for i, p := range places {
		var signed signedImage
		if signed, err = signImage(ctx, p, digests[i], o, signers); err != nil {
			break // what was signed before is told all the same
		}
		all = append(all, signed)
	}
	if printErr := a.printSigned(all); printErr != nil {
		return printErr
	}
	return err
}

// prepare resolves all images before any is signed, while the keys are
// decrypted, which takes as long as several round trips.
func (a *app) prepare(ctx context.Context, places []place, keys keyFlags) ([]name.Digest, []sign.Signer, error) {
	resolving, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	digests := make([]name.Digest, len(places))
	resolved := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < len(places) && err == nil; i++ {
			digests[i], err = places[i].resolve(resolving)
		}
		resolved <- err
	}()
	signers, err := keys.signers(ctx)
	if err != nil {
		return nil, nil, err
	}
	return digests, signers, <-resolved
}

func signImage(ctx context.Context, p place, digest name.Digest, o sign.ImageOptions, signers []sign.Signer) (signedImage, error) {
	out := signedImage{Image: p.image, Signatures: []signature{}}
	signed, err := sign.Image(ctx, p.store, digest, o, signers...)
	if err != nil {
		return out, err
	}
	out.Digest = p.at(signed.Digest)
	for _, s := range signed.Signatures {
		out.Signatures = append(out.Signatures, signature{
			Subject: p.at(s.Subject), KeyID: s.KeyID, Format: string(s.Format),
			Evidence: p.at(s.Evidence), Existed: s.Existed,
		})
	}
	return out, nil
}

func (a *app) printSigned(all []signedImage) error {
	if a.json() {
		return a.out.document(all)
	}
	for _, image := range all {
		n := node{words: words{good.of("signed"), image.Digest}}
		if image.Digest != image.Image {
			n.words = append(n.words, "from "+image.Image)
		}
		for _, s := range image.Signatures {
			done := "added"
			if s.Existed {
				done = "was there already"
			}
			about := ""
			if s.Subject != image.Digest {
				about = "of " + digestPart(s.Subject)
			}
			n.add(s.Format, about, "by key "+shortID(s.KeyID), done, "in "+digestPart(s.Evidence))
		}
		a.out.tree(n)
	}
	return nil
}
