package remote

import "strings"

// challenge is what a registry asks for (RFC 9110, section 11.6.1).
type challenge struct {
	scheme  string // "basic" or "bearer"
	realm   string
	service string
}

// chooseChallenge picks the strongest scheme that is offered; nil: none that we
// know.
func chooseChallenge(headers []string) *challenge {
	var chosen *challenge
	for _, h := range headers {
		for _, ch := range parseChallenges(h) {
			if ch.scheme == "bearer" && ch.realm != "" {
				return &ch
			}
			if ch.scheme == "basic" && chosen == nil {
				chosen = &ch
			}
		}
	}
	return chosen
}

// parseChallenges reads one WWW-Authenticate header, which may hold several
// challenges.
func parseChallenges(header string) []challenge {
	var all []challenge
	rest := header
	for {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			return all
		}
		word, after := cutToken(rest, challengeEnds)
		if word == "" {
			return all
		}
		after = strings.TrimLeft(after, " \t")
		if !strings.HasPrefix(after, "=") {
			all = append(all, challenge{scheme: strings.ToLower(word)})
			rest = after
			continue
		}
		if tail := strings.TrimLeft(after, "= \t"); tail == "" || tail[0] == ',' {
			rest = tail // the end of a token68, which schemes that we don't know use
			continue
		}
		value, tail, ok := cutValue(strings.TrimLeft(after[1:], " \t"), challengeEnds)
		if !ok || len(all) == 0 {
			return all
		}
		last := &all[len(all)-1]
		switch strings.ToLower(word) {
		case "realm":
			last.realm = value
		case "service":
			last.service = value
		}
		rest = tail
	}
}

// challengeEnds are the characters that end a token in a WWW-Authenticate header.
const challengeEnds = " \t,=\""

func cutToken(s, ends string) (token, rest string) {
	end := strings.IndexAny(s, ends)
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// cutValue reads a token or a quoted string.
func cutValue(s, ends string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest = cutToken(s, ends)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			return b.String(), s[i+1:], true
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}
