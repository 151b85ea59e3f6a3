package verify

// maxMisfits bounds the keys whose signatures' form is compared with a signature.
const maxMisfits = 16

// misfit says why no key that is asked for can have made a signature, by its form
// alone: its encoding or length. The result is empty if one may have, or if there are
// several signatures.
func (s *search) misfit() (why string) {
	if len(s.opened.Signatures) != 1 || len(s.asked) > maxMisfits {
		return ""
	}
	for _, k := range s.policy.keys {
		if !s.asked[k.id] {
			continue
		}
		text := k.key.Misfit(s.opened.Signatures[0])
		if text == "" {
			return ""
		}
		if why == "" {
			why = text
		}
	}
	return why
}
