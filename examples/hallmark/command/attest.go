package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/attest"
	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/registry"
)

// maxPredicate bounds a predicate that is read from a file.
const maxPredicate = 128 << 20

// attestedImage describes the attestations of one image. attest prints a JSON list of
// them, in the order of its arguments.
type attestedImage struct {
	// Image is the argument.
	Image string `json:"image"`
	// Digest is the digest that the argument named, with its repository.
	Digest        string               `json:"digest"`
	PredicateType string               `json:"predicateType"`
	Attestations  []attestation        `json:"attestations"`
	Superseded    []supersededEvidence `json:"superseded,omitempty"`
}

type attestation struct {
	KeyID  string `json:"keyId"`
	Format string `json:"format"`
	// Evidence is the manifest that carries the attestation, and Size its bytes.
	Evidence string `json:"evidence"`
	Size     int64  `json:"size"`
}

// supersededEvidence is an earlier attestation that --replace found.
type supersededEvidence struct {
	KeyID    string `json:"keyId"`
	Format   string `json:"format"`
	Evidence string `json:"evidence"`
	// Removed is false if it is still attached, and Reason says why.
	Removed bool   `json:"removed"`
	Reason  string `json:"reason,omitempty"`
}

// attestFlags say how attestations are signed and attached.
type attestFlags struct {
	keyFlags
	format   string
	replace  bool
	evidence evidencePlace
}

// attestFormats are the values of --format.
var attestFormats = map[string][]registry.Format{
	"bundle": {registry.FormatBundle},
	"att":    {registry.FormatEnvelope},
	"both":   {registry.FormatBundle, registry.FormatEnvelope},
}

func (f *attestFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "sign with this private key: `FILE`, env://NAME, fd://N or - (repeatable)")
	flags.StringVar(&f.format, "format", "", "what to write: bundle, att or both (default bundle, or att where the registry can hold no bundles)")
	flags.BoolVar(&f.replace, "replace", false, "remove earlier attestations of the same type by the same keys")
	f.evidence.flag(cmd, "write")
	f.passwords.flag(cmd)
	f.keyless.flag(cmd)
	suggest(cmd, "format", "bundle", "att", "both")
}

func (a *app) attestCommand() *cobra.Command {
	f := attestFlags{keyFlags: keyFlags{passwords: passwords{app: a}}}
	var kind, path string
	var list imageList
	cmd := &cobra.Command{
		Use:   "attest (--key FILE | --keyless) --type TYPE --predicate FILE IMAGE...",
		Short: "Attach a signed statement about images: an SBOM, a scan, provenance",
		Long: `Sign a statement with the predicate in the file --predicate about each IMAGE,
attach it to the image, and read it back. The statement is about the digest that
IMAGE names now.

The predicate is checked by the rules of its type, and signed byte for byte. A
predicate of type custom may be any text, which is wrapped as cosign does. Types:

` + typeTable() + `
Any other absolute URI is a type whose predicate is a JSON object.

Formats: bundle is for cosign v3, att (the tag sha256-....att) for older cosign.

With --replace, earlier attestations are removed after the new one is attached.
Those of other keys stay. If the registry does not allow removing manifests, that
is printed, and is not an error.

` + listHelp + `

` + keylessHelp + `

JSON is one list with an object for each IMAGE: image, digest, predicateType,
attestations (keyId, format, evidence, size), superseded (keyId, format,
evidence, removed, reason).`,
		Example: `  hallmark attest --key builder.key --type spdx --predicate sbom.spdx.json registry.example/team/app:v1
  hallmark scan-report -o json --predicate vulns trivy.json | hallmark attest --key scanner.key --type vulns --predicate - registry.example/team/app:v1`,
		Args: list.arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := stdinOnce("--predicate", path, f.keys); err != nil {
				return err
			}
			p, err := a.readPredicate(kind, path)
			if err != nil {
				return err
			}
			images, err := list.images(a, args)
			if err != nil {
				return err
			}
			if list.given() {
				return a.attestList(cmd.Context(), f, list, p, images)
			}
			return a.attest(cmd.Context(), f, p, images)
		},
	}
	cmd.Flags().StringVar(&kind, "type", "", "the predicate's `TYPE`: a name of the table, or a URI")
	cmd.Flags().StringVar(&path, "predicate", "", "the `FILE` with the predicate; - is stdin")
	f.define(cmd)
	list.flags(cmd)
	suggest(cmd, "type", typeNames()...)
	return cmd
}

func typeNames() []string {
	var names []string
	for _, t := range predicate.Types() {
		names = append(names, t.Name)
	}
	return names
}

func typeTable() string {
	var b strings.Builder
	for _, t := range predicate.Types() {
		names := strings.Join(append([]string{t.Name}, t.Aliases...), ", ")
		fmt.Fprintf(&b, "  %-34s %s\n", names, t.Title)
	}
	return b.String()
}

