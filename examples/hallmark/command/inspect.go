package command

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Bounds of inspect --recursive.
const (
	maxInspectDepth     = 4
	maxInspectManifests = 1000
)

type inspectFlags struct {
	keys      []string
	recursive bool
	evidence  evidencePlace
	limits    evidenceLimits
	list      imageList
	examineFlags
}

const inspectHelp = `Show what IMAGE is and everything attached to it: signatures, attestations and
other referrers, each with what it claims about its signer and its subject. What cosign
attaches as sha256-....sbom is shown too: it is not signed. Referrers of a kind that
is not read are shown by their artifact type.

Everyone who can push to the registry can attach what is shown. Without --key and
--policy nothing is verified. With --key, signatures by that key are marked. With
--policy, each piece of evidence says for which requirements it counts, and why not.
All of it is read, also after enough counts. Whether the image may be used is decided by
verify: the exit code of inspect does not depend on the policy.

` + atHelp + `

-o html prints a report as one page without scripts and links: what the image is, who
signed, how it was built, what is in it, what scanners found, the decision of --policy,
and all evidence. It prints well, and reads in light and dark.

` + listHelp + `

Exit codes: 0 everything was read; 2 something could not be read.

JSON is one object:
  image, complete, digest, mediaType, size, artifactType, platform, attestationOf,
  statements (predicateType, predicate (name, value), error), which are unsigned,
  error, manifests (the same fields again),
  decision (the fields in verify --help; its evidence is what has no place below),
  evidence (kind, format, place, manifest, artifactType, mediaType,
    signer (keyId, hint, certificate, identities, issuer, sourceRepository, logIndex,
      loggedAt), predicateType,
    predicate (name, value), subjects, subjectMatches, repository, annotations,
    created, verifiedBy (id, name; never seenAt or claims),
    judged (place, format, manifest, keyId, requirement, reason, detail), error)

Print its schema with 'hallmark policy schema --of result'.`

func (a *app) inspectCommand() *cobra.Command {
	var f inspectFlags
	cmd := &cobra.Command{
		Use:         "inspect (IMAGE | --images-from FILE)",
		Annotations: map[string]string{outputHTML: "a report"},
		Short:       "Show the evidence attached to an image",
		Long:        inspectHelp,
		Example: `  hallmark inspect registry.example/team/app:v1
  hallmark inspect --recursive --key release.pub oci:./layout:v1
  hallmark inspect --policy production.yaml registry.example/team/app:v1
  hallmark inspect --images-from images.txt -o json`,
		Args: f.list.argumentsWith(cobra.ExactArgs(1), cobra.ArbitraryArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			images, err := f.list.images(a, args)
			if err != nil {
				return err
			}
			return a.inspect(cmd.Context(), f, images)
		},
	}
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "mark the signatures of this public key: `FILE`, env://NAME, fd://N or - (repeatable)")
	f.evidence.flag(cmd, "show")
	f.limits.flags(cmd)
	f.examineFlags.flags(cmd)
	f.list.flags(cmd)
	cmd.Flags().BoolVar(&f.recursive, "recursive", false, "show the evidence of everything that an index lists, too")
	return cmd
}

// inspect shows the image of the command line, or those of a list.
func (a *app) inspect(ctx context.Context, f inspectFlags, images []string) error {
	common, err := a.inspectorOf(ctx, f)
	if err != nil {
		return err
	}
	if f.list.given() {
		return a.inspectList(ctx, f, common, images)
	}
	ctx, cancel := a.within(ctx, defaultTimeout)
	defer cancel()
	i, err := common.read(ctx, a, images[0])
	if err != nil {
		return err
	}
	switch a.output {
	case "json":
		err = a.out.document(i.result)
	case outputHTML:
		err = a.writeReport(ctx, i, i.result, i.digest)
	default:
		a.out.tree(i.tree(i.result))
	}
	if err == nil && !i.complete {
		a.console.say("hallmark: not everything could be read; more may be attached than is shown")
		return errUndecided
	}
	return err
}

// inspectList shows the images of a list as they come.
func (a *app) inspectList(ctx context.Context, f inspectFlags, common inspector, images []string) error {
	if a.output == outputHTML {
		return usageError("--output html is a report about one image, and --images-from names a list")
	}
	ctx, cancel := a.within(ctx, f.list.limit())
	defer cancel()
	common.quiet = true
	var partly atomic.Int64
	err := each(ctx, a, f.list, "inspecting", images, func(ctx context.Context, image string) (inspected, error) {
		i, err := common.read(ctx, a, image)
		if err != nil {
			return inspected{}, err
		}
		if !i.complete {
			partly.Add(1)
		}
		return inspected{i.result, i}, nil
	}, func(r inspected) { a.out.tree(r.by.tree(r.Inspection)) })
	if n := partly.Load(); n > 0 {
		a.console.say("hallmark: not everything about %d of %d images could be read; more may be attached than is shown", n, len(images))
		return errUndecided
	}
	return err
}

