package command

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// errNothing is the error for an image without the evidence that is asked for.
var errNothing = errors.New("nothing to download")

type downloadFlags struct {
	keys      []string
	kind      string
	predicate bool
}

func (a *app) downloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "download",
		Short: "Print the evidence attached to an image",
		Long: `Print the evidence attached to an image. Nothing is judged; use 'hallmark verify' for
that. With --key, only evidence that one of these keys has signed is printed. Without
--key, everyone who can push to the repository can attach what is printed.`,
		Example: "  hallmark download sbom --key builder.pub registry.example/team/app:v1",
		Args:    arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usageError("a subcommand is missing: attestation, signature or sbom")
		},
	}
	cmd.AddCommand(a.downloadAttestationCommand(), a.downloadSignatureCommand(), a.downloadSBOMCommand())
	return cmd
}

func (f *downloadFlags) key(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "print only what this public key `FILE` has signed (repeatable)")
}

func (a *app) downloadAttestationCommand() *cobra.Command {
	var f downloadFlags
	cmd := &cobra.Command{
		Use:   "attestation IMAGE",
		Short: "Print attestations, one DSSE envelope a line",
		Long: `Print the attestations of an image, one DSSE envelope (JSON) a line, as cosign does.
With --predicate, print the predicates alone.`,
		Example: "  hallmark download attestation --type slsaprovenance1 --key builder.pub --predicate registry.example/team/app:v1",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.downloadAttestations(cmd.Context(), f, args[0])
		},
	}
	f.key(cmd)
	cmd.Flags().StringVar(&f.kind, "type", "", "print only this `TYPE`: a name that 'hallmark attest --help' lists, or a URI")
	cmd.Flags().BoolVar(&f.predicate, "predicate", false, "print the predicates alone")
	suggest(cmd, "type", typeNames()...)
	return cmd
}

// claims returns the attestations of an image that fit the flags.
func (a *app) claims(ctx context.Context, f downloadFlags, image string, fits func(uri string) bool) ([]attest.Claim, error) {
	p, digest, keys, err := a.toDownload(ctx, f, image)
	if err != nil {
		return nil, err
	}
	limits := registry.Limits{MaxPayloadBytes: 2 * maxPredicate, MaxTotalBytes: 4 * maxPredicate}
	var all []attest.Claim
	complete := true
	for claim, err := range attest.Claims(ctx, p.store, digest, limits) {
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			a.console.say("hallmark: left out: %v", err)
			complete = complete && !incomplete(err)
		case !claim.Names:
			a.console.say("hallmark: left out: %s states something about another digest", claim.Item.Manifest.Digest)
		case fits(claim.Statement.PredicateType):
			signed, err := signedByAny(ctx, claim.Item, keys)
			if err != nil {
				return nil, err
			}
			if signed {
				all = append(all, claim)
			}
		}
	}
	if !complete {
		return all, errUndecided
	}
	return all, nil
}

// toDownload resolves the image and loads the keys.
func (a *app) toDownload(ctx context.Context, f downloadFlags, image string) (place, name.Digest, []policy.PublicKey, error) {
	p, err := a.locate(image, existing)
	if err != nil {
		return p, name.Digest{}, nil, err
	}
	keys, err := loadKeys(f.keys)
	if err != nil {
		return p, name.Digest{}, nil, err
	}
	if len(keys) == 0 {
		a.console.say("hallmark: not verified: no --key given")
	}
	digest, err := p.resolve(ctx)
	return p, digest, keys, err
}

// incomplete reports whether an error of registry.Evidence hides further evidence.
func incomplete(err error) bool {
	return registry.Unreadable(err) || errors.Is(err, registry.ErrTooMany)
}

// signedByAny reports whether one of the keys has signed an item. Without keys, every item
// passes. It returns an error only if the context ends.
func signedByAny(ctx context.Context, item registry.Item, keys []policy.PublicKey) (bool, error) {
	for _, k := range keys {
		if made, err := verify.SignedBy(ctx, item, k); made || err != nil {
			return made, err
		}
	}
	return len(keys) == 0, nil
}

