package verify

// duties are what principals have signed where duties are to be separate among them. A
// principal who has signed in two of the roles counts in none, by any certificate. In
// which roles a principal has signed is known only once all evidence was seen. Nothing
// of this kind counts before, in any order. Where evidence is missing, nothing of it
// counts.
//
// Only evidence that could count tells. Otherwise an attacker could attach what a
// principal has signed for another image, to shut it out here.
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

// closeDuties judges what principals have signed; gap is as for close.
func (e *evaluation) closeDuties(gap Reason) {
	d := &e.duties
	if gap != "" {
		for _, f := range d.waiting {
			e.log.note(f.from, f.by.id, nil, gap, "its signer may stand in two roles that are to be separate: not all evidence was read")
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
			e.log.note(f.from, f.by.id, nil, ReasonWrongRole, "its signer stands in the roles "+in[0].name+" and "+in[1].name+", which are to be separate")
			continue
		}
		e.judge(f)
	}
}

// separateRoleOf is the one of the roles that are to be separate in which an identity
// stands; nil: in none. keysAreSeparate has seen to it that there are no two.
func (r *rule) separateRoleOf(id string) *role {
	for _, role := range r.separate {
		if role.keys[id] {
			return role
		}
	}
	return nil
}

// groups joins names that stand for the same: from a name to another one of its
// group, until one that leads nowhere, which stands for the group.
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

// join makes one group of those of two names.
func (g groups) join(a, b string) {
	if a, b = g.of(a), g.of(b); a != b {
		g[b] = a
	}
}
