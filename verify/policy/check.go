package policy

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

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/internal/pattern"
)

// Bounds of a policy.
const (
	maxKeys         = 10_000
	maxRules        = 100_000
	maxRequirements = 1000 // of one rule
	// Rules that use shared requirements have them each for itself.
	maxAllRequirements = 300_000  // of all rules
	maxAllLayouts      = 64 << 20 // bytes, of all rules
	maxAllBytes        = 64 << 20 // of the requirements of all rules, as JSON
	maxNesting         = 8
	defaultSkew        = 5 * time.Minute
)

// Checked is a policy that passed all checks, with its names resolved.
type Checked struct {
	// Policy is a copy: later changes to the original have no effect. Its keys are parsed,
	// and ClockSkew and Role.Threshold have their defaults. What teams say is part of it: a
	// key of theirs is TEAM/NAME, and their rules stand last; see Origin.
	Policy Policy
	// Matchers are those of Policy.Identities, Times those of Policy.Timestamps, by name.
	Matchers map[string]Matcher
	Times    map[string]TimeMatcher
	// Changing are the named authorities whose trust may change, in the order of their
	// names.
	Changing []ChangingAuthority
	// Expressions are the compiled expressions of all requirements, by their texts.
	Expressions map[ExpressionAbout]map[string]Expression
	// Digest identifies the policy, "sha256:…". Equal policies have equal digests.
	Digest string

	patterns *pattern.Set
	// teamPatterns are those of the rules of teams; nil: there are no teams. joined are the
	// rules that teams and the policy make together, by those that they are made of. origins
	// are where those rules stand, which are the last of Policy.Rules.
	teamPatterns *pattern.Set
	joined       map[together]int
	origins      []Origin
	// excused are the exemptions of the requirement at a path, by their indexes.
	excused map[string][]int
	// excusedIn are the patterns of the rules that each exemption is about.
	excusedIn [][][]string
}

// RuleFor finds the rule for a repository: its index in Policy.Rules, and the pattern that
// decides. A pattern of a team goes before the policy's own, unless the latter denies.
func (c *Checked) RuleFor(repo name.Repository) (index int, pattern string, ok bool) {
	entry, ok := c.patterns.Match(repo)
	if c.teamPatterns != nil {
		return c.teamRuleFor(repo, entry, ok)
	}
	if !ok {
		return 0, "", false
	}
	return entry.Rule, entry.Pattern.String(), true
}

// Check checks a policy with the authorities that are linked. It refuses with ErrInvalid
// what cannot be intended:
//
//   - no keys, roles or rules, unless every rule denies;
//   - a zero PublicKey, one key under two names, or one key twice in a role;
//   - a threshold below 1 or above the number of distinct keys;
//   - a rule that requires nothing;
//   - a name that the policy does not define;
//   - a pattern that can never match; two rules whose patterns match one repository while
//     neither is more specific;
//   - provenance without builder IDs, scans without a severity, VSAs without a verifier;
//   - one key in two roles of a rule with separateDuties;
//   - a condition that only signatures by identities can meet, of a role that has too few;
//   - a team's file that is about other images than the policy gives to the team, or says
//     more than Team allows; two teams with patterns for one repository;
//   - an exemption without images, digests, reason, author or end, or that can never hold.
func (p *Policy) Check(linked map[string]Authority) (*Checked, error) {
	c, err := check(p, linked)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c, nil
}

// checking is a policy under check. Errors are of type *fault.
type checking struct {
	*Checked
	linked map[string]Authority
	// leaves counts the requirements of the current rule, roles are the names of its roles,
	// each once.
	leaves int
	roles  []string
	// all counts the requirements of all rules, bytes theirs as JSON, layoutBytes the bytes
	// of their layouts.
	all, bytes, layoutBytes int
	// layouts are those of all rules.
	layouts [][]byte
	// exempting is for the check of exemptions.
	exempting exempting
}

