package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hallmark-oci/hallmark/internal/pattern"
	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

func (c *checking) checkRules() error {
	rules, teams := c.Policy.Rules, len(c.Policy.teamRules)
	if len(rules) == teams {
		return faultf("rules", "is empty: a policy without rules allows nothing")
	}
	if len(rules) > maxRules {
		return faultf("rules", "has more than %d rules", maxRules)
	}
	var entries []pattern.Entry
	defer func() { c.exempting.rule = -1 }()
	for i := range rules {
		c.exempting.rule, c.exempting.images = i, rules[i].Images
		at := c.Policy.rulePath(i)
		if err := c.checkRule(&rules[i], at); err != nil {
			return err
		}
		for n, text := range rules[i].Images {
			parsed, err := pattern.Parse(text)
			if err != nil {
				return &fault{fmt.Sprintf("%s.images[%d]", at, n), err}
			}
			entries = append(entries, pattern.Entry{Pattern: parsed, Rule: i})
		}
	}
	first := slices.IndexFunc(entries, func(e pattern.Entry) bool { return e.Rule >= len(rules)-teams })
	if first < 0 {
		first = len(entries)
	}
	var err error
	if c.patterns, err = c.Policy.patternSet(entries[:first]); err == nil && teams > 0 {
		c.teamPatterns, err = c.Policy.patternSet(entries[first:])
	}
	return err
}

// patternSet is the set of the patterns of rules.
func (p *Policy) patternSet(entries []pattern.Entry) (*pattern.Set, error) {
	set, err := pattern.NewSet(entries)
	var conflict *pattern.ConflictError
	if errors.As(err, &conflict) {
		return nil, faultf(p.rulePath(conflict.B.Rule)+".images", "is ambiguous with %s: %w; add a rule that is more specific than both, or change one", p.rulePath(conflict.A.Rule), err)
	}
	if err != nil {
		return nil, &fault{"rules", err}
	}
	return set, nil
}

func (c *checking) checkRule(r *Rule, path string) error {
	r.Images = slices.Clone(r.Images)
	switch {
	case len(r.Images) == 0:
		return faultf(path, "needs images: the patterns of the repositories that it applies to")
	case r.Mode != "" && r.Mode != ModeEnforce && r.Mode != ModeWarn:
		return faultf(path+".mode", "is %.40q, want %s or %s", r.Mode, ModeEnforce, ModeWarn)
	case r.Deny && (len(r.Require) > 0 || r.Mode == ModeWarn || r.SeparateDuties || r.EvidenceRepository != ""):
		return faultf(path, "denies, and cannot have require, mode: warn, separateDuties or evidenceRepository as well")
	case r.Deny && r.Reason == "":
		return faultf(path, "denies and needs a reason")
	case r.Deny:
		return nil
	case r.Reason != "":
		return faultf(path+".reason", "is only for rules with deny: true")
	case len(r.Require) == 0:
		return faultf(path, "requires nothing; write require, or deny: true")
	}
	if r.EvidenceRepository != "" {
		repo, err := oci.ParseRepository(r.EvidenceRepository)
		if err != nil {
			return &fault{path + ".evidenceRepository", err}
		}
		r.EvidenceRepository = repo.Name()
	}
	c.leaves, c.roles = 0, nil
	if err := c.checkList(&r.Require, path+".require", 0); err != nil {
		return err
	}
	if r.SeparateDuties {
		return c.checkSeparate(path + ".separateDuties")
	}
	return nil
}

// checkSeparate refuses one key or identity in two separate roles.
func (c *checking) checkSeparate(path string) error {
	in := make(map[string]string) // role, by ID
	for _, role := range c.roles {
		r := c.Policy.Roles[role]
		add := func(id, name string) error {
			if first, both := in[id]; both {
				return faultf(path, "is violated: the key %s is in the roles %s and %s", name, first, role)
			}
			in[id] = role
			return nil
		}
		for _, name := range slices.Sorted(slices.Values(r.Keys)) {
			k := c.Policy.Keys[name].Public
			if err := add(k.ID(), k.Name); err != nil {
				return err
			}
		}
		for _, name := range slices.Sorted(slices.Values(r.Identities)) {
			if err := add(c.Matchers[name].ID(), name); err != nil {
				return err
			}
		}
	}
	return nil
}

