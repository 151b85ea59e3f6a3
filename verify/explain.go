package verify

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Explanation says in words what a policy requires of a repository.
type Explanation struct {
	// Repository is its full name.
	Repository string `json:"repository"`
	// Rule is the pattern of the rule that decides. Empty: no rule matches, so every image
	// is denied.
	Rule string `json:"rule,omitempty"`
	// Team is the team whose file has the rule. Requirements are then those of the policy
	// itself as well. Empty: it is the policy's own.
	Team string `json:"team,omitempty"`
	// Mode is how the rule is applied: enforce, warn or deny.
	Mode policy.Mode `json:"mode,omitempty"`
	// Reason is why a rule denies.
	Reason string `json:"reason,omitempty"`
	// EvidenceRepository holds the evidence. Empty: the image's repository does.
	EvidenceRepository string `json:"evidenceRepository,omitempty"`
	// Requirements are the rule's, as a tree.
	Requirements []Explained `json:"requirements,omitempty"`
	// Files is what the policy requires of files, which have no rule.
	Files []Explained `json:"files,omitempty"`
	// NextEnd is the next of policy.Policy.Ends, of whatever part of the policy, and Days
	// the whole days until then. Nil: nothing ends later.
	NextEnd *policy.End `json:"nextEnd,omitempty"`
	Days    int         `json:"daysToNextEnd,omitempty"`
}

// Explained is a requirement in words.
type Explained struct {
	// Requirement is its path in the policy. Text says what is required.
	Requirement string `json:"requirement"`
	Text        string `json:"text"`
	// Conditions are what evidence must meet to count.
	Conditions []string `json:"conditions,omitempty"`
	// Exemptions are those from the requirement in the repository, also those that have
	// ended.
	Exemptions []policy.Exemption `json:"exemptions,omitempty"`
	// Of are the requirements of "any of these" and "all of these".
	Of []Explained `json:"of,omitempty"`
}

// modeDeny is how an Explanation calls a rule that denies.
const modeDeny policy.Mode = "deny"

// Explain says in words what the policy requires of a repository. It reads nothing.
func (v *Verifier) Explain(repo name.Repository) *Explanation {
	e := &Explanation{Repository: repo.Name()}
	if end, ok := v.policy.checked.Policy.NextEnd(v.o.Now()); ok {
		e.NextEnd, e.Days = &end, end.Days(v.o.Now())
	}
	if v.policy.files != nil {
		e.Files = v.policy.explain(v.policy.files.root, repo).Of
	}
	r, by, ok := v.policy.ruleOf(repo)
	if !ok {
		return e
	}
	e.Rule, e.Team, e.Mode = by.pattern, by.team, r.Mode
	switch {
	case r.Deny:
		e.Mode, e.Reason = modeDeny, r.Reason
		return e
	case e.Mode == "":
		e.Mode = policy.ModeEnforce
	}
	if at := v.o.evidenceAt(r, repo.Digest("")).Context(); at != repo {
		e.EvidenceRepository = at.Name()
	}
	partly := r.Mode == policy.ModeWarn && r.enforced != nil
	if partly {
		e.Mode = policy.ModeEnforce
	}
	for i, n := range r.root.children {
		x := v.policy.explain(n, repo)
		if partly && i >= len(r.enforced.children) {
			x.Conditions = append(x.Conditions, "not enforced: the policy's own rule only warns")
		}
		e.Requirements = append(e.Requirements, x)
	}
	return e
}

func (c *compiled) explain(n *need, repo name.Repository) Explained {
	x := Explained{Requirement: n.path, Exemptions: c.exemptions.in(repo, n)}
	switch {
	case n.signature != nil:
		x.Text = "a signature by " + c.who(n.role)
		for _, key := range sortedKeys(n.signature.Annotations) {
			x.Conditions = append(x.Conditions, fmt.Sprintf("with the annotation %s=%s", key, n.signature.Annotations[key]))
		}
		if age := n.signature.MaxAge; age != 0 {
			x.Conditions = append(x.Conditions, fmt.Sprintf("made at most %s ago", time.Duration(age)))
		}
		if n.signature.SameRepository {
			x.Conditions = append(x.Conditions, "made for this repository")
		}
	case n.attestation != nil:
		x.Text = fmt.Sprintf("an attestation of type %s by %s", n.attestation.Type, c.who(n.role))
		x.Conditions = n.attestation.words()
	case n.config != nil:
		x.Text, x.Conditions = "of the image itself", n.config.words()
	default:
		x.Text = "all of these"
		if n.any {
			x.Text = "any of these"
		}
		for _, child := range n.children {
			x.Of = append(x.Of, c.explain(child, repo))
		}
	}
	return x
}

// who names a role and its keys.
func (c *compiled) who(r *role) string {
	var names []string
	for _, k := range slices.Concat(c.keys, c.identities) {
		if !r.keys[k.ID()] {
			continue
		}
		text := k.Name
		if k.revoked {
			text += k.revokedWords()
		} else if !k.notAfter.IsZero() {
			text += " (until " + k.notAfter.UTC().Format(time.RFC3339) + ")"
		}
		if k.logged {
			text += " (logged)"
		}
		names = append(names, text)
	}
	of := ""
	if len(names) > 1 {
		of = fmt.Sprintf("%d of ", r.threshold)
	}
	return fmt.Sprintf("%s: %s%s", r.name, of, strings.Join(names, ", "))
}

