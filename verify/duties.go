package verify

// duties are facts that principals signed while duties are to be separate. A principal who
// signed in two of the roles counts in neither, by any certificate. The roles of a
// principal are known only after all evidence was read: nothing counts before, and if
// evidence is missing, nothing counts.
//
// Only evidence that could count is used. Otherwise an attacker could attach what a
// principal signed for another image, and shut the principal out here.
type duties struct {
	waiting []fact
	alike   groups // the names of one principal
}

func (d *duties) join(principals []string) {
	if d.alike == nil {
		d.alike = make(groups)
	}
	for _, name := range principals {
		d.alike.join(principals[0], name)
	}
}

// closeDuties judges what principals signed; gap is as for close.
func (e *evaluation) closeDuties(gap Reason) {
	d := &e.duties
	if gap != "" {
		for _, f := range d.waiting {
			e.log.note(f.from, f.by.id, nil, gap, "its signer may stand in two separate roles: not all evidence could be read")
		}
		return
	}
	roles := make(map[string][]*role) // by principal
	for _, f := range d.waiting {
		if r := e.rule.separateRoleOf(f.by.id); r != nil {
			principal := d.alike.of(f.by.principal)
			if in := roles[principal]; len(in) == 0 || len(in) == 1 && in[0] != r {
				roles[principal] = append(in, r)
			}
		}
	}
	for _, f := range d.waiting {
		if in := roles[d.alike.of(f.by.principal)]; len(in) > 1 {
			e.log.note(f.from, f.by.id, nil, ReasonWrongRole, "its signer stands in the roles "+in[0].name+" and "+in[1].name+", which must be separate")
			continue
		}
		e.judge(f)
	}
}

// separateRoleOf is the separate role in which an identity stands; nil: none. The policy
// was refused if an identity stands in two.
func (r *rule) separateRoleOf(id string) *role {
	for _, role := range r.separate {
		if role.keys[id] {
			return role
		}
	}
	return nil
}

// groups joins names of one principal: each name leads to another of its group, until one
// that leads to none and stands for the group.
type groups map[string]string

// of is the name that stands for a name's group.
func (g groups) of(name string) string {
	for {
		next, joined := g[name]
		if !joined {
			return name
		}
		if further, is := g[next]; is {
			g[name] = further // this keeps chains short
		}
		name = next
	}
}

// join makes one group of the groups of two names.
func (g groups) join(a, b string) {
	if a, b = g.of(a), g.of(b); a != b {
		g[b] = a
	}
}
