package command

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
)

// examineFlags name the policy that inspect asks what each piece of evidence is worth.
type examineFlags struct {
	rootFlags
	policyFile string
	at         atFlag
}

func (f *examineFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.policyFile, "policy", "", "say what counts by the policy in this `FILE`, and why the rest does not")
	f.at.flag(cmd)
	f.rootFlags.flags(cmd)
}

// examiner judges by the policy; nil: none is given.
func (f *examineFlags) examiner(p Plugins, limits registry.Limits, apart name.Repository) (*examiner, error) {
	if f.policyFile == "" {
		if f.at.text != "" || len(f.roots) > 0 {
			return nil, usageError("--policy is missing: --at and --trusted-root are about judging")
		}
		return nil, nil
	}
	o := verify.Options{Limits: limits, EvidenceRepository: apart}
	if err := f.at.set(&o); err != nil {
		return nil, err
	}
	root, err := f.authority(instanceDefault)
	if err != nil {
		return nil, err
	}
	v, err := p.verifierOf(f.policyFile, root, o)
	return &examiner{v, f.at}, err
}

// examiner says what evidence is worth by a policy.
type examiner struct {
	*verify.Verifier
	at atFlag
}

// evidenceOf is the repository that holds the evidence about images of a repository; zero:
// the same one.
func (e *examiner) evidenceOf(repo name.Repository) (name.Repository, error) {
	if at := e.Explain(repo).EvidenceRepository; at != "" {
		return registry.ParseRepository(at)
	}
	return name.Repository{}, nil
}

// judge says what the policy decides about a manifest, and notes of each piece what it
// is worth. ids are the pieces' items. An error is the context's.
func (e *examiner) judge(ctx context.Context, p place, image name.Digest, pieces []verify.InspectedEvidence, ids []string) (*verify.Report, error) {
	result, err := e.Examine(ctx, p.store, image)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r := verify.ReportOf(p.image, result, err)
	r.Digest = p.located(r.Digest)
	e.at.mark(&r)
	at := make(map[string]int, len(ids))
	for i, id := range ids {
		at[id] = i
	}
	records := r.Evidence
	r.Evidence = nil
	for _, record := range records {
		if i, is := at[record.Item]; is && record.Item != "" {
			pieces[i].Judged = append(pieces[i].Judged, record)
		} else {
			r.Evidence = append(r.Evidence, record)
		}
	}
	return &r, nil
}

// requirementsOf are the requirements of the rule for a repository in words, by their
// paths.
func (e *examiner) requirementsOf(repo name.Repository) map[string]string {
	words := make(map[string]string)
	var add func(all []verify.Explained)
	add = func(all []verify.Explained) {
		for _, x := range all {
			words[x.Requirement] = x.Text
			add(x.Of)
		}
	}
	add(e.Explain(repo).Requirements)
	return words
}

// decisionNodes say what the policy decides, in text.
func decisionNodes(r *verify.Report) node {
	n := node{words: words{styledStatus(r.Status), "by the policy " + r.Policy}, children: why(*r, true)}
	if r.Status != verify.StatusVerified {
		n.words = append(n.words, string(r.Reason), r.Detail)
	}
	if !r.AsOf.IsZero() {
		n.words = append(n.words, doubt.of("as of %s, not of now", timeText(r.AsOf)))
	}
	for _, e := range r.Evidence[:min(len(r.Evidence), maxEvidenceShown)] {
		n.children = append(n.children, evidenceNode(e))
	}
	return n
}

// worth says what a piece is worth by the policy. requirements are in words.
func (p piece) worth(requirements map[string]string) (nodes []node) {
	for _, j := range p.Judged {
		wanted := requirements[j.Requirement]
		switch {
		case j.Reason == verify.ReasonCounted:
			nodes = append(nodes, node{words: words{good.of("counts"), wanted, j.Detail, faint.of("%s", j.Requirement)}})
		default:
			nodes = append(nodes, node{words: words{doubt.of("does not count"), wanted, string(j.Reason), j.Detail, faint.of("%s", j.Requirement)}})
		}
	}
	if len(p.Judged) == 0 {
		nodes = append(nodes, node{words: words{doubt.of("does not count"), "the policy does not look at it"}})
	}
	return nodes
}