// inspected is what was read about an image of a list.
type inspected struct {
	verify.Inspection
	by *inspector
}

// inspectorOf is what all images of a command have in common.
func (a *app) inspectorOf(ctx context.Context, f inspectFlags) (i inspector, err error) {
	i = inspector{console: a.console, recursive: f.recursive, limits: f.limits.Limits}
	if i.apart, err = f.evidence.parse(); err != nil {
		return i, err
	}
	if err := f.limits.check(); err != nil {
		return i, err
	}
	if i.keys, err = a.publicKeys(ctx, f.keys); err != nil {
		return i, err
	}
	if i.examiner, err = f.examiner(a.plugins, i.limits, i.apart); err != nil {
		return i, err
	}
	if i.examiner != nil {
		a.warnOf(f.at)
	}
	return i, nil
}

// read inspects one image.
func (i inspector) read(ctx context.Context, a *app, image string) (*inspector, error) {
	var err error
	if i.place, err = a.locate(image, existing); err != nil {
		return nil, err
	}
	if i.examiner != nil {
		if i.apart, err = i.examiner.evidenceOf(i.place.ref.Context()); err != nil {
			return nil, err
		}
	}
	if i.digest, err = i.place.resolve(ctx); err != nil {
		return nil, err
	}
	i.complete = true
	view, err := i.look(ctx, i.digest, 0)
	if err != nil {
		return nil, err
	}
	i.result = verify.Inspection{Image: image, Complete: i.complete, InspectedManifest: view}
	return &i, nil
}

// inspector reads one image and its evidence.
type inspector struct {
	place     place
	console   *console
	keys      []policy.PublicKey
	examiner  *examiner // nil: no policy
	recursive bool
	apart     name.Repository // where evidence is; zero: beside the image
	limits    registry.Limits
	quiet     bool // shows no progress of its own
	manifests int  // that were read
	complete  bool
	digest    name.Digest
	result    verify.Inspection
}

// look reads a manifest and its evidence.
func (i *inspector) look(ctx context.Context, digest name.Digest, depth int) (verify.InspectedManifest, error) {
	m, err := registry.ReadManifest(ctx, i.place.store, digest)
	if err != nil {
		return verify.InspectedManifest{}, err
	}
	doc, err := m.Parse()
	if err != nil {
		return verify.InspectedManifest{}, err
	}
	i.manifests++
	if !i.quiet {
		i.console.progress("inspecting: %d manifests", i.manifests)
	}
	view := verify.InspectedManifest{
		Digest: i.place.at(digest), MediaType: doc.MediaType, Size: m.Descriptor.Size,
		ArtifactType: doc.ArtifactType,
	}
	var ids []string
	if view.Evidence, ids, err = i.evidence(ctx, digest, m); err != nil {
		return verify.InspectedManifest{}, err
	}
	if i.examiner != nil {
		if view.Decision, err = i.examiner.judge(ctx, i.place, digest, view.Evidence, ids); err != nil {
			return verify.InspectedManifest{}, err
		}
		i.complete = i.complete && view.Decision.Status != verify.StatusUndecided
	}
	statements, err := i.statements(ctx, digest, doc.IsIndex)
	if err != nil {
		return verify.InspectedManifest{}, err
	}
	for _, d := range doc.Manifests {
		child, err := i.child(ctx, digest.Context().Digest(d.Digest.String()), d, depth+1)
		if err != nil {
			return verify.InspectedManifest{}, err
		}
		child.Statements = statements[d.Digest]
		view.Manifests = append(view.Manifests, child)
	}
	return view, nil
}

// statements reads the statements that BuildKit puts into an index, by the manifest that
// carries them.
func (i *inspector) statements(ctx context.Context, index name.Digest, isIndex bool) (map[v1.Hash][]verify.UnsignedStatement, error) {
	all := make(map[v1.Hash][]verify.UnsignedStatement)
	if !isIndex {
		return all, nil
	}
	for item, err := range registry.IndexEvidence(ctx, i.place.store, index, i.limits) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		u := verify.UnsignedStatement{PredicateType: item.Layer.Annotations["in-toto.io/predicate-type"]}
		if err != nil {
			i.complete = i.complete && !incomplete(err)
			u.Error = inFlags(err.Error())
		} else if d := registry.Describe(item, registry.Manifest{}); d.PredicateType != "" {
			u.PredicateType = d.PredicateType
			u.Predicate, u.Error = summarized(d)
		}
		all[item.Manifest.Digest] = append(all[item.Manifest.Digest], u)
	}
	return all, nil
}

