package provenance

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/lazy"
)

// redacted stands in place of a secret.
const redacted = "[redacted]"

// secretNamePart matches within the names of options, variables and headers that
// hold secrets. secretWord matches a word of a shell with its quotes.
const (
	secretNamePart = `(?:passw|passphrase|passin|passout|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential|bearer` +
		`|[-_]pass\b|[-_]pwd\b|(?:\b|_)auth(?:\b|_))`
	secretName = `[\w.-]*` + secretNamePart + `[\w.-]*`
	secretWord = `(?:"(?:[^"\\]|\\[\s\S])*"?|'[^']*'?|\\[\s\S]|[^\s"'\\])+`
)

var (
	secretNamePattern = lazy.Regexp(`(?i)` + secretNamePart)
	// tokenForm finds tokens of well-known forms.
	tokenForm = lazy.Regexp(`gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abprs]-[A-Za-z0-9-]{10,}` +
		`|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}|\bnpm_[A-Za-z0-9]{30,}|\bdop_v1_[a-f0-9]{40,}` +
		`|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`)

	// secretForms find secrets by their form or by the text around them. A group
	// is the secret.
	secretForms = []func() *regexp.Regexp{
		tokenForm,
		// Private keys, even without their end.
		lazy.Regexp(`-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\z)`),
		// NAME=SECRET and NAME: SECRET. The name may be in quotes or brackets.
		lazy.Regexp(`(?i)` + secretName + `["'\])}]*[ \t]*[=:]+>?[ \t]*(` + secretWord + `)`),
		// The query of a URL.
		lazy.Regexp(`[A-Za-z][A-Za-z0-9+.-]*://[^\s?]*\?([^\s"']+)`),
		// Values of HTTP headers.
		lazy.Regexp(`(?i)\b(?:(?:bearer|basic)[ \t]+|authorization["']?[ \t]*[:=][ \t]*|cookie:[ \t]*)(\S.*)`),
	}
	keyBegin = lazy.Regexp(`-----BEGIN [A-Z ]*PRIVATE KEY`)
	keyEnd   = lazy.Regexp(`-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----`)
	// argumentForms find secrets in arguments, which may be scripts: a word behind
	// a name, and the whole value of a header.
	argumentForms = []func() *regexp.Regexp{
		lazy.Regexp(`(?i)` + secretName + `(?:[ \t]|\\\r?\n)+(` + secretWord + `)`),
		lazy.Regexp(`(?i)` + secretName + `:[ \t]+([^\r\n"']+)`),
	}
	// loginForm matches the login in a URL up to the last @, because a password may
	// hold an @ and slashes.
	loginForm = lazy.Regexp(`[A-Za-z][A-Za-z0-9+.-]*://(\S*@)`)
)

// span is a part of a text that is not recorded.
type span struct {
	from, to int
	with     string // the replacement
}

// redactCommand leaves secrets out of a command line, and within arguments such as
// scripts:
//
//   - the named secrets
//   - values of options, variables and headers with the name of a secret (--token=X,
//     --token X, API_KEY=X, X-Api-Key: X)
//   - logins and queries of URLs
//   - tokens of well-known forms
//
// Other secrets have no form to find them by, and must be named.
func redactCommand(command, secrets []string) []string {
	out := make([]string, len(command))
	// A secret of one argument is a secret in the others.
	for _, s := range argumentSecrets(command, secrets) {
		if len(s) >= minSecret {
			secrets = append(slices.Clip(secrets), s)
		}
	}
	hide := false
	for i, arg := range command {
		if out[i] = redacted; !hide {
			out[i] = replaceSpans(arg, secretSpans(arg, secrets, append(slices.Clone(secretForms), argumentForms...)))
		}
		hide = hidesNext(arg)
	}
	return out
}

// hidesNext reports whether an argument is an option and the next argument its secret
// value.
func hidesNext(arg string) bool {
	return strings.HasPrefix(arg, "-") && !strings.Contains(arg, "=") && secretNamePattern().MatchString(arg)
}