// readPredicate reads the predicate that --type and --predicate name.
func (a *app) readPredicate(kind, path string) (attest.Predicate, error) {
	switch {
	case kind == "":
		return nil, usageError("--type is missing: name the type of the predicate")
	case path == "":
		return nil, usageError("--predicate is missing: name the file that holds it, or - for stdin")
	}
	t, known := predicate.Lookup(kind)
	if !known {
		return nil, usageError("--type %q: use one of %s, or an absolute URI", kind, strings.Join(typeNames(), ", "))
	}
	if path == stdinName {
		if err := a.takeStdin("--predicate"); err != nil {
			return nil, err
		}
	}
	text, err := a.readInput(path, maxPredicate)
	if err != nil {
		return nil, fmt.Errorf("predicate: %w", err)
	}
	if t.Name == "custom" {
		return predicate.Custom{Data: string(text), Timestamp: time.Now().UTC()}, nil
	}
	p, err := predicate.Parse(kind, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// readInput reads a file, or stdin.
func (a *app) readInput(path string, bound int64) ([]byte, error) {
	if path == stdinName {
		text, err := readAll(a.stdin, bound)
		if err != nil {
			return nil, fmt.Errorf("stdin: %w", err)
		}
		return text, nil
	}
	text, _, err := readFile(path, bound)
	return text, err
}

func (f *attestFlags) check() error {
	if f.replace && f.keyless.on {
		return usageError("--replace and --keyless: earlier attestations are found by their key, and each run without one makes another")
	}
	return oneOf("format", f.format, "", "bundle", "att", "both")
}

// attest signs a statement about each image and attaches it.
func (a *app) attest(ctx context.Context, f attestFlags, p attest.Predicate, images []string) error {
	if err := f.check(); err != nil {
		return err
	}
	places := make([]place, len(images))
	for i, image := range images {
		var err error
		if places[i], err = a.locate(image, existing); err != nil {
			return err
		}
	}
	o := attest.Options{Formats: attestFormats[f.format], Replace: f.replace}
	var err error
	if o.EvidenceRepository, err = f.evidence.beside(places); err != nil {
		return err
	}
	digests, signers, err := a.prepare(ctx, places, f.keyFlags)
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	all := []attestedImage{}
	for i, at := range places {
		a.console.progress("attesting: %d of %d images", i, len(places))
		var done *attest.Attached
		done, err = attest.Image(ctx, at.store, digests[i], p, o, signers...)
		if err != nil {
			break // print what was attested before
		}
		if f.format == "" && slices.ContainsFunc(done.Attestations, func(x attest.Attestation) bool { return x.Format == registry.FormatEnvelope }) {
			a.console.say("hallmark: %s cannot hold bundles: attested by the tag sha256-....att", at.image)
		}
		all = append(all, shownAttached(at, done))
	}
	if printErr := a.printAttested(all); printErr != nil {
		return printErr
	}
	return err
}

// attestList is attest for the images of a list.
func (a *app) attestList(ctx context.Context, f attestFlags, list imageList, p attest.Predicate, images []string) error {
	if err := f.check(); err != nil {
		return err
	}
	signers, err := f.signers(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx, list.limit())
	defer cancel()
	attach := func(ctx context.Context, image string) (out attestedImage, err error) {
		at, digest, evidence, err := a.toSign(ctx, image, f.evidence)
		if err != nil {
			return out, err
		}
		o := attest.Options{Formats: attestFormats[f.format], Replace: f.replace, EvidenceRepository: evidence}
		done, err := attest.Image(ctx, at.store, digest, p, o, signers...)
		if err != nil {
			return out, err
		}
		return shownAttached(at, done), nil
	}
	return each(ctx, a, list, "attesting", images, attach, func(image attestedImage) { a.showAttached(image) })
}

func shownAttached(p place, done *attest.Attached) attestedImage {
	out := attestedImage{
		Image: p.image, Digest: p.at(done.Digest), PredicateType: done.PredicateType, Attestations: []attestation{},
	}
	for _, x := range done.Attestations {
		out.Attestations = append(out.Attestations, attestation{x.KeyID, string(x.Format), p.at(x.Evidence), x.Size})
	}
	for _, s := range done.Superseded {
		out.Superseded = append(out.Superseded, supersededEvidence{s.KeyID, string(s.Format), p.at(s.Evidence), s.Removed, s.Reason})
	}
	return out
}

func (a *app) printAttested(all []attestedImage) error {
	for _, image := range all {
		for _, x := range image.Attestations {
			if x.Size > verifiersLimit {
				a.console.say("hallmark: warning: the attestation has %s, and verifiers read %s by default", size(x.Size), size(verifiersLimit))
				a.console.hint(limitAdvice("hallmark verify", &registry.ReachedLimit{Name: "MaxPayloadBytes", Value: verifiersLimit, Needed: x.Size}))
			}
		}
	}
	if a.json() {
		return a.out.document(all)
	}
	for _, image := range all {
		a.showAttached(image)
	}
	return nil
}

func (a *app) showAttached(image attestedImage) {
	n := node{words: words{good.of("attested"), image.Digest}}
	if image.Digest != image.Image {
		n.words = append(n.words, "from "+image.Image)
	}
	n.add("type", image.PredicateType)
	for _, x := range image.Attestations {
		n.add(x.Format, "by key "+shortID(x.KeyID), size(x.Size), "in "+digestPart(x.Evidence))
	}
	for _, s := range image.Superseded {
		if s.Removed {
			n.add("removed an earlier one", s.Format, "by key "+shortID(s.KeyID), digestPart(s.Evidence))
		} else {
			n.add(doubt.of("an earlier one is still there"), digestPart(s.Evidence), s.Reason)
		}
	}
	a.out.tree(n)
}

// verifiersLimit is the default of registry.Limits.MaxPayloadBytes.
const verifiersLimit = 32 << 20
