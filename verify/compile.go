package verify

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// compiled is a checked policy in the form that decisions need.
type compiled struct {
	checked *policy.Checked
	// keys are distinct; byHint finds them by the hint of evidence.
	keys   []*trustedKey
	byHint map[string]*trustedKey
	// identities are asked about evidence that offers a certificate.
	identities []*trustedKey
	// clocks are asked about signatures of revoked keys that may stand, and of keys that must
	// be logged.
	clocks []*trustedClock
	roles  map[string]*role
	// together are the keys of roles that one rule names; see keysOf.
	together map[string]map[string]bool
	rules    []*rule
	denied   map[string]string
	// exemptions excuse requirements of rules; nil: the policy has none.
	exemptions *exemptions
	// files is the rule of files; nil: every file is denied.
	files    *rule
	builders map[string]int
	skew     time.Duration
	expires  time.Time
	digest   string // Checked.Digest
}

// trustedKey is a key or an identity of the policy.
type trustedKey struct {
	Name                string
	id                  string
	key                 *sigkey.Key
	identity            policy.Matcher // nil: the key
	authority           string         // of identity
	notBefore, notAfter time.Time
	revoked             bool
	revokedAt           time.Time
	// standsBefore: what is known to have existed before revokedAt and, of an identity, before
	// notAfter counts.
	standsBefore bool
	logged       bool // what no clock or log knows does not count
	// known is whom identity has recognised in a piece of evidence.
	known policy.Recognized
}

// recognised is the identity with whom it has recognised in a piece of evidence. What it
// has signed before its end may stand.
func (k *trustedKey) recognised(known policy.Recognized) *trustedKey {
	who := *k
	who.known = known
	if at := known.SignedAt; k.standsBefore && !at.IsZero() {
		who.revoked = k.revoked && !at.Before(k.revokedAt)
		if at.Before(k.notAfter) {
			who.notAfter = time.Time{}
		}
	}
	who.notAfter = earlier(known.Until, who.notAfter)
	return &who
}

// principal names whom the identity has recognised, among all authorities; empty: a key
// has signed.
func (k *trustedKey) principal() string {
	if k.identity == nil {
		return ""
	}
	return k.authority + " " + k.known.Principal
}

// ID is what thresholds count.
func (k *trustedKey) ID() string { return k.id }

// at says why the key does not count at a time; nil: it counts.
func (k *trustedKey) at(now time.Time) *problem {
	if k.revoked {
		return problemf(ReasonRevokedKey, "the key %s is revoked", k.Name)
	}
	return k.within(now)
}

