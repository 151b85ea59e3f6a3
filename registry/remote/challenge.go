package remote

import (
	"github.com/hallmark-oci/hallmark/registry"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

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

// dockerHub is the one registry whose token service lives on another host that
// is no parent of its own.
const (
	dockerHub      = "index.docker.io"
	dockerHubRealm = "auth.docker.io"
)

// realm checks where the registry wants its login sent. trusted is false where
// only an anonymous question may go there.
func (c *Client) realm(h *host, ch *challenge) (realm *url.URL, trusted bool, err error) {
	fail := func(kind registry.Kind, why string) (*url.URL, bool, error) {
		return nil, false, &registry.Error{Op: "log in to", Ref: safe(h.name), Kind: kind, Detail: why}
	}
	u, err := url.Parse(ch.realm)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return fail(registry.ErrMalformed, "its token realm is not a URL: "+registry.SafeText(redact(ch.realm), 200))
	}
	u.Fragment = ""
	same := strings.EqualFold(hostname(u.Host), hostname(h.name))
	local := isLoopback(u.Host) && isLoopback(h.name)
	if u.Scheme == "http" && (h.scheme != "http" || !same && !local) {
		return fail(registry.ErrInsecure, "its token realm is plain HTTP: "+registry.SafeText(u.Host, 100))
	}
	if !same && !local && isLocal(u.Host) && !h.private.get() {
		return fail(registry.ErrInsecure, "its token realm is a private address: "+registry.SafeText(u.Host, 100))
	}
	// The login of a registry that is asked by plain HTTP stays at its host and port:
	// anybody on the way could have named another.
	own := h.is(u) || same && h.scheme == "https" && u.Scheme == "https"
	realmHost, registryHost := strings.ToLower(hostname(u.Host)), strings.ToLower(hostname(h.name))
	named := slices.Contains(c.o.TokenRealms[h.name], u.Host) || registryHost == dockerHub && realmHost == dockerHubRealm
	return u, own || isParent(realmHost, registryHost) && h.scheme == "https" || named, nil
}

// isParent reports whether a host is a parent domain, of two labels or more, of
// another. An address has none: the end of 192.0.2.1 is somebody else.
func isParent(parent, host string) bool {
	_, err := netip.ParseAddr(host)
	return err != nil && strings.Contains(parent, ".") && strings.HasSuffix(host, "."+parent)
}