// members are the IDs of the keys and identities of a role.
func (c *checking) members(role string) map[string]bool {
	ids := make(map[string]bool)
	for _, name := range c.Policy.Roles[role].Keys {
		ids[c.Policy.Keys[name].Public.ID()] = true
	}
	for _, name := range c.Policy.Roles[role].Identities {
		ids[c.Matchers[name].ID()] = true
	}
	return ids
}

// inBoth is the name of the first key, or else identity, in both of two roles; "" if none
// is.
func (c *checking) inBoth(a, b string) string {
	r, other := c.Policy.Roles[a], c.members(b)
	keys, identities := slices.Sorted(slices.Values(r.Keys)), slices.Sorted(slices.Values(r.Identities))
	for _, name := range keys {
		if k := c.Policy.Keys[name].Public; other[k.ID()] {
			return k.Name
		}
	}
	for _, name := range identities {
		if other[c.Matchers[name].ID()] {
			return name
		}
	}
	return ""
}

func (c *checking) checkList(list *[]Requirement, path string, depth int) error {
	if len(*list) == 0 {
		return faultf(path, "is empty: write at least one requirement")
	}
	*list = slices.Clone(*list)
	for i := range *list {
		if err := c.checkRequirement(&(*list)[i], fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// checkRequirement copies a requirement into the policy, and checks it.
func (c *checking) checkRequirement(q *Requirement, path string, depth int) error {
	*q = q.own()
	set := 0
	for _, is := range []bool{q.Signature != nil, q.Attestation != nil, q.Config != nil, q.AnyOf != nil, q.AllOf != nil, q.Use != ""} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return faultf(path, "needs exactly one of signature, attestation, config, anyOf, allOf and use")
	case depth > maxNesting:
		return faultf(path, "nests deeper than %d", maxNesting)
	case q.Use != "":
		return c.use(q, path, depth)
	case q.AnyOf != nil:
		return c.checkList(&q.AnyOf, path+".anyOf", depth)
	case q.AllOf != nil:
		return c.checkList(&q.AllOf, path+".allOf", depth)
	}
	if c.leaves >= maxRequirements {
		return faultf(path, "is more than %d requirements", maxRequirements)
	}
	if c.all >= maxAllRequirements {
		return faultf(path, "is more than %d requirements of all rules, those that they share counted for each", maxAllRequirements)
	}
	if !c.weigh(q) {
		return faultf(path, tooLarge, maxAllBytes)
	}
	c.leaves++
	c.all++
	c.exempting.noteSigned(q, path)
	switch {
	case q.Signature != nil:
		if err := c.checkRoleOf(path, q.Signature.By); err != nil || q.Signature.MaxAge == 0 {
			return err
		}
		return needsIdentities(path+".signature.maxAge", q.Signature.By, c.Policy.Roles)
	case q.Config != nil:
		if err := q.Config.check(); err != nil {
			return &fault{path + ".config", err}
		}
		return compileExpressions(c, path+".config.cel", q.Config.CEL, AboutConfig)
	}
	return c.checkAttestation(path, q.Attestation)
}

// tooLarge says that requirements are too large together.
const tooLarge = "is more than %d bytes of requirements of all rules, those that they share counted for each"

// weigh adds a requirement to the bytes of all, and reports whether they are not too many.
func (c *checking) weigh(q *Requirement) bool {
	text, err := json.Marshal(q)
	c.bytes += len(text)
	return err != nil || c.bytes <= maxAllBytes // sum returns the error
}

// checkShared checks the requirements that rules share, whether one uses them or not.
func (c *checking) checkShared() error {
	for _, name := range slices.Sorted(maps.Keys(c.Policy.Requirements)) {
		c.leaves, c.roles = 0, nil
		q := c.Policy.Requirements[name]
		if err := c.checkRequirement(&q, c.Policy.pathOf("requirements", name), 1); err != nil {
			return err
		}
	}
	return nil
}

// use replaces a requirement by the one that it names. One that uses itself nests too
// deep.
func (c *checking) use(q *Requirement, path string, depth int) error {
	shared, known := c.Policy.Requirements[q.Use]
	if !known {
		return faultf(path+".use", "names the requirement %.100q, which is not among requirements", q.Use)
	}
	c.exempting.noteUse(q.Use, path)
	*q = shared
	return c.checkRequirement(q, path, depth+1)
}

func (c *checking) checkAttestation(path string, a *AttestationRequirement) error {
	err := a.check()
	if err == nil {
		err = a.reachable(c.Policy.Builders)
	}
	if inner := (*fault)(nil); errors.As(err, &inner) {
		return &fault{path + ".attestation." + inner.path, inner.err}
	}
	if err != nil {
		return &fault{path + ".attestation", err}
	}
	if _, known := c.Policy.Roles[a.VEXBy]; a.VEXBy != "" && !known {
		return faultf(path+".attestation.vexBy", "names the role %.100q, which is not among roles", a.VEXBy)
	}
	if err := c.checkRoleOf(path, a.By); err != nil {
		return err
	}
	c.addRole(a.VEXBy)
	if err := compileOf(c, path+".attestation", a); err != nil {
		return err
	}
	switch {
	case a.BoundToCertificate:
		return needsIdentities(path+".attestation.boundToCertificate", a.By, c.Policy.Roles)
	case a.MaxAgeFrom != "":
		return needsIdentities(path+".attestation.maxAgeFrom", a.By, c.Policy.Roles)
	case !a.AsksForLinks():
		return nil
	}
	if c.layoutBytes += len(a.LayoutEnvelope); c.layoutBytes > maxAllLayouts {
		return faultf(path+".attestation.layout", "is more than %d bytes of layouts of all rules, those that they share counted for each", maxAllLayouts)
	}
	c.layouts = append(c.layouts, a.LayoutEnvelope)
	if r := c.Policy.Roles[a.By]; len(r.Keys) < max(r.Threshold, 1) {
		return faultf(path, "needs %d keys that own its layout, and the role %s has %d: identities cannot own a layout", max(r.Threshold, 1), a.By, len(r.Keys))
	}
	return nil
}

// needsIdentities refuses a role whose threshold cannot be reached by identities, for a
// condition that signatures by keys cannot meet.
func needsIdentities(path, role string, roles map[string]Role) error {
	if r := roles[role]; len(r.Identities) < max(r.Threshold, 1) {
		return faultf(path, "needs %d identities, and the role %s has %d: a key has no certificate", max(r.Threshold, 1), role, len(r.Identities))
	}
	return nil
}

// checkRoleOf checks that the role of a requirement exists.
func (c *checking) checkRoleOf(path, role string) error {
	if role == "" {
		return faultf(path, "needs by: the role whose keys count")
	}
	if _, known := c.Policy.Roles[role]; !known {
		return faultf(path, "names the role %.100q, which is not among roles", role)
	}
	c.addRole(role)
	return nil
}

// addRole notes that the rule names a role.
func (c *checking) addRole(role string) {
	if role != "" && !slices.Contains(c.roles, role) {
		c.roles = append(c.roles, role)
	}
}

func (c *checking) checkFiles() error {
	p := &c.Policy
	if p.Files == nil {
		return nil
	}
	c.leaves, c.roles = 0, nil
	if err := c.checkList(&p.Files, pathFiles, 0); err != nil {
		return err
	}
	var refused error
	for i, q := range p.Files {
		q.eachLeaf(fmt.Sprintf("%s[%d]", pathFiles, i), func(path string, q Requirement) {
			if refused == nil {
				refused = q.ofFile(path)
			}
		})
	}
	return refused
}

// ofFile refuses a requirement that no file can meet.
func (q Requirement) ofFile(path string) error {
	switch {
	case q.Config != nil:
		return faultf(path+".config", "is refused for files, which have no config")
	case q.Signature != nil && q.Signature.SameRepository:
		return faultf(path+".signature.sameRepository", "is refused for files, which are not in a repository")
	case q.Attestation != nil && q.Attestation.AsksForLinks():
		return faultf(path+".attestation.type", "is %s, which is refused for files: links are read of images alone", q.Attestation.Type)
	case q.Attestation != nil && q.Attestation.kind() == kindVSA && len(q.Attestation.Resource) == 0:
		return faultf(path+".attestation", "needs resource: a file is in no repository that the summary could name")
	}
	return nil
}
