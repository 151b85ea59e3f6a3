package provenance

import (
	"net/url"
	"regexp"
	"strings"
)

// redacted stands in place of a secret.
const redacted = "[redacted]"

var (
	// secretName is what names of options and variables that hold secrets have
	// in them.
	secretName = regexp.MustCompile(`(?i)(passw|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential|bearer|\bauth\b)`)
	// secretForm are the forms of well-known tokens.
	secretForm = regexp.MustCompile(strings.Join([]string{
		`gh[pousr]_[A-Za-z0-9]{16,}`, `github_pat_[A-Za-z0-9_]{20,}`, `glpat-[A-Za-z0-9_-]{16,}`, `xox[abprs]-[A-Za-z0-9-]{10,}`,
		`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`, `\bAIza[A-Za-z0-9_-]{30,}`, `\bnpm_[A-Za-z0-9]{30,}`, `\bdop_v1_[a-f0-9]{40,}`,
		`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`,
		`-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`,
	}, "|"))
	// authorization is an HTTP header's value, or the whole of it.
	authorization = regexp.MustCompile(`(?i)\b(bearer|basic|authorization:)\s+\S.*`)
	// userInfo is the login in a URL.
	userInfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/\s"'@]*@`)
)

// redactCommand leaves secrets out of a command line: the texts that are named;
// values of options and variables whose names speak of secrets (--token=X, --token
// X, API_KEY=X); logins in URLs; Authorization headers; and what has the form of a
// well-known token. What a secret looks like nobody knows for all: name it.
func redactCommand(command, secrets []string) []string {
	out := make([]string, len(command))
	hide := false
	for i, arg := range command {
		isOption := strings.HasPrefix(arg, "-")
		switch name, _, found := strings.Cut(arg, "="); {
		case hide && !isOption:
			out[i] = redacted
		case found && secretName.MatchString(name) && !strings.ContainsAny(name, " /:"):
			out[i] = name + "=" + redacted
		default:
			out[i] = redactText(arg, secrets)
		}
		hide = isOption && !strings.Contains(arg, "=") && secretName.MatchString(arg)
	}
	return out
}

// redactText leaves out of a text what is a secret by itself.
func redactText(text string, secrets []string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, redacted)
		}
	}
	text = userInfo.ReplaceAllString(text, "${1}")
	text = secretForm.ReplaceAllString(text, redacted)
	return authorization.ReplaceAllStringFunc(text, func(m string) string {
		return m[:strings.IndexAny(m, " \t")+1] + redacted
	})
}

func redactOutput(output []byte, o RecordOptions) []byte {
	lines := strings.SplitAfter(string(output), "\n")
	for i, line := range lines {
		end := ""
		if strings.HasSuffix(line, "\n") {
			line, end = line[:len(line)-1], "\n"
		}
		lines[i] = redactText(line, o.Redact) + end
	}
	return []byte(strings.Join(lines, ""))
}

// withoutCredentials returns a URL without login, query and fragment; "" where it
// is no absolute URL.
func withoutCredentials(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