func check(p *Policy, linked map[string]Authority) (*Checked, error) {
	if p == nil {
		return nil, errors.New("there is none")
	}
	if p.Version != 1 {
		return nil, faultf("version", "is %d; this program knows version 1", p.Version)
	}
	p, err := p.merged()
	if err != nil {
		return nil, err
	}
	c := &checking{Checked: &Checked{Policy: *p, Matchers: make(map[string]Matcher), Times: make(map[string]TimeMatcher), Expressions: make(map[ExpressionAbout]map[string]Expression)}, linked: linked, exempting: newExempting(p)}
	c.own()
	for _, step := range []func() error{
		c.parseKeys, c.checkKeys, c.findIdentities, c.findTimes, c.checkRoles, c.checkSettings, c.checkShared, c.checkRules, teamRules{c}.join, func() error { return c.exempting.check(c.Checked) }, c.checkFiles, c.sum,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	c.fillIn()
	return c.Checked, nil
}

// own copies the policy. Requirements are copied when they are checked.
func (c *checking) own() {
	p := &c.Policy
	p.Keys, p.Roles, p.Identities, p.Timestamps = maps.Clone(p.Keys), maps.Clone(p.Roles), maps.Clone(p.Identities), maps.Clone(p.Timestamps)
	for name, r := range p.Roles {
		r.Keys, r.Identities = slices.Clone(r.Keys), slices.Clone(r.Identities)
		p.Roles[name] = r
	}
	p.Requirements = maps.Clone(p.Requirements)
	p.Builders, p.DenyDigests, p.Rules = maps.Clone(p.Builders), slices.Clone(p.DenyDigests), slices.Clone(p.Rules)
	p.Exemptions = slices.Clone(p.Exemptions)
	if p.Limits != nil {
		limits := *p.Limits
		p.Limits = &limits
	}
}

// parseKeys parses the keys that Go code gives as PEM.
func (c *checking) parseKeys() error {
	for name, k := range c.Policy.Keys {
		if k.Public.key != nil || k.PEM == "" {
			continue
		}
		var err error
		if k.Public, err = ParsePublicKey([]byte(k.PEM)); err != nil {
			return faultf(c.Policy.pathOf("keys", name), "is not a usable public key: %w", err)
		}
		c.Policy.Keys[name] = k
	}
	return nil
}

// deniesAll reports whether the policy is a freeze: every rule denies, and so does the
// absence of Files. A freeze needs no key.
func (p *Policy) deniesAll() bool {
	return len(p.Rules) > 0 && p.Files == nil && !slices.ContainsFunc(p.Rules, func(r Rule) bool { return !r.Deny })
}

func (c *checking) checkKeys() error {
	p := &c.Policy
	if len(p.Keys)+len(p.Identities) == 0 && !p.deniesAll() {
		return faultf("keys", "is empty: a policy that trusts no key allows nothing; to deny everything, write only rules that deny")
	}
	if len(p.Keys) > maxKeys {
		return faultf("keys", "has more than %d keys", maxKeys)
	}
	seen, yielded := make(map[string]string), make(map[string]string)
	for _, name := range ownFirst(p, p.Keys) {
		k, path := p.Keys[name], p.pathOf("keys", name)
		switch {
		case k.Public.key == nil:
			return faultf(path, "has no key: set PEM or Public, or read the policy with Load")
		case !k.NotBefore.IsZero() && !k.NotAfter.IsZero() && !k.NotBefore.Before(k.NotAfter):
			return faultf(path, "can never count: notAfter is not after notBefore")
		case k.StandsBefore && k.Revoked.IsZero():
			return faultf(path+".standsBefore", "needs revoked: the key is not revoked")
		case k.StandsBefore && len(p.Timestamps) == 0:
			return faultf(path+".standsBefore", "needs timestamps: without them, no signature has a trusted time")
		case k.Logged && len(p.Timestamps) == 0:
			return faultf(path+".logged", "needs timestamps: without them, no log or time is trusted")
		}
		if k.Public.Name == "" {
			k.Public.Name = name
			p.Keys[name] = k
		}
		if first, twice := seen[k.Public.ID()]; twice {
			if p.yields(name, first, !p.Keys[first].Revoked.IsZero()) {
				yielded[name] = first
				delete(p.Keys, name)
				continue
			}
			return faultf(path, "is the same key as %s, %s", p.Keys[first].Public.Name, k.Public.ID())
		}
		seen[k.Public.ID()] = name
	}
	p.replace(yielded, func(r *Role) []string { return r.Keys })
	return nil
}

func (c *checking) checkRoles() error {
	p := &c.Policy
	if len(p.Roles) == 0 && !p.deniesAll() {
		return faultf("roles", "is empty: write at least one role")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Roles)) {
		if err := c.checkRole(p.Roles[name], p.pathOf("roles", name)); err != nil {
			return err
		}
	}
	return nil
}