// words lists the conditions that are set, in the order of their fields.
func (a attestation) words() []string {
	var all []string
	add := func(set bool, format string, args ...any) {
		if set {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	list := func(what string, values []string) {
		add(len(values) > 0, "%s: %s", what, strings.Join(values, " or "))
	}
	add(a.AcceptAnyContent, "whatever it says")
	for _, m := range a.Where {
		add(true, "%s: %s", m.Pointer, memberCondition{m}.words())
	}
	add(a.MaxAge != 0 && a.MaxAgeFrom == "", "not older than %s", time.Duration(a.MaxAge))
	add(a.MaxAgeFrom == policy.AgeFromSignature, "signed at most %s ago", time.Duration(a.MaxAge))
	list("builder", a.Builder)
	add(a.MinLevel > 0, "builder trusted to reach SLSA level %d", a.MinLevel)
	list("source", a.Source)
	list("ref", a.Ref)
	list("commit", a.Commit)
	list("build type", a.BuildType)
	add(a.BoundToCertificate, "builder, source, ref and commit as the signer's certificate says")
	for _, key := range sortedKeys(a.Parameters) {
		add(true, "external parameter %s is %v", key, a.Parameters[key])
	}
	add(len(a.AbsentParameters) > 0, "no external parameter %s", strings.Join(a.AbsentParameters, " or "))
	add(a.OnlyKnownParameters, "no other external parameters than %s", strings.Join(append(sortedKeys(a.Parameters), a.KnownParameters...), ", "))
	add(!a.BuiltAfter.IsZero(), "built after %s", a.BuiltAfter.UTC().Format(time.RFC3339))
	add(a.MaxSeverity == policy.SeverityNone, "nothing found")
	add(a.MaxSeverity != "" && a.MaxSeverity != policy.SeverityNone, "nothing worse than %s found", a.MaxSeverity)
	for _, x := range a.Accept {
		add(true, "but for %s until %s: %s", x.ID, x.Until.UTC().Format(time.RFC3339), x.Reason)
	}
	add(a.VEXBy != "", "but for what OpenVEX documents by %s call not_affected or fixed", a.VEXBy)
	add(a.VEXMaxAge != 0, "OpenVEX statements not older than %s", time.Duration(a.VEXMaxAge))
	list("without the package", a.DenyPackages)
	list("without the licence", a.DenyLicenses)
	list("result", a.Result)
	list("verifier", a.Verifier)
	list("resource", a.Resource)
	add(len(a.VerifiedLevels) > 0, "reaches %s", strings.Join(a.VerifiedLevels, " and "))
	add(a.PolicyURI != "", "by the policy %s", a.PolicyURI)
	add(a.PolicyDigest != "", "by the policy %s", a.PolicyDigest)
	add(a.Layout != "", "its links complete the layout %s", a.Layout)
	return all
}

func (q configuration) words() []string {
	var all []string
	add := func(set bool, format string, args ...any) {
		if set {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(q.NonRoot, "does not run as root")
	add(q.NoSecrets, "holds nothing that looks like a secret in its config")
	add(q.NoPrivilegedPorts, "exposes no port below 1024")
	add(q.CreatedWithin != 0, "created within %s", time.Duration(q.CreatedWithin))
	add(len(q.BaseImages) > 0, "base image: %s", strings.Join(q.BaseImages, " or "))
	add(len(q.Platforms) > 0, "platform: %s", strings.Join(q.Platforms, " or "))
	for _, key := range sortedKeys(q.Labels) {
		add(true, "label %s=%s", key, q.Labels[key])
	}
	for _, key := range sortedKeys(q.Annotations) {
		add(true, "annotation %s=%s", key, q.Annotations[key])
	}
	add(q.MinVersion != "", "version %s or higher", q.MinVersion)
	return all
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// LogValue implements slog.LogValuer: the Report's fields, shortened.
func (r *Result) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("status", string(r.status())), slog.String("image", r.Reference), slog.String("digest", digestText(r.Digest)),
		slog.String("policy", r.PolicyDigest), slog.String("rule", r.Rule), slog.String("team", r.Team), slog.Any("keys", keyIDs(r.Keys)),
	}
	if !r.ValidUntil.IsZero() {
		attrs = append(attrs, slog.Time("validUntil", r.ValidUntil))
	}
	if r.Warning != nil {
		attrs = append(attrs, r.Warning.why()...)
	}
	return slog.GroupValue(attrs...)
}

// LogValue implements slog.LogValuer: the Report's fields, shortened.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(append([]slog.Attr{
		slog.String("status", string(StatusDenied)), slog.String("image", e.Reference), slog.String("digest", digestText(e.Digest)),
		slog.String("policy", e.PolicyDigest), slog.String("rule", e.Rule), slog.String("team", e.Team),
	}, e.why()...)...)
}

func (e *Error) why() []slog.Attr {
	unmet := make([]string, 0, len(e.Unmet))
	for _, u := range e.Unmet {
		unmet = append(unmet, u.Requirement+": "+string(u.Reason))
	}
	return []slog.Attr{
		slog.String("reason", string(e.Reason)), slog.String("detail", e.Detail), slog.Any("unmet", unmet), slog.String("evidence", summary(e.Evidence)),
	}
}

func keyIDs(keys []Principal) []string {
	ids := make([]string, 0, len(keys))
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}
