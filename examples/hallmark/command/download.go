package command

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
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
	evidence  evidencePlace
	limits    evidenceLimits
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
	f.evidence.flag(cmd, "look for")
	f.limits.flags(cmd)
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

// heldBytes is up to what size an attestation is held in memory. Larger ones are kept in a
// file while they are looked at.
const heldBytes = 1 << 20

// claims calls use with each attestation of an image that fits the flags, and end after
// all, if everything was read. A claim can be read until use has returned, or, where use
// asks to keep it, until end has.
func (a *app) claims(ctx context.Context, f downloadFlags, image string, fits func(uri string) bool, use func(*attest.Claim) (keep bool, err error), end func() error) error {
	from, err := a.toDownload(ctx, f, image)
	if err != nil {
		return err
	}
	kept := spool{}
	defer kept.remove()
	limits := f.limits.Limits
	limits.OpenAbove = heldBytes
	limits.MaxPayloadBytes = cmp.Or(limits.MaxPayloadBytes, 2*maxPredicate)
	complete := true
	for item, err := range registry.Evidence(ctx, from.store, from.evidence, limits) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var claim attest.Claim
		is := true
		if err == nil {
			claim, is, err = kept.claim(item, from.hash)
		}
		if err == nil && is {
			err = from.use(ctx, &claim, fits, use, &kept)
		}
		switch {
		case errors.Is(err, errFailed):
			return err
		case err != nil:
			a.console.say("hallmark: left out: %v", err)
			if advice := limitAdvice("the same command", registry.LimitOf(err)); advice != "" {
				a.console.hint(advice)
			}
			complete = complete && !incomplete(err)
		}
	}
	if !complete {
		return errUndecided
	}
	return end()
}

// errFailed is wrapped by errors that end a download.
var errFailed = errors.New("download failed")

// use calls a function with a claim that fits.
func (d *download) use(ctx context.Context, claim *attest.Claim, fits func(uri string) bool, use func(*attest.Claim) (bool, error), kept *spool) error {
	keep := false
	defer func() { kept.drop(keep) }()
	if !claim.Names {
		return fmt.Errorf("%s states something about another digest", claim.Item.Manifest.Digest)
	}
	if !fits(claim.Statement.PredicateType) {
		return nil
	}
	signed, err := signedByAny(ctx, claim.Item, d.keys)
	if err == nil && signed {
		keep, err = use(claim)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errFailed, err)
	}
	return err
}

// download is what is to be downloaded, and from where.
type download struct {
	place
	digest   name.Digest
	hash     v1.Hash
	evidence name.Digest // the image where its evidence is
	keys     []policy.PublicKey
}

// toDownload resolves the image and loads the keys.
func (a *app) toDownload(ctx context.Context, f downloadFlags, image string) (d download, err error) {
	apart, err := f.evidence.parse()
	if err != nil {
		return d, err
	}
	if err := f.limits.check(); err != nil {
		return d, err
	}
	if d.place, err = a.locate(image, existing); err != nil {
		return d, err
	}
	if d.keys, err = a.publicKeys(ctx, f.keys); err != nil {
		return d, err
	}
	if len(d.keys) == 0 {
		a.console.say("hallmark: not verified: no --key given")
	}
	if d.digest, err = d.resolve(ctx); err != nil {
		return d, err
	}
	d.evidence = registry.EvidenceIn(apart, d.digest)
	d.hash, err = registry.HashOf(d.digest)
	return d, err
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
	printed := 0
	return a.claims(ctx, f, image, fits, func(c *attest.Claim) (bool, error) {
		printed++
		if f.predicate {
			return false, a.out.jsonLine(c.WritePredicate)
		}
		return false, a.out.jsonLine(c.WriteEnvelope)
	}, func() error {
		if printed == 0 {
			return fmt.Errorf("%w: %s has no attestation that fits", errNothing, image)
		}
		return nil
	})
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
	fits := func(uri string) bool {
		t, known := predicate.Lookup(uri)
		return known && (t.Name == f.kind || f.kind == "" && (t.Name == "spdx" || t.Name == "cyclonedx"))
	}
	// A document that is attached in two formats, or signed by two, is one.
	var all []string
	known := make(map[[sha256.Size]byte]bool)
	var only func(io.Writer) error
	return a.claims(ctx, f, image, fits, func(c *attest.Claim) (bool, error) {
		sum := sha256.New()
		if err := c.WritePredicate(sum); err != nil {
			return false, err
		}
		id := [sha256.Size]byte(sum.Sum(nil))
		if known[id] {
			return false, nil
		}
		known[id] = true
		all = append(all, fmt.Sprintf("%s in %s", c.Statement.PredicateType, c.Item.Manifest.Digest))
		if only == nil {
			only = c.WritePredicate
			return true, nil
		}
		return false, nil
	}, func() error {
		switch len(all) {
		case 0:
			return fmt.Errorf("%w: %s has no bill of materials that fits", errNothing, image)
		case 1:
			return a.out.raw(only, a.stdoutIsTerminal)
		}
		for _, text := range all {
			a.console.say("hallmark: %s", text)
		}
		return usageError("%d different bills of materials are attached: choose with --type and --key", len(all))
	})
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
	from, err := a.toDownload(ctx, f, image)
	if err != nil {
		return err
	}
	m, err := registry.ReadManifest(ctx, from.store, from.digest)
	if err != nil {
		return err
	}
	printed, complete := 0, true
	for item, err := range registry.Evidence(ctx, from.store, from.evidence, f.limits.Limits) {
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
		if signed, err := signedByAny(ctx, item, from.keys); err != nil {
			return err
		} else if !signed {
			continue
		}
		line, err := signatureLine(item)
		if err != nil {
			return err
		}
		if err := a.out.jsonLine(textOf(line)); err != nil {
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
