package verify

// samePerson notes that one person, or machine, is known by several names: they have
// made one signature.
func (j *judgement) samePerson(found []*trustedKey) {
	if !j.rule.separatesPeople {
		return
	}
	if j.people == nil {
		j.people = make(groups)
	}
	for _, k := range found {
		j.people.join(found[0].who, k.who)
	}
}

// weighRecognised judges what identities have signed, where duties are to be separate
// among people: whoever has signed in two of the roles counts in none, whichever of
// their certificates an identity recognises. In which roles somebody has signed is known
// only once all evidence was seen, so that nothing of this kind counts before, whatever
// its order; and where evidence is missing, nothing of it counts.
//
// Only evidence that could count tells: otherwise a copy of what somebody has signed for
// another image would be enough to shut them out here.
func (j *judgement) weighRecognised() {
	if j.ctx.Err() != nil {
		return // refuse tells of it
	}
	all := j.recognised
	if j.overflow != nil || len(j.causes) > 0 {
		reason := ReasonUnreadable
		if j.overflow != nil {
			reason = ReasonTooMuchEvidence
		}
		for _, f := range all {
			j.record(f.item, f.key.ID(), nil, reason, "whoever has signed it may stand in two roles that are to be separate: not all evidence was read")
		}
		return
	}
	roles := make(map[string][]*role) // by person
	for _, f := range all {
		if r := j.rule.separateRoleOf(f.key); r != nil {
			who := j.people.of(f.key.who)
			if in := roles[who]; len(in) == 0 || len(in) == 1 && in[0] != r {
				roles[who] = append(in, r)
			}
		}
	}
	for _, f := range all {
		if in := roles[j.people.of(f.key.who)]; len(in) > 1 {
			j.record(f.item, f.key.ID(), nil, ReasonWrongRole, "its signer stands in the roles "+in[0].name+" and "+in[1].name+", which are to be separate")
			continue
		}
		j.weighNow(f)
	}
}

// separateRoleOf is the one of the roles that are to be separate in which an identity
// stands; nil: in none. keysAreSeparate has seen to it that there are no two.
func (r *rule) separateRoleOf(k *trustedKey) *role {
	for _, role := range r.separate {
		if role.keys[k.ID()] {
			return role
		}
	}
	return nil
}
