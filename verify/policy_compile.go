package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/pattern"
	"github.com/hallmark-oci/hallmark/registry"
)

// Bounds of a policy.
const (
	maxKeys         = 10_000
	maxRules        = 100_000
	maxRequirements = 1000 // of one rule
	maxNesting      = 8
	defaultSkew     = 5 * time.Minute
)

// compiled is a policy that has been checked, in the form that decisions need.
type compiled struct {
	// keys are distinct; byHint finds them by the hint of evidence.
	keys   []*trustedKey
	byHint map[string]*trustedKey
	// identities are asked about evidence that offers a certificate.
	identities []*trustedKey
	// clocks are asked about signatures of revoked keys that may stand.
	clocks []*trustedClock
	// changing are the authorities behind both whose trust may change.
	changing []ChangingAuthority
	roles    map[string]*role
	// together are the keys of roles that rules name together; see keysOf.
	together map[string]map[string]bool
	rules    []*rule
	// patterns find the rule of a repository.
	patterns *pattern.Set
	denied   map[string]string
	// files is what files need; nil: nothing that they have counts.
	files    *need
	builders map[string]int
	skew     time.Duration
	expires  time.Time
	serial   int64
	// digest identifies the policy: the SHA-256 of its canonical form, with the
	// keys themselves in place of files.
	digest string
}

// trustedKey is a key of the policy, or an identity in place of one.
type trustedKey struct {
	Key
	identity            Identity // nil: the key
	authority           string   // of identity
	who                 string   // whom identity has recognised in a piece of evidence
	notBefore, notAfter time.Time
	revoked             bool
	revokedAt           time.Time // of a key
	standsBefore        bool      // what clocks have seen before revokedAt
}

// ID is what thresholds count.
func (k *trustedKey) ID() string {
	if k.identity != nil {
		return k.identity.ID()
	}
	return k.Key.ID()
}

// at says why the key does not count at a time; nil: it does.
func (k *trustedKey) at(now time.Time) *problem {
	if k.revoked {
		return problemf(ReasonRevokedKey, "the key %s is revoked", k.Name)
	}
	return k.within(now)
}

