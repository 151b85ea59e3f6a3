package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/layout"
)

// copyResult is the JSON of copy.
type copyResult struct {
	// Source and Destination are the arguments.
	Source      string `json:"source"`
	Destination string `json:"destination"`
	// Digest is the image at the destination, with its repository.
	Digest string `json:"digest"`
	// Manifests counts the image's manifests, Evidence those of its evidence, and Blobs
	// the blobs of both.
	Manifests tally `json:"manifests"`
	Evidence  tally `json:"evidence"`
	Blobs     tally `json:"blobs"`
	// Ignored lists what was not copied, and why.
	Ignored []ignored `json:"ignored"`
}

// tally counts what happened to manifests or blobs.
type tally struct {
	Copied  int `json:"copied"`
	Present int `json:"present"`
	Mounted int `json:"mounted"`
	Merged  int `json:"merged"`
}

type ignored struct {
	Digest string `json:"digest,omitempty"`
	Detail string `json:"detail"`
}

type copyFlags struct {
	noEvidence   bool
	evidenceOnly bool
	platform     string
	// source and destination are where the evidence of either side is.
	source, destination evidencePlace
	list                imageList
}

func (a *app) copyCommand() *cobra.Command {
	var f copyFlags
	cmd := &cobra.Command{
		Use:   "copy (SOURCE | --images-from FILE) DESTINATION",
		Short: "Copy an image with all of its evidence",
		Long: `Copy an image, or an index with everything it lists, and their signatures,
attestations and other referrers. The copy has the same digest, and verifies as the
source does. SOURCE and DESTINATION are in registries or layouts; a layout that does not
exist is created. The destination's tag is set last, and an interrupted copy can be run
again.

Copying verifies digests, not signatures.

oci-archive:FILE:TAG is a tar file of a layout, as skopeo and podman write it. It is read
where it stands. To write one, its content is kept in a directory beside it, which needs
as much space again, and then written whole; what the file held is kept. Through a link,
the file that it leads to is written.

--evidence-only copies the signatures, attestations and other referrers of an image that
DESTINATION holds already, and sets no tag.

--platform copies one manifest of an index with the evidence about it, and names it by
DESTINATION. The index and what is signed about the index alone stay behind: a policy
must find a signature of that manifest.

Evidence may be kept apart from images. --source-evidence-repository says where it is
read, --destination-evidence-repository where it is written.

` + listHelp + `
DESTINATION is then a registry or the beginning of repositories: with mirror.example/acme,
registry.example/team/app:v1 becomes mirror.example/acme/team/app:v1.

JSON is one object: source, destination, digest, manifests (of the image),
evidence (its manifests) and blobs (of both), each with copied, present, mounted
and merged; ignored (digest, detail).`,
		Example: `  hallmark copy registry.example/team/app:v1 oci:./layout:v1
  hallmark copy oci:./layout:v1 mirror.example/team/app:v1
  hallmark copy registry.example/team/app:v1 oci-archive:app.tar:v1
  hallmark copy --evidence-only registry.example/team/app:v1 mirror.example/team/app:v1
  hallmark copy --platform linux/arm64 registry.example/team/app:v1 mirror.example/team/app:v1`,
		Args: f.list.argumentsWith(cobra.ExactArgs(2), cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.list.given() {
				return a.copyList(cmd.Context(), f, args[0])
			}
			return a.copy(cmd.Context(), args[0], args[1], f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.noEvidence, "no-evidence", false, "copy no signatures, attestations and other referrers")
	flags.BoolVar(&f.evidenceOnly, "evidence-only", false, "copy signatures, attestations and other referrers alone; the image must be there")
	flags.StringVar(&f.platform, "platform", "", "copy only the manifest for `OS/ARCH[/VARIANT]` that the index lists")
	f.list.flags(cmd)
	f.source.named(cmd, "source-evidence-repository", "read")
	f.destination.named(cmd, "destination-evidence-repository", "write")
	return cmd
}

// options are those of registry.Copy between two places.
func (f *copyFlags) options(from, to place) (o registry.CopyOptions, err error) {
	if f.noEvidence && f.source.repository+f.destination.repository != "" {
		return o, usageError("--no-evidence and --source-evidence-repository or --destination-evidence-repository exclude each other")
	}
	if f.noEvidence && f.evidenceOnly {
		return o, usageError("--no-evidence and --evidence-only exclude each other")
	}
	o.NoEvidence, o.EvidenceOnly = f.noEvidence, f.evidenceOnly
	if o.Platform, err = parsePlatform(f.platform); err != nil {
		return o, err
	}
	if o.SourceEvidence, err = f.source.beside([]place{from}); err != nil {
		return o, err
	}
	o.DestinationEvidence, err = f.destination.beside([]place{to})
	return o, err
}

func (a *app) copy(ctx context.Context, source, destination string, f copyFlags) error {
	ctx, cancel := a.within(ctx, 0)
	defer cancel()
	r, err := a.copyOne(ctx, source, destination, f, func(e registry.CopyEvent) {
		a.console.progress("copying: %d of %d parts, %s of %s", e.Done.Items, e.Total.Items, size(e.Done.Bytes), size(e.Total.Bytes))
	})
	if err != nil {
		return err
	}
	if a.json() {
		return a.out.document(r)
	}
	a.showCopy(r)
	return nil
}

func (a *app) copyOne(ctx context.Context, source, destination string, f copyFlags, progress func(registry.CopyEvent)) (r copyResult, err error) {
	from, err := a.locate(source, existing)
	if err != nil {
		return r, err
	}
	// An archive is opened to be written even where it must hold the image already.
	to, err := a.locate(destination, !f.evidenceOnly || strings.HasPrefix(destination, layout.ArchivePrefix))
	if err != nil {
		return r, err
	}
	o, err := f.options(from, to)
	if err != nil {
		return r, err
	}
	var events []registry.CopyEvent
	o.Progress = func(e registry.CopyEvent) {
		if e.Action != registry.CopyStarted {
			events = append(events, e)
		}
		progress(e)
	}
	digest, err := registry.Copy(ctx, from.store, from.ref, to.store, to.ref, o)
	if err == nil {
		err = to.commit(ctx)
	}
	if err != nil {
		return r, err
	}
	r = copyResult{Source: source, Destination: destination, Digest: to.at(digest), Ignored: []ignored{}}
	r.count(events, digest.DigestStr(), f.evidenceOnly)
	return r, nil
}

// copyList copies the images of a list below a registry or the beginning of repositories.
func (a *app) copyList(ctx context.Context, f copyFlags, prefix string) error {
	if ref, err := registry.ParseReference(prefix + "/x"); err != nil || strings.HasPrefix(prefix, layout.Prefix) || strings.HasPrefix(prefix, layout.ArchivePrefix) || ref.Identifier() != "latest" {
		return usageError("DESTINATION %q: with --images-from it is a registry, or the beginning of repositories in one, such as mirror.example/acme", prefix)
	}
	images, err := f.list.images(a, nil)
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx, 0)
	defer cancel()
	copyImage := func(ctx context.Context, image string) (copyResult, error) {
		to, err := below(prefix, image)
		if err != nil {
			return copyResult{}, err
		}
		return a.copyOne(ctx, image, to, f, func(registry.CopyEvent) {})
	}
	return each(ctx, a, f.list, "copying", images, copyImage, a.showCopy)
}

// below is an image with a prefix in place of its registry.
func below(prefix, image string) (string, error) {
	if err := checkImage(image); err != nil {
		return "", err
	}
	if strings.HasPrefix(image, layout.Prefix) || strings.HasPrefix(image, layout.ArchivePrefix) {
		return "", usageError("%s is in a layout, which has no repository's name: copy it by itself", image)
	}
	ref, err := registry.ParseReference(image)
	if err != nil {
		return "", err
	}
	to := prefix + "/" + ref.Context().RepositoryStr()
	tagged, _, byDigest := strings.Cut(image, "@")
	if at := strings.LastIndexByte(tagged, ':'); at > strings.LastIndexByte(tagged, '/') {
		return to + tagged[at:], nil
	}
	if byDigest {
		return to + "@" + ref.Identifier(), nil
	}
	return to + ":" + ref.Identifier(), nil
}

// count separates the image from its evidence by the order of events: the image's own
// manifest is its last, as registry.Copy documents.
func (r *copyResult) count(events []registry.CopyEvent, image string, evidenceOnly bool) {
	manifests := &r.Manifests
	if evidenceOnly {
		manifests = &r.Evidence
	}
	for _, e := range events {
		if isManifest(e.Content) {
			r.add(manifests, e)
		} else {
			r.add(&r.Blobs, e)
		}
		if e.Content.Digest.String() == image {
			manifests = &r.Evidence
		}
	}
}

func (r *copyResult) add(t *tally, e registry.CopyEvent) {
	switch e.Action {
	case registry.CopyDone:
		t.Copied++
	case registry.CopyPresent:
		t.Present++
	case registry.CopyMounted:
		t.Mounted++
	case registry.CopyMerged:
		t.Merged++
	case registry.CopyIgnored:
		i := ignored{Detail: e.Detail}
		if e.Content.Digest.Hex != "" {
			i.Digest = e.Content.Digest.String()
		}
		r.Ignored = append(r.Ignored, i)
	}
}

func (a *app) showCopy(r copyResult) {
	n := node{words: words{good.of("copied"), r.Digest, "from " + r.Source}}
	n.add("manifests", r.Manifests)
	n.add("evidence ", r.Evidence)
	n.add("blobs    ", r.Blobs)
	for _, i := range r.Ignored {
		n.add(doubt.of("not copied"), i.Digest, i.Detail)
	}
	a.out.tree(n)
}

// String leaves out mounted and merged content if there is none.
func (t tally) String() string {
	text := fmt.Sprintf("%d copied, %d already there", t.Copied, t.Present)
	if t.Mounted > 0 {
		text += fmt.Sprintf(", %d mounted from another repository of the registry", t.Mounted)
	}
	if t.Merged > 0 {
		text += fmt.Sprintf(", %d merged", t.Merged)
	}
	return text
}

// size writes a number of bytes with a unit.
func size(bytes int64) string {
	const unit = 1000
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	value, prefix := float64(bytes)/unit, 0
	for value >= unit {
		value /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTPE"[prefix])
}
