package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// policyFlags name the trusted keys and the trusted identity, or a policy.
type policyFlags struct {
	certificateFlags
	policyFile  string
	keys        []string
	threshold   int
	annotations []string
	attested    attestedFlags
	at          atFlag
	ofFiles     bool
	// readKey reads a key of --key.
	readKey func(ref string) (policy.PublicKey, error)
}

func (f *policyFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.keys, "key", nil, "trust this public key: `FILE`, env://NAME, fd://N or - (repeatable)")
	flags.StringVar(&f.policyFile, "policy", "", "judge by the policy in this `FILE`")
	flags.IntVar(&f.threshold, "threshold", 1, "how many distinct keys and identities must have signed")
	flags.StringArrayVarP(&f.annotations, "annotation", "a", nil, "count only signatures with this signed `KEY=VALUE` (repeatable)")
	f.certificateFlags.flags(cmd)
	f.attested.flags(cmd)
	f.at.flag(cmd)
}

// policy is what the flags stand for without --policy.
func (f *policyFlags) policy(sameRepository bool) (*policy.Policy, error) {
	s := policy.Signatures{Threshold: f.threshold, SameRepository: sameRepository}
	if len(f.keys) == 0 && !f.given() {
		return nil, usageError("--key is missing: name a public key that you trust, an identity with --certificate-identity, or a policy with --policy")
	}
	for _, path := range f.keys {
		key, err := f.readKey(path)
		if err != nil {
			return nil, err
		}
		s.Keys = append(s.Keys, key)
	}
	var err error
	if s.Annotations, err = parseAnnotations(f.annotations); err != nil {
		return nil, err
	}
	if f.attested.given() && (len(s.Annotations) > 0 || sameRepository) {
		return nil, usageError("--type judges attestations: leave out --annotation and --same-repository, which are about signatures")
	}
	p := s.Policy()
	if f.given() {
		err = f.add(p)
	}
	return p, errors.Join(err, f.attested.apply(p, f.ofFiles))
}

// verifier judges by --policy, or by the keys and the identity.
func (f *policyFlags) verifier(p Plugins, sameRepository bool, o verify.Options) (*verify.Verifier, error) {
	if err := f.at.set(&o); err != nil {
		return nil, err
	}
	root, err := f.authority(f.unnamed())
	if err != nil {
		return nil, err
	}
	if root == nil && f.given() && p.Authorities[sigstoreName] == nil {
		return nil, errNoRoot
	}
	if f.policyFile != "" {
		if len(f.keys) > 0 || len(f.annotations) > 0 || sameRepository || f.threshold != 1 || f.given() || f.attested.given() {
			return nil, usageError("--policy decides alone: leave out --key, --certificate-identity, --type and their flags, --threshold, --annotation and --same-repository")
		}
		return p.verifierOf(f.policyFile, root, o)
	}
	asked, err := f.policy(sameRepository)
	if err != nil {
		return nil, err
	}
	o.Authorities = p.linked(root)
	v, err := verify.New(asked, o)
	if errors.Is(err, policy.ErrInvalid) {
		return nil, usageError("%w", byFlags(err))
	}
	return v, err
}

type verifyFlags struct {
	policyFlags
	sameRepository bool
	evidence       evidencePlace
	limits         evidenceLimits
	platform       string
	explain        bool
	list           imageList
	audit          auditFlag
}