// within says why a time is none of the key's; nil: it is one.
func (k *trustedKey) within(now time.Time) *problem {
	switch {
	case !k.notBefore.IsZero() && now.Before(k.notBefore):
		return problemf(ReasonKeyNotYetValid, "the key %s counts from %s", k.Name, k.notBefore.UTC().Format(time.RFC3339))
	case !k.notAfter.IsZero() && !now.Before(k.notAfter):
		return problemf(ReasonExpiredKey, "the key %s counted until %s", k.Name, k.notAfter.UTC().Format(time.RFC3339))
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
	Rule
	index int
	root  *need
	// leaves are all of root's, in order.
	leaves []*need
	// places are where evidence is looked for.
	places []registry.Place
	// separate are the roles in two of which nobody may stand; none where the rule
	// does not separate duties.
	separate []*role
	// separatesPeople: identities stand in two of them, so that who has signed is
	// known only from the evidence.
	separatesPeople bool
	// asked are the keys, by ID, of all roles that it names.
	asked map[string]bool
}

// setPlaces leaves out the tags that can hold nothing of what is required.
func (r *rule) setPlaces() {
	if slices.ContainsFunc(r.leaves, func(n *need) bool { return n.signature != nil }) {
		r.places = append(r.places, registry.PlaceSignatureTag)
	}
	if slices.ContainsFunc(r.leaves, func(n *need) bool { return n.attestation != nil }) {
		r.places = append(r.places, registry.PlaceAttestationTag)
	}
	r.places = append(r.places, registry.PlaceReferrers)
}

// need is a requirement: a leaf, or a node that is met by any or all of others.
type need struct {
	// path leads to it in the policy: "rules[0].require[1]".
	path string
	// title says in words what is needed.
	title string

	signature   *SignatureRequirement
	attestation *AttestationRequirement
	config      *ConfigRequirement
	role        *role // of signature and attestation
	vexBy       *role
	types       []string // predicate types that attestation asks for
	layout      bool     // attestation is about an in-toto layout

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

// matchesType reports whether a predicate type is what an attestation must have.
func (n *need) matchesType(predicateType string) bool {
	for _, uri := range n.types {
		if isOfType(predicateType, uri) {
			return true
		}
	}
	return false
}

// compile checks a policy. Errors are of type *fault.
func compile(p *Policy, linked map[string]Authority) (*compiled, error) {
	c := &compiled{byHint: make(map[string]*trustedKey), roles: make(map[string]*role), together: make(map[string]map[string]bool), builders: maps.Clone(p.Builders)}
	if p.Version != 1 {
		return nil, faultf("version", "is %d; this program knows version 1", p.Version)
	}
	p, err := p.withParsedKeys()
	if err != nil {
		return nil, err
	}
	if err := c.addKeys(p); err != nil {
		return nil, err
	}
	if err := c.addIdentities(p, linked); err != nil {
		return nil, err
	}
	if err := c.addClocks(p, linked); err != nil {
		return nil, err
	}
	c.addChanging(p, linked)
	for _, step := range []func(*Policy) error{c.addRoles, c.addSettings, c.addRules, c.addFiles} {
		if err := step(p); err != nil {
			return nil, err
		}
	}
	return c, c.sum(p)
}

// withParsedKeys is the policy with the keys that Go code gives as PEM; the
// caller's own stays as it is.
func (p *Policy) withParsedKeys() (*Policy, error) {
	parsed := *p
	parsed.Keys = maps.Clone(p.Keys)
	for name, k := range p.Keys {
		if k.Key.key != nil || k.PEM == "" {
			continue
		}
		var err error
		if k.Key, err = ParseKey([]byte(k.PEM)); err != nil {
			return nil, faultf("keys."+name, "is no usable public key: %w", err)
		}
		parsed.Keys[name] = k
	}
	return &parsed, nil
}

// deniesAll reports whether the policy is a freeze: every rule denies, and files need
// nothing that they could have. It needs no key.
func (p *Policy) deniesAll() bool {
	return len(p.Rules) > 0 && p.Files == nil && !slices.ContainsFunc(p.Rules, func(r Rule) bool { return !r.Deny })
}

func (c *compiled) addKeys(p *Policy) error {
	if len(p.Keys)+len(p.Identities) == 0 && !p.deniesAll() {
		return faultf("keys", "has no key: a policy that trusts nobody allows nothing; to deny everything, give rules that all deny")
	}
	if len(p.Keys) > maxKeys {
		return faultf("keys", "has more than %d keys", maxKeys)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Keys)) {
		k, path := p.Keys[name], "keys."+name
		switch {
		case k.Key.key == nil:
			return faultf(path, "has no key; use NewKey, ParseKey or LoadKey, and for a file LoadPolicy")
		case !k.NotBefore.IsZero() && !k.NotAfter.IsZero() && !k.NotBefore.Before(k.NotAfter):
			return faultf(path, "never counts: notAfter is not after notBefore")
		case k.StandsBefore && k.Revoked.IsZero():
			return faultf(path+".standsBefore", "is about a key that is revoked, and this one is not")
		case k.StandsBefore && len(p.Timestamps) == 0:
			return faultf(path+".standsBefore", "needs timestamps: nobody says when a signature was there")
		}
		if first, twice := c.byHint[k.Key.key.Hint()]; twice {
			return faultf(path, "is the same key as %s, %s", first.Name, k.Key.ID())
		}
		t := &trustedKey{
			Key: k.Key, notBefore: k.NotBefore, notAfter: k.NotAfter,
			revoked: !k.Revoked.IsZero(), revokedAt: k.Revoked, standsBefore: k.StandsBefore,
		}
		if t.Name == "" {
			t.Name = name
		}
		c.keys = append(c.keys, t)
		c.byHint[k.Key.key.Hint()] = t
	}
	return nil
}

func (c *compiled) addRoles(p *Policy) error {
	if len(p.Roles) == 0 && !p.deniesAll() {
		return faultf("roles", "has no role")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Roles)) {
		made, err := c.newRole(p, name)
		if err != nil {
			return err
		}
		c.roles[name] = made
	}
	return nil
}

