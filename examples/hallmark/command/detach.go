package command

import (
	"context"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry"
)

// detached is the JSON of detach for one piece of evidence.
type detached struct {
	Kind          string `json:"kind"`
	Format        string `json:"format,omitempty"`
	PredicateType string `json:"predicateType,omitempty"`
	// Evidence is the manifest that carried it.
	Evidence string `json:"evidence"`
	// Removed is false if it is still attached, and Reason says why.
	Removed bool   `json:"removed"`
	Reason  string `json:"reason,omitempty"`
}

type detachFlags struct {
	kind      string
	manifests []string
	keys      []string
	dryRun    bool
	evidence  evidencePlace
	limits    evidenceLimits
}

func (a *app) detachCommand() *cobra.Command {
	var f detachFlags
	cmd := &cobra.Command{
		Use:   "detach (--type KIND | --manifest DIGEST | --key FILE) IMAGE",
		Short: "Remove evidence from an image",
		Long: `Remove signatures, attestations and other referrers from IMAGE, and read back that they
are gone. The image stays. Of several flags, evidence must fit all.

Evidence of others is removed, too, if it fits: see with --dry-run what would be removed.
What is removed can deny an image, and never allow one.

Exit codes: 0 nothing that fits is left; 2 something could not be read or removed.

JSON is one list with an object for each piece: kind, format, predicateType, evidence
(the manifest that carried it), removed, reason (why it was not).`,
		Example: `  hallmark detach --type signature --dry-run registry.example/team/app:v1
  hallmark detach --key retired.pub registry.example/team/app:v1
  hallmark detach --type all registry.example/team/app:v1`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.detach(cmd.Context(), f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "type", "", "remove evidence of this `KIND`: signature, attestation, other, or all")
	flags.StringArrayVar(&f.manifests, "manifest", nil, "remove what the manifest of this `DIGEST` carries (repeatable)")
	flags.StringArrayVar(&f.keys, "key", nil, "remove what this public key has signed: `FILE`, env://NAME, fd://N or - (repeatable)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would be removed, and remove nothing")
	f.evidence.flag(cmd, "remove")
	f.limits.flags(cmd)
	suggest(cmd, "type", "signature", "attestation", "other", "all")
	return cmd
}

func (a *app) detach(ctx context.Context, f detachFlags, image string) error {
	switch {
	case f.kind == "" && len(f.manifests)+len(f.keys) == 0:
		return usageError("say what to remove: --type all, or --type signature, --manifest DIGEST, --key FILE")
	case f.kind != "":
		if err := oneOf("type", f.kind, "signature", "attestation", "other", "all"); err != nil {
			return err
		}
	}
	for _, m := range f.manifests {
		if _, err := v1.NewHash(digestPart(m)); err != nil {
			return usageError("--manifest %q: want the digest of a manifest, sha256: and 64 hex digits", m)
		}
	}
	from, err := a.detachFrom(ctx, f, image)
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	items, complete, err := a.toDetach(ctx, f, from)
	if err != nil {
		return err
	}
	all := []detached{}
	for _, item := range items {
		d := describeDetached(item, from)
		if !f.dryRun {
			if err := registry.Detach(ctx, from.store, from.evidence, item); err != nil {
				complete, d.Reason = false, inFlags(err.Error())
			}
			d.Removed = d.Reason == ""
		}
		all = append(all, d)
	}
	if err := a.printDetached(all, f.dryRun); err != nil {
		return err
	}
	if len(items) == 0 && complete {
		a.console.say("hallmark: nothing that fits is attached to %s", image)
	}
	if !complete {
		return errUndecided
	}
	return nil
}

// detachFrom is the image, and where its evidence is.
func (a *app) detachFrom(ctx context.Context, f detachFlags, image string) (d download, err error) {
	if err := f.limits.check(); err != nil {
		return d, err
	}
	if d.place, err = a.locate(image, existing); err != nil {
		return d, err
	}
	if err := changeable([]place{d.place}); err != nil {
		return d, err
	}
	apart, err := f.evidence.beside([]place{d.place})
	if err != nil {
		return d, err
	}
	if d.keys, err = a.publicKeys(ctx, f.keys); err != nil {
		return d, err
	}
	d.digest, err = d.resolve(ctx)
	d.evidence = registry.EvidenceIn(apart, d.digest)
	return d, err
}

// toDetach are the items that fit the flags.
func (a *app) toDetach(ctx context.Context, f detachFlags, from download) (items []registry.Item, complete bool, err error) {
	complete = true
	for item, err := range registry.Evidence(ctx, from.store, from.evidence, f.limits.Limits) {
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		if err != nil {
			a.console.say("hallmark: left out: %s", inFlags(err.Error()))
			complete = complete && !incomplete(err)
			continue
		}
		if !f.fits(item) {
			continue
		}
		signed, err := signedByAny(ctx, item, from.keys)
		if err != nil {
			return nil, false, err
		}
		if signed {
			items = append(items, item)
		}
	}
	return items, complete, nil
}

// fits reports whether an item is of the kind, and carried by one of the manifests.
func (f *detachFlags) fits(item registry.Item) bool {
	kind := registry.Describe(item, registry.Manifest{}).Kind
	if kind != "signature" && kind != "attestation" {
		kind = "other"
	}
	if f.kind != "" && f.kind != "all" && f.kind != kind {
		return false
	}
	for _, m := range f.manifests {
		if digestPart(m) == item.Manifest.Digest.String() {
			return true
		}
	}
	return len(f.manifests) == 0
}

func describeDetached(item registry.Item, from download) detached {
	d := registry.Describe(item, registry.Manifest{})
	at := from.evidence.Context().Digest(item.Manifest.Digest.String())
	return detached{Kind: d.Kind, Format: string(d.Format), PredicateType: d.PredicateType, Evidence: from.at(at)}
}

func (a *app) printDetached(all []detached, dryRun bool) error {
	if a.json() {
		return a.out.document(all)
	}
	for _, d := range all {
		what := good.of("removed")
		switch {
		case dryRun:
			what = doubt.of("would be removed")
		case !d.Removed:
			what = bad.of("not removed")
		}
		a.out.line("", words{what, d.Kind, d.Format, d.PredicateType, d.Evidence, strings.TrimSpace(d.Reason)})
	}
	return nil
}
