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

// errNothing says that there is nothing to download.
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
		Long: `Print what is attached to an image, as it is attached. Nothing is judged: that is
for verify. With --key only what one of these keys has signed is printed;
without, whoever can push there may have put it there.`,
		Example: "  hallmark download sbom --key builder.pub registry.example/team/app:v1",
		Args:    arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usageError("download what? use attestation, signature or sbom")
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
		Short: "Print attestations: a DSSE envelope on each line",
		Long: `Print the attestations of an image: a DSSE envelope (JSON) on each line, as cosign
does; with --predicate, only what each one says.`,
		Example: "  hallmark download attestation --type slsaprovenance1 --key builder.pub --predicate registry.example/team/app:v1",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.downloadAttestations(cmd.Context(), f, args[0])
		},
	}
	f.key(cmd)
	cmd.Flags().StringVar(&f.kind, "type", "", "only this `TYPE`: a name that 'hallmark attest --help' lists, or a URI")
	cmd.Flags().BoolVar(&f.predicate, "predicate", false, "print the predicates alone")
	suggest(cmd, "type", typeNames()...)
	return cmd
}

// claims gathers the attestations of an image that fit the flags.
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
			a.console.say("hallmark: left out: %s is about another digest", claim.Item.Manifest.Digest)
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

// toDownload finds what is to be downloaded from where.
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

// incomplete reports whether an error of registry.Evidence means that there may be
// more than was seen.
func incomplete(err error) bool {
	return registry.Unreadable(err) || errors.Is(err, registry.ErrTooMany)
}

// signedByAny reports whether one of the keys has signed an item; without keys
// everything passes. An error is the context's.
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
		return fmt.Errorf("%w: no attestation on %s fits", errNothing, image)
	}
	return err
}

func (a *app) downloadSBOMCommand() *cobra.Command {
	var f downloadFlags
	cmd := &cobra.Command{
		Use:   "sbom IMAGE",
		Short: "Print the bill of materials that is attested, byte for byte",
		Long: `Print the software bill of materials that is attested of an image, byte for byte
as it was signed. Where there are several, choose with --type and --key.`,
		Example: "  hallmark download sbom --key builder.pub --type cyclonedx registry.example/team/app:v1",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.downloadSBOM(cmd.Context(), f, args[0]) },
	}
	f.key(cmd)
	cmd.Flags().StringVar(&f.kind, "type", "", "only this kind: spdx or cyclonedx")
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
		return fmt.Errorf("%w: no bill of materials on %s fits", errNothing, image)
	case 1:
		return a.out.raw(claims[0].Statement.Predicate, a.stdoutIsTerminal)
	}
	for _, c := range claims {
		a.console.say("hallmark: %s in %s", c.Statement.PredicateType, c.Item.Manifest.Digest)
	}
	return usageError("%d different bills of materials are attached: choose with --type and --key", len(claims))
}

// distinct drops claims that say the same: a document that is attached in two
// formats, or signed by two, is one.
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

// downloadedSignature is a line of download signature, as cosign prints it.
type downloadedSignature struct {
	Base64Signature string
	Payload         string
}

func (a *app) downloadSignatureCommand() *cobra.Command {
	var f downloadFlags
	cmd := &cobra.Command{
		Use:   "signature IMAGE",
		Short: "Print signatures: a JSON object on each line",
		Long: `Print the signatures of an image, a JSON object on each line: a Sigstore bundle, or
for what stands under the .sig tag Base64Signature and Payload, as cosign does.`,
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
		return fmt.Errorf("%w: no signature on %s fits", errNothing, image)
	}
	return nil
}

// annotationSignature holds the signature under the .sig tag.
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