// newRole counts revoked keys too: a policy that revokes a key must not be
// refused for it, or the policy before would go on to trust the key.
func (c *compiled) newRole(p *Policy, name string) (*role, error) {
	r, path := p.Roles[name], "roles."+name
	made := &role{name: name, keys: make(map[string]bool), threshold: r.Threshold}
	for i, key := range r.Keys {
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		k, known := p.Keys[key]
		if !known {
			return nil, faultf(at, "names the key %.100q, which is not among keys", key)
		}
		if made.keys[k.Key.ID()] {
			return nil, faultf(at, "names the key %.100q a second time", key)
		}
		made.keys[k.Key.ID()] = true
	}
	if err := c.addMembers(made, r.Identities, path); err != nil {
		return nil, err
	}
	switch all := len(made.keys); {
	case all == 0:
		return nil, faultf(path, "has no keys")
	case r.Threshold == 0 && all == 1 && !r.noDefault:
		made.threshold = 1
	case r.Threshold < 1 || r.Threshold > all:
		return nil, faultf(path, "has threshold %d with %d distinct keys; say how many of them must sign", r.Threshold, all)
	}
	return made, nil
}

// addMembers adds the identities of a role.
func (c *compiled) addMembers(to *role, names []string, path string) error {
	for i, name := range names {
		at := fmt.Sprintf("%s.identities[%d]", path, i)
		n := slices.IndexFunc(c.identities, func(k *trustedKey) bool { return k.Name == name })
		switch {
		case n < 0:
			return faultf(at, "names the identity %.100q, which is not among identities", name)
		case to.keys[c.identities[n].ID()]:
			return faultf(at, "names the identity %.100q a second time", name)
		}
		to.keys[c.identities[n].ID()] = true
	}
	return nil
}

func (c *compiled) addSettings(p *Policy) error {
	if c.skew = time.Duration(p.ClockSkew); c.skew == 0 {
		c.skew = defaultSkew
	}
	if c.skew < 0 || c.skew > 24*time.Hour {
		return faultf("clockSkew", "is %s, want at most 24h", c.skew)
	}
	for _, id := range slices.Sorted(maps.Keys(p.Builders)) {
		if level := p.Builders[id]; level < 1 || level > 4 {
			return faultf("builders."+id, "has level %d, want 1 to 4", level)
		}
	}
	if p.Serial < 0 {
		return faultf("serial", "is %d, want 1 or more", p.Serial)
	}
	c.expires, c.serial = p.Expires, p.Serial
	c.denied = make(map[string]string, len(p.DenyDigests))
	for i, d := range p.DenyDigests {
		path := fmt.Sprintf("denyDigests[%d]", i)
		if !isDigest(d.Digest) {
			return faultf(path, "needs a digest as in sha256:…, with 64 lower-case hex digits")
		}
		if d.Reason == "" {
			return faultf(path, "needs a reason")
		}
		c.denied[d.Digest] = d.Reason
	}
	return nil
}

func isDigest(s string) bool {
	hexDigits, found := strings.CutPrefix(s, "sha256:")
	raw, err := hex.DecodeString(hexDigits)
	return found && err == nil && len(raw) == 32 && strings.ToLower(s) == s
}

func (c *compiled) addRules(p *Policy) error {
	if len(p.Rules) == 0 {
		return faultf("rules", "has no rule: nothing would be allowed")
	}
	if len(p.Rules) > maxRules {
		return faultf("rules", "has more than %d rules", maxRules)
	}
	var entries []pattern.Entry
	for i, r := range p.Rules {
		made, err := c.newRule(i, r)
		if err != nil {
			return err
		}
		c.rules = append(c.rules, made)
		for n, text := range r.Images {
			parsed, err := pattern.Parse(text)
			if err != nil {
				return &fault{fmt.Sprintf("rules[%d].images[%d]", i, n), err}
			}
			entries = append(entries, pattern.Entry{Pattern: parsed, Rule: i})
		}
	}
	var err error
	c.patterns, err = pattern.NewSet(entries)
	var conflict *pattern.ConflictError
	if errors.As(err, &conflict) {
		return faultf(fmt.Sprintf("rules[%d].images", conflict.B.Rule), "is ambiguous with rules[%d]: %w; add a rule that is more specific than both, or change one", conflict.A.Rule, err)
	}
	if err != nil {
		return &fault{"rules", err}
	}
	return nil
}