const verifyHelp = `Verify that each IMAGE meets the policy in --policy, or that as many distinct keys
of --key and identities of --certificate-identity have signed it as --threshold says.
Deploy the digest that is printed. The tag may move at any time.

` + certificateHelp + `

An attestation does not count as a signature: --type asks for one. Evidence that does not count is ignored,
and listed with the reason: always for a denied image, otherwise with --explain.

Evidence may be kept apart from images. --evidence-repository names where, for rules
of the policy that name no other place.

--platform selects one platform's manifest from a signed index, and prints its digest.
Without it, an index is denied if the policy's denyDigests names every image in it. If
denyDigests names some, the index is verified and these images are listed: they must
not run.

` + attestedHelp + `

` + atHelp + `

Exit codes:
  0  every image is verified, exempt from what it does not meet, or of a rule that only
     warns; nothing else allows an image
  1  every image was judged, and at least one is denied
  2  at least one image could not be judged, or wrong use
With --insecure-audit-only, 0 in place of 1: denials are printed and not enforced.

Put -- before images from another source, since their names could look like flags.
--help beside other arguments is wrong use.

` + listHelp + ` For images that could not
be judged it is the same object as for others.

JSON is one list with an object for each IMAGE, in the order of the arguments:
  image, status (verified, exempted, warned, denied, undecided), digest, policy, rule, team, judgedAt,
  asOf (the time of --at), validUntil, reason, detail, limit (name, value, needed), hint, causes (of undecided),
  requirements (requirement, title, team, by, keys,
    excused (id, severity, by, status, reason, evidence, until)),
  unmet (requirement, title, team, reason, detail, found, wanted, limit, exemption, excused),
  exemptions (requirement, name, team, reason, by, until, unmet),
  keys (id, name, evidence, annotations, signer, seenAt, claims),
  statements (predicateType, keyId, evidence),
  evidence (place, format, manifest, keyId, requirement, reason, detail),
  deniedChildren (digest, platform, reason), requests (how many were sent to
  registries), index (the same fields again);
  of files: file, sha256, size

The audit log of a gate has the same fields. Print their schema with 'hallmark policy schema --of result'.`

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify (--policy FILE | --key FILE | --certificate-identity IDENTITY --certificate-oidc-issuer URL --trusted-root FILE) IMAGE...",
		Short: "Verify images by a policy, or that trusted keys or identities have signed them",
		Long:  verifyHelp,
		Example: `  hallmark verify --policy production.yaml --explain registry.example/team/app:v1
  hallmark verify --key release.pub registry.example/team/app:v1
  hallmark verify --certificate-identity https://github.com/acme/app/.github/workflows/release.yml@refs/tags/* --certificate-oidc-issuer https://token.actions.githubusercontent.com --trusted-root trusted_root.json registry.example/team/app:v1
  hallmark verify --key reviewer.pub --type https://acme.example/review/v1 --where /approved=true registry.example/team/app:v1
  hallmark verify --key a.pub --key b.pub --threshold 2 registry.example/team/app@sha256:...
  hallmark verify --key release.pub --platform linux/arm64 -o json oci:./layout:v1
  hallmark verify --policy production.yaml --images-from images.txt -o json`,
		Args: f.list.arguments(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			images, err := f.list.images(a, args)
			if err != nil {
				return err
			}
			return a.verify(cmd.Context(), f, images)
		},
	}
	a.helpAlone(cmd)
	f.flags(cmd)
	cmd.Flags().BoolVar(&f.sameRepository, "same-repository", false, "count only signatures that name the image's repository; bundles name none")
	f.evidence.flag(cmd, "read")
	f.limits.flags(cmd)
	f.list.flags(cmd)
	cmd.Flags().StringVar(&f.platform, "platform", "", "verify the manifest for `OS/ARCH[/VARIANT]` that the signed index lists")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "list the evidence and the reasons for verified images, too")
	f.audit.flag(cmd)
	return cmd
}

func (a *app) verify(ctx context.Context, f verifyFlags, images []string) error {
	f.readKey = func(ref string) (policy.PublicKey, error) { return a.publicKey(ctx, ref) }
	verifier, err := f.verifier(a.plugins)
	if err != nil {
		return err
	}
	b := batch{app: a, verifier: verifier, policyFile: f.policyFile, at: f.at, reports: make([]verify.Report, len(images))}
	if b.platform, err = parsePlatform(f.platform); err != nil {
		return err
	}
	ctx, cancel := a.within(ctx, f.list.limit())
	defer cancel()
	b.track = a.track("verifying", len(images), f.list.progress)
	b.comes = f.list.given()
	b.explain = f.explain
	b.run(ctx, images)
	b.track.end(b.notDone)
	a.warnOf(f.at)
	a.warnOfAnyContent(f.attested)
	if b.comes {
		a.summarize(b.reports)
		return errors.Join(b.unprinted, a.enforce(f.audit, worst(b.reports)))
	}
	if err := a.printReports(b.reports, f.explain); err != nil {
		return err
	}
	return a.enforce(f.audit, worst(b.reports))
}

// verifier judges by the policy, or by the keys.
func (f *verifyFlags) verifier(p Plugins) (*verify.Verifier, error) {
	o := verify.Options{Limits: f.limits.Limits}
	var err error
	if o.EvidenceRepository, err = f.evidence.parse(); err != nil {
		return nil, err
	}
	if err := f.limits.check(); err != nil {
		return nil, err
	}
	return f.policyFlags.verifier(p, f.sameRepository, o)
}

func parsePlatform(text string) (*v1.Platform, error) {
	if text == "" {
		return nil, nil
	}
	p, err := registry.ParsePlatform(text)
	if err != nil {
		return nil, usageError("--platform: %w", err)
	}
	return &p, nil
}

// worst is the answer about all images. An undecided image weighs more than a denied
// one, since the answer is then incomplete.
func worst(all []verify.Report) error {
	var answer error
	for _, r := range all {
		switch {
		case r.Status == verify.StatusUndecided:
			return errUndecided
		case r.Status == verify.StatusDenied:
			answer = errDenied
		}
	}
	return answer
}

