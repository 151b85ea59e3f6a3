package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policytest"
)

func (a *app) policyDiffCommand() *cobra.Command {
	var f rootFlags
	cmd := &cobra.Command{
		Use:   "diff OLD NEW IMAGE...",
		Short: "Compare what two policies decide about images",
		Long: `Judge each IMAGE by the policy file OLD and by NEW, and print how the decision changes:

  same       the decision is the same; its reason may differ
  loosened   OLD denies the image, NEW allows it
  tightened  OLD allows the image, NEW denies it
  warned     both allow it, one of them with a warning only

Below stand the rules and the requirements that make the difference. A tag is resolved
once, and both policies judge that digest.

Exit codes:
  0  no decision changes
  1  the decision about at least one image changes
  2  at least one image could not be judged, or wrong use

JSON is one list with an object for each IMAGE: image, effect, digest, detail (why it
could not be judged), old and new (as of 'hallmark verify', without evidence), unmet and
met (requirement, title, team, reason, detail, limit).`,
		Example: "  hallmark policy diff production.yaml next.yaml registry.example/team/app:v1 registry.example/team/web:v2",
		Args:    arguments(cobra.MinimumNArgs(3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, err := a.plugins.verifierBy(args[0], f)
			if err != nil {
				return err
			}
			next, err := a.plugins.verifierBy(args[1], f)
			if err != nil {
				return err
			}
			ctx, cancel := a.within(cmd.Context(), defaultTimeout)
			defer cancel()
			all := make([]changedImage, 0, len(args)-2)
			for _, image := range args[2:] {
				all = append(all, a.compare(ctx, old, next, image))
			}
			return a.printChanges(all)
		},
	}
	a.helpAlone(cmd)
	f.flags(cmd)
	return cmd
}

// changedImage is the JSON of policy diff for one image.
type changedImage struct {
	policytest.Change
	// Detail is why the image could not be judged. Empty: it was.
	Detail string `json:"detail,omitempty"`

	hint string
}

func (a *app) compare(ctx context.Context, old, next *verify.Verifier, image string) changedImage {
	p, err := a.locate(image, existing)
	var c *policytest.Change
	if err == nil {
		c, err = policytest.Compare(ctx, old, next, p.store, p.ref)
	}
	if err != nil {
		undecided := verify.ReportOf(image, nil, err)
		return changedImage{policytest.Change{Image: image, Effect: "undecided", Old: undecided, New: undecided}, err.Error(), adviceOn(err)}
	}
	c.Image, c.Old.Image, c.New.Image = image, image, image
	c.Digest, c.Old.Digest, c.New.Digest = p.located(c.Digest), p.located(c.Old.Digest), p.located(c.New.Digest)
	return changedImage{Change: *c}
}

func (a *app) printChanges(all []changedImage) error {
	if a.json() {
		if err := a.out.document(all); err != nil {
			return err
		}
	}
	var answer error
	for _, c := range all {
		switch {
		case c.Detail != "":
			answer = errUndecided
		case c.Effect != policytest.EffectNone && answer == nil:
			answer = errDenied
		}
		if !a.json() {
			a.out.tree(changeNode(c))
		}
	}
	return answer
}

func changeNode(c changedImage) node {
	mark := map[policytest.Effect]style{policytest.EffectNone: faint, policytest.EffectLoosened: bad, policytest.EffectTightened: good}[c.Effect]
	if mark == "" {
		mark = doubt
	}
	n := node{words: words{mark.of("%s", c.Effect), c.Image}}
	if c.Detail != "" {
		n.add(c.Detail)
		if c.hint != "" {
			n.add(hintLabel + c.hint)
		}
		return n
	}
	if c.Effect == policytest.EffectNone && c.Old.Reason == c.New.Reason && c.Old.Rule == c.New.Rule {
		n.words = append(n.words, string(c.New.Status), string(c.New.Reason))
		return n
	}
	n.add("old", styledStatus(c.Old.Status), string(c.Old.Reason), rulesWords(c.Old))
	n.add("new", styledStatus(c.New.Status), string(c.New.Reason), rulesWords(c.New))
	for _, u := range c.Unmet {
		n.add(bad.of("not met by the new policy"), u.Requirement, u.Title, fmt.Sprintf("%s: %s", u.Reason, u.Detail))
	}
	for _, u := range c.Met {
		n.add(good.of("only the old policy lacks"), u.Requirement, u.Title, string(u.Reason))
	}
	return n
}

func rulesWords(r verify.Report) string {
	if r.Rule == "" {
		return "no rule"
	}
	return strings.TrimSpace("by the rule " + r.Rule + " " + ofTeam(r.Team))
}
