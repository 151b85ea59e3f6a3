package command

import (
	"context"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/sign"
)

// signedImage is one signed image. sign prints a JSON list of them, in the order of
// its arguments.
type signedImage struct {
	Image      string      `json:"image"`  // the argument
	Digest     string      `json:"digest"` // what was signed, with its repository
	Signatures []signature `json:"signatures"`
}

type signature struct {
	Subject  string `json:"subject"` // the manifest that was signed: the image, or a part of it
	KeyID    string `json:"keyId"`
	Format   string `json:"format"`
	Evidence string `json:"evidence"` // the manifest that carries the signature
	Existed  bool   `json:"existed"`  // it was there already
}

// keyFlags are the flags for private keys, and for signing without them.
type keyFlags struct {
	passwords passwords
	keys      []string
	keyless   keylessFlags
}

func (f *keyFlags) signers(ctx context.Context) ([]sign.Signer, error) {
	if err := f.keyless.check(f.keys); err != nil {
		return nil, err
	}
	var signers []sign.Signer
	if f.keyless.on {
		by, err := f.keyless.signer(ctx, f.passwords.app)
		return append(signers, by), err
	}
	for _, path := range f.keys {
		signer, err := f.passwords.signerOf(ctx, path)
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
	list        imageList
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
		Use:   "sign (--key FILE | --keyless) IMAGE...",
		Short: "Sign images",
		Long: `Sign the digest of each IMAGE, attach the signature to it, and read the signature
back. Signing an image twice with one key adds nothing.

Formats: cosign v3 reads bundle; podman, skopeo and older cosign read sig (the tag
sha256-....sig). cosign 2.6.5 without a trusted root refuses an image that carries a
bundle beside a .sig tag: write sig alone for it. The password of an encrypted key comes from --password-file, from
` + passwordVariable + ` (for all keys), or from a prompt for each. Keys are PEM files of
hallmark, cosign or openssl, encrypted or not.

` + keyHelp + `

` + keylessHelp + `

` + listHelp + `

JSON is one list with an object for each IMAGE: image, digest, signatures
(subject, keyId, format, evidence, existed).`,
		Example: `  hallmark sign --key release.key registry.example/team/app:v1
  hallmark sign --key release.key --recursive --format both -a commit=4f2a registry.example/team/app:v1
  hallmark sign --keyless --signing-config signing_config.json --trusted-root trusted_root.json registry.example/team/app:v1`,
		Args: f.list.arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			images, err := f.list.images(a, args)
			if err != nil {
				return err
			}
			if f.list.given() {
				return a.signList(cmd.Context(), f, images)
			}
			return a.sign(cmd.Context(), f, images)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "sign with this private key: `FILE`, env://NAME, fd://N or - (repeatable)")
	flags.StringVar(&f.format, "format", "", "what to write: bundle, sig or both (default bundle, or sig where the registry can hold no bundles)")
	flags.BoolVar(&f.recursive, "recursive", false, "also sign every manifest that an index lists")
	flags.StringArrayVarP(&f.annotations, "annotation", "a", nil, "sign this `KEY=VALUE` with the digest (repeatable)")
	f.evidence.flag(cmd, "write")
	f.passwords.flag(cmd)
	f.keyless.flag(cmd)
	f.list.flags(cmd)
	suggest(cmd, "format", "bundle", "sig", "both")
	return cmd
}

func (a *app) sign(ctx context.Context, f signFlags, images []string) error {
	if err := oneOf("format", f.format, "", "bundle", "sig", "both"); err != nil {
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
	evidence, err := f.evidence.beside(places)
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
			break // the images before it were signed, and are printed
		}
		if f.format == "" && signed.has(registry.FormatSimpleSigning) {
			a.console.say("hallmark: %s cannot hold bundles: signed by the tag sha256-....sig", p.image)
		}
		all = append(all, signed)
	}
	if printErr := a.printSigned(all); printErr != nil {
		return printErr
	}
	return err
}

// signList is sign for the images of a list.
func (a *app) signList(ctx context.Context, f signFlags, images []string) error {
	if err := oneOf("format", f.format, "", "bundle", "sig", "both"); err != nil {
		return err
	}
	annotations, err := parseAnnotations(f.annotations)
	if err != nil {
		return err
	}
	signers, err := f.signers(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx, f.list.limit())
	defer cancel()
	signOne := func(ctx context.Context, image string) (signedImage, error) {
		at, digest, evidence, err := a.toSign(ctx, image, f.evidence)
		if err != nil {
			return signedImage{}, err
		}
		o := sign.ImageOptions{EvidenceRepository: evidence, Formats: signFormats[f.format], Annotations: annotations, Recursive: f.recursive}
		return signImage(ctx, at, digest, o, signers)
	}
	return each(ctx, a, f.list, "signing", images, signOne, a.showSigned)
}

// toSign finds an image of a list, its digest, and where its evidence is written.
func (a *app) toSign(ctx context.Context, image string, apart evidencePlace) (at place, digest name.Digest, evidence name.Repository, err error) {
	if at, err = a.locate(image, existing); err == nil {
		err = changeable([]place{at})
	}
	if err == nil {
		evidence, err = apart.beside([]place{at})
	}
	if err == nil {
		digest, err = at.resolve(ctx)
	}
	return at, digest, evidence, err
}

// has reports whether a signature is in a format.
func (i signedImage) has(f registry.Format) bool {
	return slices.ContainsFunc(i.Signatures, func(s signature) bool { return s.Format == string(f) })
}

// prepare resolves all images before any is signed. It decrypts the keys at the
// same time, which takes as long as several round trips.
func (a *app) prepare(ctx context.Context, places []place, keys keyFlags) ([]name.Digest, []sign.Signer, error) {
	if err := changeable(places); err != nil {
		return nil, nil, err
	}
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
		a.showSigned(image)
	}
	return nil
}

func (a *app) showSigned(image signedImage) {
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