// batch judges all images of one command.
type batch struct {
	app        *app
	verifier   *verify.Verifier
	policyFile string
	at         atFlag
	platform   *v1.Platform
	reports    []verify.Report // in the order of the arguments
	track      *tracker
	// comes says that reports are printed as they come.
	comes, explain bool
	unprinted      error
	notDone        int // by an interrupt
}

// run judges images that share a store together.
func (b *batch) run(ctx context.Context, images []string) {
	places := make([]place, len(images))
	together := make(map[registry.Store][]int)
	for i, image := range images {
		var err error
		if places[i], err = b.app.locate(image, existing); err != nil {
			b.decide(i, place{image: image}, nil, err)
			continue
		}
		together[places[i].store] = append(together[places[i].store], i)
	}
	for store, members := range together {
		// The same reference may have been given twice.
		waiting := make(map[name.Reference][]int)
		var refs []name.Reference
		for _, i := range members {
			ref := places[i].ref
			refs = append(refs, ref)
			waiting[ref] = append(waiting[ref], i)
		}
		for ref, outcome := range b.verifier.Images(ctx, store, slices.Values(refs), verify.BatchOptions{}) {
			i := waiting[ref][0]
			waiting[ref] = waiting[ref][1:]
			result, err := outcome.Result, outcome.Err
			if err == nil && b.platform != nil {
				result, err = b.verifier.Platform(ctx, store, result, *b.platform)
			}
			b.decide(i, places[i], result, err)
		}
	}
}

func (b *batch) decide(i int, p place, result *verify.Result, err error) {
	b.reports[i] = b.report(p, result, err)
	b.track.step()
	if errors.Is(err, context.Canceled) {
		b.notDone++
	}
	if b.comes {
		b.unprinted = errors.Join(b.unprinted, b.app.printReportNow(b.reports[i], b.explain))
	}
}

// report is the report on an image, with a hint and the digest as the user writes it.
func (b *batch) report(p place, result *verify.Result, err error) verify.Report {
	r := verify.ReportOf(p.image, result, err)
	r.Hint = cmp.Or(limitAdvice("the same command", r.Limit), reasonAdvice[r.Reason])
	switch {
	case r.Status == verify.StatusUndecided:
		r.Hint = adviceOn(err)
	case b.policyFile == "" && strings.Contains(r.Hint, "POLICY"):
		r.Hint = adviceWithoutPolicy
	}
	r.Hint = fill(fill(r.Hint, "POLICY", b.policyFile), "IMAGE", p.image)
	for at := &r; at != nil; at = at.Index {
		at.Image, at.Digest = p.image, p.located(at.Digest)
	}
	b.at.mark(&r)
	reworded(&r)
	return r
}

func (a *app) printReports(all []verify.Report, explain bool) error {
	a.summarize(all)
	if a.json() {
		return a.out.document(all)
	}
	for _, r := range all {
		a.printImage(r, explain)
	}
	return nil
}

func (a *app) printImage(r verify.Report, explain bool) {
	if r.Index != nil {
		r.Evidence = slices.Concat(r.Evidence, r.Index.Evidence)
	}
	a.printReport(r, words{cmp.Or(r.Digest, r.Image), from(r)}, why(r, explain), explain)
}

// printReportNow prints a report while others are still to come.
func (a *app) printReportNow(r verify.Report, explain bool) error {
	var err error
	if a.json() {
		err = a.printLine(r)
	} else {
		a.printImage(r, explain)
	}
	return errors.Join(err, a.out.flush())
}

// summarize counts the decisions about several images.
func (a *app) summarize(all []verify.Report) {
	if len(all) < 2 {
		return
	}
	counts := make(map[verify.Status]int)
	for _, r := range all {
		counts[r.Status]++
	}
	text := fmt.Sprintf("%d images:", len(all))
	for _, s := range []verify.Status{verify.StatusVerified, verify.StatusExempted, verify.StatusWarned, verify.StatusDenied, verify.StatusUndecided} {
		if counts[s] > 0 {
			text += fmt.Sprintf(" %d %s", counts[s], s)
		}
	}
	a.console.say("hallmark: %s", text)
}