// redactText leaves named secrets, and secrets of known forms, out of a text.
func redactText(text string, secrets []string) string {
	return replaceSpans(text, secretSpans(text, secrets, secretForms))
}

// redactTail returns the last bytes of an output without secrets. It also finds
// secrets that begin before these bytes, and leaves out the rest of a cut line.
func redactTail(output string, limit int, secrets []string) []byte {
	spans := joinSpans(append(secretSpans(output, nil, secretForms), shownSpans(output, trimmed(secrets))...))
	cut := max(0, len(output)-limit)
	for _, s := range spans {
		if s.from < cut && cut < s.to {
			cut = s.to
		}
	}
	spans = slices.DeleteFunc(spans, func(s span) bool { return s.to <= cut })
	for i := range spans {
		spans[i].from, spans[i].to = spans[i].from-cut, spans[i].to-cut
	}
	whole := cut == 0 || output[cut-1] == '\n'
	text := replaceSpans(output[cut:], spans)
	if len(text) > limit { // a replacement may be longer than its secret
		whole = text[len(text)-limit-1] == '\n'
		text = text[len(text)-limit:]
	}
	if !whole {
		_, text, _ = strings.Cut(text, "\n")
	}
	return []byte(text)
}

// secretSpans finds secrets. The spans are sorted and do not overlap.
func secretSpans(text string, secrets []string, forms []func() *regexp.Regexp) []span {
	var all []span
	for _, s := range secrets {
		s = strings.TrimSpace(s) // a file's last line feed is not shown
		all = append(all, occurrences(text, s)...)
		// A terminal ends lines with a carriage return.
		if strings.Contains(s, "\n") {
			all = append(all, occurrences(text, strings.ReplaceAll(s, "\n", "\r\n"))...)
		}
	}
	for _, form := range forms {
		for _, m := range form().FindAllStringSubmatchIndex(text, -1) {
			all = append(all, span{m[len(m)-2], m[len(m)-1], redacted})
		}
	}
	// The end of a private key without its beginning.
	if end := keyEnd().FindStringIndex(text); end != nil && !keyBegin().MatchString(text[:end[0]]) {
		all = append(all, span{0, end[1], redacted})
	}
	for _, m := range loginForm().FindAllStringSubmatchIndex(text, -1) {
		all = append(all, span{m[2], m[3], ""})
	}
	return joinSpans(all)
}

func trimmed(secrets []string) []string {
	all := make([]string, 0, len(secrets))
	for _, s := range secrets {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// joinSpans sorts spans, and joins those that overlap.
func joinSpans(all []span) []span {
	slices.SortFunc(all, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to)) })
	var apart []span
	for _, s := range all {
		last := len(apart) - 1
		if last < 0 || s.from >= apart[last].to {
			apart = append(apart, s)
			continue
		}
		if s.to <= apart[last].to { // within the span before, as a password in a login
			continue
		}
		apart[last].to = s.to
		apart[last].with = cmp.Or(apart[last].with, s.with)
	}
	return apart
}

// occurrences finds a secret in a text. Occurrences that overlap are one span.
func occurrences(text, secret string) []span {
	var all []span
	for at := 0; secret != ""; {
		i := strings.Index(text[at:], secret)
		if i < 0 {
			break
		}
		from := at + i
		at = from + 1
		if last := len(all) - 1; last >= 0 && from <= all[last].to {
			all[last].to = from + len(secret)
			continue
		}
		all = append(all, span{from, from + len(secret), redacted})
	}
	return all
}

func replaceSpans(text string, spans []span) string {
	var b strings.Builder
	at := 0
	for _, s := range spans {
		b.WriteString(text[at:s.from])
		b.WriteString(s.with)
		at = s.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// withoutCredentials returns a URL without login, query and fragment. It returns "" for
// anything else, and for a URL with an @ in its path, which may be a password with a
// slash.
func withoutCredentials(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || strings.Contains(u.Path, "@") {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// cleanText removes logins and queries from the URLs in a text. If the text is a URL,
// it loses its fragment too.
func cleanText(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return cmp.Or(withoutCredentials(text), redactText(text, nil))
}