func (c *compiled) addFiles(p *Policy) (err error) {
	if p.Files == nil {
		return nil
	}
	if c.files, err = c.newNeed(&rule{}, "files", Requirement{Signature: p.Files}, 1); err != nil {
		return err
	}
	if p.Files.SameRepository {
		return faultf("files.sameRepository", "is about images: files are in no repository")
	}
	if len(p.Roles[p.Files.By].Identities) > 0 {
		return faultf("files.by", "names the role %s, which has identities; those count for images only", p.Files.By)
	}
	return nil
}

func (c *compiled) newRule(i int, r Rule) (*rule, error) {
	path := fmt.Sprintf("rules[%d]", i)
	made := &rule{Rule: r, index: i}
	switch {
	case len(r.Images) == 0:
		return nil, faultf(path, "needs images: the repositories that it is about")
	case r.Mode != "" && r.Mode != ModeEnforce && r.Mode != ModeWarn:
		return nil, faultf(path+".mode", "is %.40q, want %s or %s", r.Mode, ModeEnforce, ModeWarn)
	case r.Deny && (len(r.Require) > 0 || r.Mode == ModeWarn || r.SeparateDuties):
		return nil, faultf(path, "denies, so that it cannot require anything, warn or separate duties")
	case r.Deny && r.Reason == "":
		return nil, faultf(path, "denies and needs a reason, for whoever asks")
	case r.Deny:
		return made, nil
	case r.Reason != "":
		return nil, faultf(path+".reason", "is that of a denial; with require there is none")
	case len(r.Require) == 0:
		return nil, faultf(path, "requires nothing; say what is needed, or deny")
	}
	var err error
	made.root, err = c.newNeed(made, path+".require", Requirement{AllOf: r.Require}, 0)
	if err != nil {
		return nil, err
	}
	made.root.mark(false)
	made.setPlaces()
	roles := made.roles()
	made.asked = c.keysOf(roles)
	if r.SeparateDuties {
		made.setSeparate(c, roles)
		err = made.keysAreSeparate(c)
	}
	return made, err
}

// roles are those that the rule names, each once.
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

// keysOf are the keys of roles, by ID. Rules that name the same roles share one map:
// there may be many rules, and many keys.
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

// setSeparate makes the roles that the rule names separate.
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

// keysAreSeparate refuses a key in two roles that are to be separate.
func (r *rule) keysAreSeparate(c *compiled) error {
	for i, a := range r.separate {
		for _, b := range r.separate[:i] {
			for _, k := range slices.Concat(c.keys, c.identities) {
				if a.keys[k.ID()] && b.keys[k.ID()] {
					return faultf(fmt.Sprintf("rules[%d].separateDuties", r.index), "is not kept: the key %s is in the roles %s and %s", k.Name, b.name, a.name)
				}
			}
		}
	}
	return nil
}

func (c *compiled) newNeed(r *rule, path string, q Requirement, depth int) (*need, error) {
	q = q.own()
	n := &need{path: path, signature: q.Signature, attestation: q.Attestation, config: q.Config}
	if q.Attestation != nil {
		n.types, n.layout = q.Attestation.uris(), q.Attestation.kind() == kindLayout
	}
	set := 0
	for _, is := range []bool{q.Signature != nil, q.Attestation != nil, q.Config != nil, q.AnyOf != nil, q.AllOf != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return nil, faultf(path, "needs exactly one of signature, attestation, config, anyOf and allOf")
	case depth > maxNesting:
		return nil, faultf(path, "nests deeper than %d", maxNesting)
	case q.AnyOf != nil:
		n.any = true
		return n, c.newChildren(r, n, path+".anyOf", q.AnyOf, depth)
	case q.AllOf != nil:
		list := path + ".allOf"
		if depth == 0 {
			list = path // the rule's own list
		}
		return n, c.newChildren(r, n, list, q.AllOf, depth)
	}
	if len(r.leaves) >= maxRequirements {
		return nil, faultf(path, "is more than %d requirements", maxRequirements)
	}
	n.leaf = len(r.leaves)
	r.leaves = append(r.leaves, n)
	return n, c.leaf(n)
}