// why lists the requirements that were met and those that were not.
func why(r verify.Report, explain bool) (nodes []node) {
	for _, c := range r.DeniedChildren {
		nodes = append(nodes, node{words: words{bad.of("denied"), c.Digest, c.Platform, c.Reason, faint.of("listed in the index")}})
	}
	for _, x := range r.Exemptions {
		nodes = append(nodes, exemptedNode(x))
	}
	if len(r.Unmet) > 1 || len(r.Unmet) == 1 && explain {
		for _, u := range r.Unmet {
			nodes = append(nodes, node{words: words{bad.of("not met"), u.Title, ofTeam(u.Team), string(u.Reason), u.Detail, faint.of("%s", u.Requirement)}})
		}
	}
	nodes = append(nodes, excusedNodes(r)...)
	if !explain {
		return nodes
	}
	if r.Rule != "" {
		nodes = append(nodes, node{words: words{"rule", r.Rule, ofTeam(r.Team), faint.of("policy %s", r.Policy)}})
	}
	for _, m := range r.Requirements {
		n := node{words: words{good.of("met"), m.Title, ofTeam(m.Team), faint.of("%s", m.Requirement)}}
		for _, k := range m.Keys {
			n.add(append(principalWords(k), k.Evidence)...)
		}
		nodes = append(nodes, n)
	}
	if !r.ValidUntil.IsZero() {
		nodes = append(nodes, node{words: words{"valid until", timeText(r.ValidUntil)}})
	}
	return nodes
}

// ofTeam names the team whose file has something. Empty: the policy itself has it.
func ofTeam(team string) string {
	if team == "" {
		return ""
	}
	return "of the team " + team
}

// from names the index or the argument that led to the digest.
func from(r verify.Report) string {
	switch {
	case r.Index != nil:
		return "of index " + digestPart(r.Index.Digest)
	case r.Digest != "" && r.Digest != r.Image:
		return "from " + r.Image
	}
	return ""
}

// maxEvidenceShown keeps many pieces of evidence from hiding the decisions.
const maxEvidenceShown = 50

// printReport prints one line about an image or file. Below it stands the evidence, if
// explain is set or the status is not verified.
func (a *app) printReport(r verify.Report, subject words, why []node, explain bool) {
	n := node{words: append(words{styledStatus(r.Status)}, subject...), children: why}
	if !r.AsOf.IsZero() {
		n.words = append(n.words, doubt.of("as of %s, not of now", timeText(r.AsOf)))
	}
	if r.Status == verify.StatusVerified || r.Status == verify.StatusExempted {
		n.words = append(n.words, "by "+signers(r.Keys))
	} else {
		n.words = append(n.words, string(r.Reason), r.Detail)
		explain = true
	}
	if explain {
		for _, k := range r.Keys {
			if len(k.Claims) > 0 {
				n.add(principalWords(k)...)
			}
		}
		for _, e := range r.Evidence[:min(len(r.Evidence), maxEvidenceShown)] {
			n.children = append(n.children, evidenceNode(e))
		}
		if more := len(r.Evidence) - maxEvidenceShown; more > 0 {
			n.add(fmt.Sprintf("and %d more, which --output json lists", more))
		}
	}
	if r.Hint != "" {
		n.add(hintLabel + r.Hint)
	}
	a.out.tree(n)
}

func styledStatus(s verify.Status) styled {
	switch s {
	case verify.StatusVerified:
		return good.of("verified")
	case verify.StatusDenied:
		return bad.of("denied")
	case verify.StatusWarned, verify.StatusExempted:
		return doubt.of("%s", s)
	}
	return doubt.of("undecided")
}

func evidenceNode(e verify.Evidence) node {
	mark := doubt
	if e.Reason == verify.ReasonCounted {
		mark = good
	}
	words := words{mark.of("%s", e.Reason), string(e.Format), string(e.Place), e.Manifest}
	if e.KeyID != "" {
		words = append(words, "key "+shortID(e.KeyID))
	}
	return node{words: append(words, e.Detail)}
}

// signers lists who has signed: identities, and the names of keys, each with the first
// part of its ID.
func signers(keys []verify.Principal) string {
	var names []string
	for _, k := range keys {
		if who := identityOf(k); who != "" {
			names = append(names, who)
			continue
		}
		names = append(names, k.Name+" ("+shortID(k.ID)+")")
	}
	return strings.Join(names, ", ")
}

// identityOf is whom a certificate names; empty for a key.
func identityOf(k verify.Principal) string {
	return cmp.Or(k.Claims[identityURI], k.Claims[identityEmail], k.Claims[identityUsername])
}

// principalWords say who has signed, and of a certificate what its issuer vouches for.
func principalWords(k verify.Principal) words {
	who := identityOf(k)
	if who == "" {
		return words{"key " + shortID(k.ID), k.Name}
	}
	w := words{who, k.Name, "vouched for by " + k.Claims["issuer"]}
	if source := k.Claims["sourceRepository"]; source != "" {
		w = append(w, "source "+source+" "+k.Claims["sourceRef"])
	}
	if !k.SeenAt.IsZero() {
		w = append(w, "signed by "+timeText(k.SeenAt))
	}
	return w
}

func shortID(id string) string { return id[:min(len(id), 16)] }