// within says why a time is outside the key's; nil: it is inside.
func (k *trustedKey) within(now time.Time) *problem {
	switch {
	case !k.notBefore.IsZero() && now.Before(k.notBefore):
		return problemf(ReasonKeyNotYetValid, "the key %s counts only from %s", k.Name, k.notBefore.UTC().Format(time.RFC3339))
	case !k.notAfter.IsZero() && !now.Before(k.notAfter):
		return problemf(ReasonExpiredKey, "the key %s counted only until %s", k.Name, k.notAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// role is a group of keys.
type role struct {
	name      string
	keys      map[string]bool // by ID
	threshold int
}

// rule is a rule with its requirements as a tree.
type rule struct {
	policy.Rule
	team string // whose rule it is; empty: the policy's own
	root *need
	// enforced are those requirements that deny where they are not met; nil: none, the rule
	// warns.
	enforced *need
	// leaves are all of root's, in order.
	leaves []*need
	// places are where evidence is looked for, in the repository evidenceIn. Zero: the
	// image's repository.
	places     []registry.Place
	evidenceIn name.Repository
	// separate are the roles that no key may combine. Empty: duties are not separate.
	separate []*role
	// separatesPeople: identities stand in two of these roles. Only the evidence tells
	// which principals they recognise.
	separatesPeople bool
	// asked are the keys of all roles that the rule names, by ID.
	asked map[string]bool
}

// ofTeam says in a sentence whose rule it is.
func (r *rule) ofTeam() string {
	if r.team == "" {
		return ""
	}
	return " of the team " + r.team
}

// setPlaces leaves out the tags that can hold nothing that is required.
func (r *rule) setPlaces() {
	if slices.ContainsFunc(r.leaves, func(n *need) bool { return n.signature != nil }) {
		r.places = append(r.places, registry.PlaceSignatureTag)
	}
	if slices.ContainsFunc(r.leaves, func(n *need) bool { return n.attestation != nil }) {
		r.places = append(r.places, registry.PlaceAttestationTag)
	}
	r.places = append(r.places, registry.PlaceReferrers)
}

// need is a requirement: a leaf, or a node that any or all of its children must meet.
type need struct {
	// path leads to it in the policy: "rules[0].require[1]".
	path string
	// title names the requirement in words.
	title string

	signature   *policy.SignatureRequirement
	attestation *attestation
	config      *configuration
	role        *role // of signature and attestation
	vexBy       *role
	types       []string // predicate types that attestation asks for
	stepLayout  bool     // attestation is about an in-toto layout

	any      bool
	children []*need
	// leaf is the number of a leaf within its rule.
	leaf int
	// optional leaves are below an anyOf: the rule may be met without them.
	optional bool
}

// mark tells the leaves whether they are optional.
func (n *need) mark(optional bool) {
	n.optional = optional
	for _, child := range n.children {
		child.mark(optional || n.any)
	}
}

// matchesType reports whether the requirement asks for a predicate type.
func (n *need) matchesType(predicateType string) bool {
	return slices.ContainsFunc(n.types, func(uri string) bool { return predicate.SameType(predicateType, uri) })
}

// compile brings a policy into the form that decisions need.
func compile(checked *policy.Checked) (*compiled, error) {
	p := &checked.Policy
	c := &compiled{
		checked: checked, byHint: make(map[string]*trustedKey), roles: make(map[string]*role), together: make(map[string]map[string]bool),
		denied: make(map[string]string, len(p.DenyDigests)), builders: p.Builders, skew: time.Duration(p.ClockSkew), expires: p.Expires, digest: checked.Digest,
	}
	if err := c.addKeys(); err != nil {
		return nil, err
	}
	for _, d := range p.DenyDigests {
		c.denied[d.Digest] = d.Reason
	}
	for name, r := range p.Roles {
		c.roles[name] = c.newRole(name, r)
	}
	for i, r := range p.Rules {
		c.rules = append(c.rules, c.newRule(i, r))
	}
	if err := c.addExemptions(); err != nil {
		return nil, err
	}
	if p.Files != nil {
		c.files = &rule{root: &need{path: "files"}}
		c.files.root.children = c.newNeeds(c.files, "files", p.Files)
		c.files.root.mark(false)
		c.files.asked = c.keysOf(c.files.roles())
	}
	return c, nil
}

// addKeys adds all keys, identities and timestamps, in the order of their names.
func (c *compiled) addKeys() error {
	p := &c.checked.Policy
	for _, name := range slices.Sorted(maps.Keys(p.Keys)) {
		k := p.Keys[name]
		key, err := sigkey.New(k.Public.Public())
		if err != nil {
			return err
		}
		t := &trustedKey{
			Name: k.Public.Name, id: key.ID(), key: key, notBefore: k.NotBefore, notAfter: k.NotAfter,
			revoked: !k.Revoked.IsZero(), revokedAt: k.Revoked, standsBefore: k.StandsBefore, logged: k.Logged,
		}
		c.keys = append(c.keys, t)
		c.byHint[key.Hint()] = t
	}
	for _, name := range slices.Sorted(maps.Keys(p.Identities)) {
		i, m := p.Identities[name], c.checked.Matchers[name]
		c.identities = append(c.identities, &trustedKey{
			Name: name, id: m.ID(), identity: m, authority: i.Authority,
			notAfter: i.NotAfter, revoked: !i.Revoked.IsZero(), revokedAt: i.Revoked, standsBefore: i.StandsBefore,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Timestamps)) {
		c.clocks = append(c.clocks, &trustedClock{name, c.checked.Times[name]})
	}
	return nil
}

func (c *compiled) newRole(name string, r policy.Role) *role {
	made := &role{name: name, keys: make(map[string]bool), threshold: r.Threshold}
	for _, key := range r.Keys {
		made.keys[c.checked.Policy.Keys[key].Public.ID()] = true
	}
	for _, identity := range r.Identities {
		made.keys[c.checked.Matchers[identity].ID()] = true
	}
	return made
}

// ruling names the rule that decides. Zero: none does.
type ruling struct{ pattern, team string }

// ruleOf finds the rule for a repository.
func (c *compiled) ruleOf(repo name.Repository) (r *rule, by ruling, ok bool) {
	index, pattern, ok := c.checked.RuleFor(repo)
	if !ok {
		return nil, ruling{}, false
	}
	r = c.rules[index]
	return r, ruling{pattern, r.team}, true
}

func (c *compiled) newRule(i int, r policy.Rule) *rule {
	from := c.checked.Origin(i)
	made := &rule{Rule: r, team: from.Team}
	if r.Deny {
		return made
	}
	made.root = &need{path: from.Rule + ".require"}
	for n, q := range r.Require {
		made.root.children = append(made.root.children, c.newNeed(made, from.Requirements[n], q))
	}
	made.root.mark(false)
	switch {
	case r.Mode != policy.ModeWarn:
		made.enforced = made.root
	case from.Enforced > 0:
		made.enforced = &need{path: made.root.path, children: made.root.children[:from.Enforced]}
	}
	made.setPlaces()
	if r.EvidenceRepository != "" {
		made.evidenceIn, _ = name.NewRepository(r.EvidenceRepository) // the policy was checked
	}
	roles := made.roles()
	made.asked = c.keysOf(roles)
	if r.SeparateDuties {
		made.setSeparate(c, roles)
	}
	return made
}

// roles are the roles that the rule names, each once.
func (r *rule) roles() (all []*role) {
	for _, leaf := range r.leaves {
		for _, role := range []*role{leaf.role, leaf.vexBy} {
			if role != nil && !slices.Contains(all, role) {
				all = append(all, role)
			}
		}
	}
	return all
}

// keysOf are the keys of roles, by ID. Rules that name the same roles share one map: a
// policy may have many rules and many keys.
func (c *compiled) keysOf(roles []*role) map[string]bool {
	var names []string
	for _, r := range roles {
		names = append(names, r.name)
	}
	slices.Sort(names)
	id := fmt.Sprintf("%q", names)
	keys, known := c.together[id]
	if !known {
		keys = make(map[string]bool)
		for _, r := range roles {
			maps.Copy(keys, r.keys)
		}
		c.together[id] = keys
	}
	return keys
}

// setSeparate keeps apart the roles that the rule names.
func (r *rule) setSeparate(c *compiled, roles []*role) {
	r.separate = roles
	ofPeople := 0
	for _, role := range r.separate {
		if slices.ContainsFunc(c.identities, func(k *trustedKey) bool { return role.keys[k.ID()] }) {
			ofPeople++
		}
	}
	r.separatesPeople = ofPeople > 1
}

func (c *compiled) newNeeds(r *rule, path string, list []policy.Requirement) (all []*need) {
	for i, q := range list {
		all = append(all, c.newNeed(r, fmt.Sprintf("%s[%d]", path, i), q))
	}
	return all
}

func (c *compiled) newNeed(r *rule, path string, q policy.Requirement) *need {
	n := &need{path: path}
	switch {
	case q.AnyOf != nil:
		n.any = true
		n.children = c.newNeeds(r, path+".anyOf", q.AnyOf)
		return n
	case q.AllOf != nil:
		n.children = c.newNeeds(r, path+".allOf", q.AllOf)
		return n
	case q.Signature != nil:
		n.signature, n.role, n.title = q.Signature, c.roles[q.Signature.By], "signature by "+q.Signature.By
	case q.Attestation != nil:
		a := q.Attestation
		n.attestation, n.types, n.stepLayout = newAttestation(a), a.PredicateTypes(), a.AsksForLinks()
		n.attestation.cel = c.expressions(policy.AboutStatement, a.CEL)
		n.role, n.title = c.roles[a.By], "attestation "+a.Type+" by "+a.By
		if a.VEXBy != "" {
			n.vexBy = c.roles[a.VEXBy]
		}
	default:
		n.config, n.title = &configuration{q.Config, c.expressions(policy.AboutConfig, q.Config.CEL)}, "config of the image"
	}
	n.leaf = len(r.leaves)
	r.leaves = append(r.leaves, n)
	return n
}