func (c *compiled) newChildren(r *rule, n *need, path string, list []Requirement, depth int) error {
	if len(list) == 0 {
		return faultf(path, "is empty: it would be met by nothing, or by everything")
	}
	for i, q := range list {
		child, err := c.newNeed(r, fmt.Sprintf("%s[%d]", path, i), q, depth+1)
		if err != nil {
			return err
		}
		n.children = append(n.children, child)
	}
	return nil
}

func (c *compiled) leaf(n *need) error {
	var by string
	switch {
	case n.signature != nil:
		by, n.title = n.signature.By, "signature by "+n.signature.By
	case n.attestation != nil:
		by, n.title = n.attestation.By, "attestation "+n.attestation.Type+" by "+n.attestation.By
		err := n.attestation.check()
		if err == nil {
			err = n.attestation.reachable(c.builders)
		}
		if err != nil {
			return &fault{n.path + ".attestation", err}
		}
		if vex := n.attestation.VEXBy; vex != "" {
			if n.vexBy = c.roles[vex]; n.vexBy == nil {
				return faultf(n.path+".attestation.vexBy", "names the role %.100q, which is not among roles", vex)
			}
		}
	default:
		n.title = "config of the image"
		if err := n.config.check(); err != nil {
			return &fault{n.path + ".config", err}
		}
		return nil
	}
	if by == "" {
		return faultf(n.path, "needs by: the role whose keys count")
	}
	if n.role = c.roles[by]; n.role == nil {
		return faultf(n.path, "names the role %.100q, which is not among roles", by)
	}
	if owners := slices.DeleteFunc(slices.Clone(c.keys), func(k *trustedKey) bool { return !n.role.keys[k.ID()] }); n.layout && len(owners) < n.role.threshold {
		return faultf(n.path, "needs %d owners of its layout, and the role %s has %d keys: identities own no layout", n.role.threshold, by, len(owners))
	}
	return nil
}

// sum identifies the policy by its content: encoding/json sorts maps, and the
// keys stand in for the files that they were read from.
func (c *compiled) sum(p *Policy) error {
	type key struct {
		ID                           string
		NotBefore, NotAfter, Revoked time.Time
		StandsBefore                 bool
	}
	canonical := struct {
		Policy
		Keys       map[string]key
		Identities []string // IDs in the order of their names
		Clocks     []string // likewise
		Layouts    [][]byte
	}{Policy: *p, Keys: make(map[string]key, len(p.Keys))}
	for _, i := range c.identities {
		canonical.Identities = append(canonical.Identities, fmt.Sprintf("%s %t %s", i.Name, i.revoked, i.ID()))
	}
	for _, t := range c.clocks {
		canonical.Clocks = append(canonical.Clocks, t.name+" "+t.clock.ID())
	}
	for name, k := range p.Keys {
		canonical.Keys[name] = key{k.Key.ID(), k.NotBefore, k.NotAfter, k.Revoked, k.StandsBefore}
	}
	canonical.Policy.Keys = nil
	for _, r := range c.rules {
		for _, leaf := range r.leaves {
			if leaf.layout {
				canonical.Layouts = append(canonical.Layouts, leaf.attestation.LayoutEnvelope)
			}
		}
	}
	text, err := json.Marshal(canonical)
	if err != nil {
		return &fault{"", err}
	}
	sum := sha256.Sum256(text)
	c.digest = "sha256:" + hex.EncodeToString(sum[:])
	return nil
}
