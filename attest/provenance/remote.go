package provenance

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/lazy"
)

// Why a remote is left out. The words complete "the remote ...".
const (
	remoteEmpty    = "is empty"
	remoteLocal    = "is a path on the build machine"
	remoteHelper   = "names a remote helper, which has no URI"
	remoteSecret   = "may hold a password or a token in its path"
	remoteSegments = "has . or .. in its path"
	remoteInvalid  = "is malformed"
)

var (
	schemeForm = lazy.Regexp(`^[A-Za-z][A-Za-z0-9+.-]*$`)
	hostForm   = lazy.Regexp(`^(?:[A-Za-z0-9._~-]|%[89A-F][0-9A-F])+$`)
)

// remoteURI returns the URI of a git remote without login, query and fragment. If a
// remote has none, or could hold a secret, the URI is empty and why says why.
//
//   - A URL keeps its scheme, host, port and path. "git+ssh" and "ssh+git" become
//     "ssh", as git reads them.
//   - The scp-like forms user@host:path and [host]:path become "ssh://host/path".
//   - What a URI cannot hold is percent-escaped.
//   - Paths, Windows drives and shares, and file: are left out.
//
// An @ in the path leaves a remote out, because a password with a slash looks the
// same. So does a question mark in an scp-like form.
//
// Source: git-fetch(1), "GIT URLS"; git's connect.c (url_is_local_not_ssh,
// has_dos_drive_prefix); RFC 3986.
func remoteURI(text string) (uri, why string) {
	switch {
	case text == "":
		return "", remoteEmpty
	case len(text) > maxVariable || strings.ContainsFunc(text, isControl):
		return "", remoteInvalid
	case isHelper(text):
		return "", remoteHelper
	case len(text) > 1 && text[1] == ':' && isLetter(text[0]): // C:
		return "", remoteLocal
	}
	if scheme, rest, isURL := strings.Cut(text, "://"); isURL && schemeForm().MatchString(scheme) {
		return remoteFromURL(strings.ToLower(scheme), rest)
	}
	return remoteFromSCP(text)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isHelper reports whether a remote begins with the name of a remote helper and "::"
// (gitremote-helpers(7)).
func isHelper(text string) bool {
	name, _, found := strings.Cut(text, "::")
	return found && name != "" && schemeForm().MatchString("x"+name)
}

// remoteFromURL reads what follows "://".
func remoteFromURL(scheme, rest string) (uri, why string) {
	scheme = strings.TrimSuffix(strings.TrimPrefix(scheme, "git+"), "+git")
	if scheme == "file" {
		return "", remoteLocal
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if strings.Contains(path, "@") {
		return "", remoteSecret
	}
	if cut := strings.IndexAny(path, "?#"); cut >= 0 {
		path = path[:cut]
	}
	host, ok := escapedHost(authority[strings.LastIndexByte(authority, '@')+1:])
	if !ok {
		return "", remoteInvalid
	}
	return finishRemote(scheme+"://"+host, escapeURI(path, "", true))
}

// remoteFromSCP reads [user@]host:path, which ends its host at a colon that no slash
// precedes. Everything else is a path.
func remoteFromSCP(text string) (uri, why string) {
	host, path, found := cutSCP(text)
	switch {
	case !found || strings.ContainsAny(text[:1], `/\.~`):
		return "", remoteLocal
	case strings.ContainsAny(path, "@?"):
		return "", remoteSecret
	case path == "":
		return "", remoteInvalid
	}
	host = host[strings.LastIndexByte(host, '@')+1:]
	if !isIPv6(host) {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]") // [user@host:port]:path
	}
	host, ok := escapedHost(host)
	if !ok {
		return "", remoteInvalid
	}
	return finishRemote("ssh://"+host, "/"+escapeURI(strings.TrimPrefix(path, "/"), "", false))
}

// cutSCP cuts a remote at the colon behind its host.
func cutSCP(text string) (host, path string, found bool) {
	begin := 0
	if open := strings.IndexByte(text, '['); open == 0 || open > 0 && text[open-1] == '@' {
		begin = max(0, strings.IndexByte(text, ']'))
	}
	colon := strings.IndexByte(text[begin:], ':')
	if colon < 0 || strings.ContainsAny(text[:begin+colon], `/\`) {
		return "", "", false
	}
	return text[:begin+colon], text[begin+colon+1:], true
}

func finishRemote(base, path string) (uri, why string) {
	if path == "" {
		path = "/" // else the @ of a ref would end a login
	}
	for segment := range strings.SplitSeq(strings.ToLower(path), "/") {
		if dots := strings.ReplaceAll(segment, "%2e", "."); dots == "." || dots == ".." {
			return "", remoteSegments
		}
	}
	if tokenForm().MatchString(base + path) {
		return "", remoteSecret
	}
	return base + path, ""
}

// escapedHost returns a host with an optional port as a URI holds it.
func escapedHost(text string) (string, bool) {
	host, port := text, ""
	if colon := strings.LastIndexByte(text, ':'); colon >= 0 && !strings.HasSuffix(text, "]") {
		host, port = text[:colon], text[colon+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return "", false
	}
	if !isIPv6(host) {
		host = escapeURI(host, "", true)
		if !hostForm().MatchString(host) {
			return "", false
		}
	}
	if port != "" {
		host += ":" + port
	}
	return host, true
}

// isIPv6 reports whether a host is an IPv6 address in brackets. A zone names an
// interface of the build machine, and belongs in no URI.
func isIPv6(host string) bool {
	inner, open := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	address, err := netip.ParseAddr(inner)
	return open && closed && err == nil && address.Is6() && address.Zone() == ""
}

// escapeURI percent-escapes what the path of a URI cannot hold. The bytes in more
// stay as they are. escaped says that the text may hold escapes already.
func escapeURI(text, more string, escaped bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case c == '%' && escaped && len(text) > i+2 && isHex(strings.ToLower(text[i+1:i+3])), isLetter(c), isDigit(c),
			strings.IndexByte("-._~!$&'()*+,;=:/", c) >= 0, strings.IndexByte(more, c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// isRef reports whether a text can be the name of a ref (git-check-ref-format(1)).
func isRef(text string) bool {
	return text != "" && !strings.ContainsAny(text, " ~^:?*[\\") && !strings.ContainsFunc(text, isControl) &&
		!strings.Contains(text, "..") && !strings.Contains(text, "@{")
}

// withRef adds a ref to the URI of a repository, with what a URI cannot hold
// percent-escaped, "#" and "%" included.
func withRef(uri, ref string) string {
	if ref == "" {
		return uri
	}
	return uri + "@" + escapeURI(ref, "@", false)
}