// checkRole counts revoked keys too. Otherwise a policy that revokes a key could be
// refused, and the policy before it would stay in use and trust the key.
func (c *checking) checkRole(r Role, path string) error {
	ids := make(map[string]bool)
	for i, key := range r.Keys {
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		k, known := c.Policy.Keys[key]
		if !known {
			return faultf(at, "names the key %.100q, which is not among keys", key)
		}
		if ids[k.Public.ID()] {
			return faultf(at, "names the key %.100q a second time", key)
		}
		ids[k.Public.ID()] = true
	}
	for i, identity := range r.Identities {
		at := fmt.Sprintf("%s.identities[%d]", path, i)
		m, known := c.Matchers[identity]
		if !known {
			return faultf(at, "names the identity %.100q, which is not among identities", identity)
		}
		if ids[m.ID()] {
			return faultf(at, "names the identity %.100q a second time", identity)
		}
		ids[m.ID()] = true
	}
	switch all := len(ids); {
	case all == 0:
		return faultf(path, "is empty: give it keys or identities")
	case r.Threshold == 0 && all == 1 && !r.noDefault:
	case r.Threshold < 1 || r.Threshold > all:
		return faultf(path, "has threshold %d with %d distinct keys; say how many of them must sign", r.Threshold, all)
	}
	return nil
}

func (c *checking) checkSettings() error {
	p := &c.Policy
	if skew := time.Duration(p.ClockSkew); skew < 0 || skew > 24*time.Hour {
		return faultf("clockSkew", "is %s, want at most 24h", skew)
	}
	for _, id := range slices.Sorted(maps.Keys(p.Builders)) {
		if level := p.Builders[id]; level < 1 || level > 4 {
			return faultf("builders."+id, "has level %d, want 1 to 4", level)
		}
		if err := checkBuilderID(id); err != nil {
			return faultf("builders."+id, "is %w", err)
		}
	}
	if p.Serial < 0 {
		return faultf("serial", "is %d, want 1 or more", p.Serial)
	}
	if err := p.Limits.check(); err != nil {
		return err
	}
	for i, d := range p.DenyDigests {
		path := fmt.Sprintf("denyDigests[%d]", i)
		if !isDigest(d.Digest) {
			return faultf(path, "needs a digest as in sha256:…, with 64 lower-case hex digits")
		}
		if d.Reason == "" {
			return faultf(path, "needs a reason")
		}
	}
	return nil
}

func isDigest(s string) bool {
	hexDigits, found := strings.CutPrefix(s, "sha256:")
	raw, err := hex.DecodeString(hexDigits)
	return found && err == nil && len(raw) == 32 && strings.ToLower(s) == s
}

// fillIn sets defaults.
func (c *checking) fillIn() {
	p := &c.Policy
	if p.ClockSkew == 0 {
		p.ClockSkew = Duration(defaultSkew)
	}
	for name, r := range p.Roles {
		if r.Threshold == 0 {
			r.Threshold = 1
			p.Roles[name] = r
		}
	}
}

// sum identifies the policy by its content: encoding/json sorts maps, and keys stand for
// the files that they were read from.
func (c *checking) sum() error {
	type key struct {
		ID                           string
		NotBefore, NotAfter, Revoked time.Time
		StandsBefore, Logged         bool
	}
	canonical := struct {
		Policy
		Keys       map[string]key
		Identities []string // IDs in the order of their names
		Clocks     []string // likewise
		Layouts    [][]byte
	}{Policy: c.Policy, Keys: make(map[string]key, len(c.Policy.Keys)), Layouts: c.layouts}
	for _, name := range slices.Sorted(maps.Keys(c.Matchers)) {
		canonical.Identities = append(canonical.Identities, fmt.Sprintf("%s %t %s", name, !c.Policy.Identities[name].Revoked.IsZero(), c.Matchers[name].ID()))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Times)) {
		canonical.Clocks = append(canonical.Clocks, name+" "+c.Times[name].ID())
	}
	for name, k := range c.Policy.Keys {
		canonical.Keys[name] = key{k.Public.ID(), k.NotBefore, k.NotAfter, k.Revoked, k.StandsBefore, k.Logged}
	}
	canonical.Policy.Keys = nil
	text, err := json.Marshal(canonical)
	if err != nil {
		return &fault{"", err}
	}
	sum := sha256.Sum256(text)
	c.Digest = "sha256:" + hex.EncodeToString(sum[:])
	return nil
}