func (a *app) downloadAttestations(ctx context.Context, f downloadFlags, image string) error {
	fits := func(string) bool { return true }
	if f.kind != "" {
		t, known := predicate.Lookup(f.kind)
		if !known {
			return usageError("--type %q: use a name that 'hallmark attest --help' lists, or an absolute URI", f.kind)
		}
		fits = func(uri string) bool { return uri == t.URI }
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	claims, err := a.claims(ctx, f, image, fits)
	if err != nil && !errors.Is(err, errUndecided) {
		return err
	}
	for _, c := range claims {
		text := c.Envelope
		if f.predicate {
			text = c.Statement.Predicate
		}
		if err := a.out.jsonLine(text); err != nil {
			return err
		}
	}
	if err == nil && len(claims) == 0 {
		return fmt.Errorf("%w: %s has no attestation that fits", errNothing, image)
	}
	return err
}

func (a *app) downloadSBOMCommand() *cobra.Command {
	var f downloadFlags
	cmd := &cobra.Command{
		Use:   "sbom IMAGE",
		Short: "Print the attested bill of materials, byte for byte",
		Long: `Print the software bill of materials that is attested for an image, byte for byte as
it was signed. If there are several, choose one with --type and --key.`,
		Example: "  hallmark download sbom --key builder.pub --type cyclonedx registry.example/team/app:v1",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.downloadSBOM(cmd.Context(), f, args[0]) },
	}
	f.key(cmd)
	cmd.Flags().StringVar(&f.kind, "type", "", "print only this kind: spdx or cyclonedx")
	suggest(cmd, "type", "spdx", "cyclonedx")
	return cmd
}

func (a *app) downloadSBOM(ctx context.Context, f downloadFlags, image string) error {
	if err := oneOf("type", f.kind, "", "spdx", "cyclonedx"); err != nil {
		return err
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	claims, err := a.claims(ctx, f, image, func(uri string) bool {
		t, known := predicate.Lookup(uri)
		return known && (t.Name == f.kind || f.kind == "" && (t.Name == "spdx" || t.Name == "cyclonedx"))
	})
	if err != nil {
		return err
	}
	claims = distinct(claims)
	switch len(claims) {
	case 0:
		return fmt.Errorf("%w: %s has no bill of materials that fits", errNothing, image)
	case 1:
		return a.out.raw(claims[0].Statement.Predicate, a.stdoutIsTerminal)
	}
	for _, c := range claims {
		a.console.say("hallmark: %s in %s", c.Statement.PredicateType, c.Item.Manifest.Digest)
	}
	return usageError("%d different bills of materials are attached: choose with --type and --key", len(claims))
}

// distinct drops claims with the same predicate. A document is often attached in two
// formats, or signed by two keys.
func distinct(claims []attest.Claim) []attest.Claim {
	var all []attest.Claim
	for _, c := range claims {
		same := func(other attest.Claim) bool { return bytes.Equal(c.Statement.Predicate, other.Statement.Predicate) }
		if !slices.ContainsFunc(all, same) {
			all = append(all, c)
		}
	}
	return all
}

// downloadedSignature is one line of download signature, with cosign's field names.
type downloadedSignature struct {
	Base64Signature string
	Payload         string
}

func (a *app) downloadSignatureCommand() *cobra.Command {
	var f downloadFlags
	cmd := &cobra.Command{
		Use:   "signature IMAGE",
		Short: "Print signatures, one JSON object a line",
		Long: `Print the signatures of an image, one JSON object a line: a Sigstore bundle, or
Base64Signature and Payload for a signature under the .sig tag, as cosign does.`,
		Example: "  hallmark download signature --key release.pub registry.example/team/app:v1",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.downloadSignatures(cmd.Context(), f, args[0])
		},
	}
	f.key(cmd)
	return cmd
}

func (a *app) downloadSignatures(ctx context.Context, f downloadFlags, image string) error {
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	p, digest, keys, err := a.toDownload(ctx, f, image)
	if err != nil {
		return err
	}
	m, err := registry.ReadManifest(ctx, p.store, digest)
	if err != nil {
		return err
	}
	printed, complete := 0, true
	for item, err := range registry.Evidence(ctx, p.store, digest, registry.Limits{}) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.console.say("hallmark: left out: %v", err)
			complete = complete && !incomplete(err)
			continue
		}
		if d := registry.Describe(item, m); d.Kind != kindSignature || !d.SubjectMatches {
			continue
		}
		if signed, err := signedByAny(ctx, item, keys); err != nil {
			return err
		} else if !signed {
			continue
		}
		line, err := signatureLine(item)
		if err != nil {
			return err
		}
		if err := a.out.jsonLine(line); err != nil {
			return err
		}
		printed++
	}
	switch {
	case !complete:
		return errUndecided
	case printed == 0:
		return fmt.Errorf("%w: %s has no signature that fits", errNothing, image)
	}
	return nil
}

// annotationSignature is the annotation that holds a signature under the .sig tag.
//
// Source: cosign specs/SIGNATURE_SPEC.md.
const annotationSignature = "dev.cosignproject.cosign/signature"

func signatureLine(item registry.Item) ([]byte, error) {
	if item.Format != registry.FormatSimpleSigning {
		return item.Payload, nil
	}
	return json.Marshal(downloadedSignature{
		Base64Signature: item.Layer.Annotations[annotationSignature], Payload: base64.StdEncoding.EncodeToString(item.Payload),
	})
}