// child shows what an index says about a manifest and, with --recursive, the manifest.
func (i *inspector) child(ctx context.Context, digest name.Digest, d v1.Descriptor, depth int) (verify.InspectedManifest, error) {
	view := verify.InspectedManifest{Digest: i.place.at(digest), MediaType: string(d.MediaType), Size: d.Size, ArtifactType: d.ArtifactType}
	if i.recursive && isManifest(d) {
		if depth > maxInspectDepth || i.manifests >= maxInspectManifests {
			view.Error = fmt.Sprintf("not read: more than %d manifests, or indexes that nest deeper than %d", maxInspectManifests, maxInspectDepth)
			i.complete = false
		} else if read, err := i.look(ctx, digest, depth); err == nil {
			view = read
		} else if ctx.Err() != nil {
			return view, err
		} else {
			view.Error = inFlags(err.Error())
			i.complete = i.complete && !registry.Unreadable(err)
		}
	}
	if d.Platform != nil {
		view.Platform = d.Platform.String()
	}
	if d.Annotations["vnd.docker.reference.type"] == "attestation-manifest" {
		view.AttestationOf = d.Annotations["vnd.docker.reference.digest"]
	}
	return view, nil
}

// attached are the places where something may be attached to an image.
var attached = []registry.Place{registry.PlaceSignatureTag, registry.PlaceAttestationTag, registry.PlaceSBOMTag, registry.PlaceReferrers}

// evidence describes what is attached to a manifest. ids are those of the items.
func (i *inspector) evidence(ctx context.Context, digest name.Digest, manifest registry.Manifest) (pieces []verify.InspectedEvidence, ids []string, err error) {
	pieces = []verify.InspectedEvidence{}
	for item, err := range registry.Evidence(ctx, i.place.store, registry.EvidenceIn(i.apart, digest), i.limits, attached...) {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			i.complete = i.complete && !incomplete(err)
			item.Payload = nil
		}
		p, ended := describe(ctx, item, manifest, i.keys)
		if ended != nil {
			return nil, nil, ended
		}
		if err != nil {
			p.Error = inFlags(err.Error())
		}
		pieces, ids = append(pieces, p), append(ids, item.ID())
	}
	return pieces, ids, nil
}

// tree is an inspection as text.
func (i *inspector) tree(r verify.Inspection) node {
	root := node{words: words{r.Digest}}
	if r.Image != r.Digest {
		root.words = append(root.words, "from "+r.Image)
	}
	i.fill(&root, r.InspectedManifest)
	return root
}

func (i *inspector) fill(n *node, m verify.InspectedManifest) {
	n.add(m.MediaType, m.ArtifactType, size(m.Size))
	if m.Error != "" {
		n.add(bad.of("could not be read"), m.Error)
	}
	if m.Decision != nil {
		n.children = append(n.children, decisionNodes(m.Decision))
	}
	if m.Evidence != nil {
		n.children = append(n.children, i.evidenceTree(m.Evidence))
	}
	for _, child := range m.Manifests {
		c := node{words: words{"lists", child.Platform, digestPart(child.Digest)}}
		if child.AttestationOf != "" {
			c.words = append(c.words, faint.of("unsigned attestations, said to be about %s", child.AttestationOf))
		}
		for _, u := range child.Statements {
			s := node{words: words{"statement", u.PredicateType, faint.of("unsigned")}}
			if u.Error != "" {
				s.add(bad.of("not understood"), u.Error)
			}
			for _, f := range u.Predicate {
				s.add(f.Name, f.Value)
			}
			c.children = append(c.children, s)
		}
		i.fill(&c, child)
		n.children = append(n.children, c)
	}
}

func (i *inspector) evidenceTree(pieces []verify.InspectedEvidence) node {
	n := node{words: words{fmt.Sprintf("evidence: %d", len(pieces))}}
	if len(pieces) > 0 && len(i.keys) == 0 && i.examiner == nil {
		n.words = append(n.words, doubt.of("not verified: no --key or --policy given"))
	}
	var requirements map[string]string
	if i.examiner != nil {
		requirements = i.examiner.requirementsOf(i.place.ref.Context())
	}
	for _, p := range pieces {
		c := piece{p}.tree(len(i.keys) > 0)
		if i.examiner != nil {
			c.children = append(c.children, piece{p}.worth(requirements)...)
		}
		n.children = append(n.children, c)
	}
	return n
}
