package verify

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// secretPatterns recognise secrets.
type secretPatterns struct {
	// names are names of variables and labels that hold secrets. The value of passwords
	// may also be a short number.
	names, passwords *regexp.Regexp
	// harmless are values that are not secrets: empty, references, paths, placeholders,
	// yes and no.
	harmless *regexp.Regexp
	// paths are names of variables that hold the path of a secret.
	paths *regexp.Regexp
	// forms are the forms of well-known secrets, urls are URLs with a password.
	forms, urls *regexp.Regexp
	// files are names of files with keys or credentials.
	files *regexp.Regexp
	// options are --NAME VALUE or --NAME=VALUE in a command line. assignments are
	// NAME=VALUE.
	options, assignments *regexp.Regexp
}

// secrets compiles the patterns at their first use. Most programs never use them.
var secrets = sync.OnceValue(func() *secretPatterns {
	return &secretPatterns{
		names:     regexp.MustCompile(`(?i)((^|[_.-])(passphrase|secret|token|api_?key|access_?key|private_?key|credentials?)([_.-]|$)|[_.-](pat|auth)$)`),
		passwords: regexp.MustCompile(`(?i)((^|[_.-])passw(or)?d([_.-]|$)|passw(or)?d$|[_.-](pass|pwd)$)`),
		harmless:  regexp.MustCompile(`(?i)^(|\$[a-z_]\w*|\$\{[^}]*\}|\$\(.*\)|(/[a-z0-9._-]+){2,}/?|<.*>|\*+|x+|true|false|yes|no|on|off|none|null|nil|changeme|redacted|\[redacted\])$`),
		paths:     regexp.MustCompile(`(?i)(file|path|dir)$`),
		forms: regexp.MustCompile(strings.Join([]string{
			`-----BEGIN [A-Z ]*PRIVATE KEY-----`, `\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`, `\bgh[pousr]_[A-Za-z0-9]{20,}`, `\bgithub_pat_[A-Za-z0-9_]{22,}`,
			`\bglpat-[A-Za-z0-9_-]{20,}`, `\bxox[abprs]-[A-Za-z0-9-]{10,}`, `\bAIza[A-Za-z0-9_-]{35}`, `\bnpm_[A-Za-z0-9]{36}`,
			`(?i:authorization:\s*(?:bearer|basic|token)\s+[a-z0-9._~+/=-]{8,})`, `\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`, `\bsk_live_[A-Za-z0-9]{16,}`, `\bdckr_pat_[A-Za-z0-9_-]{20,}`,
		}, "|")),
		files:       regexp.MustCompile(`(?i)(^|/)(id_(rsa|dsa|ecdsa|ed25519)|\.env(\.(local|prod|production|staging|dev|development|test))?|\.(npmrc|pypirc|netrc|pgpass|git-credentials|dockercfg)|\.docker/config\.json|[^/]*\.(key|p12|pfx|jks|keystore|kdbx))$`),
		urls:        regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@"']+:[^/\s@"'$]+@`),
		options:     regexp.MustCompile(`(?i)(?:^|\s)--?((?:[a-z0-9]+-)*(?:password|passwd|passphrase|token|secret|api-?key))(?:=|\s+)("[^"]*"|'[^']*'|[^\s;&|-][^\s;&|]*)`),
		assignments: regexp.MustCompile(`([A-Za-z_][A-Za-z0-9_.-]*)=("[^"]*"|'[^']*'|[^\s;&|]*)`),
	}
})

// titleKey is the annotation with the name of a layer that is a file (OCI Image Format
// Specification v1.1, annotations.md).
const titleKey = "org.opencontainers.image.title"

// secretAt says where the image holds a text that looks like a secret, or returns "". It
// never returns the secret. It looks at:
//
//   - the environment, labels, and annotations of the manifest and its layers,
//   - layers with the name of a file that holds secrets,
//   - command lines, and the history, in which builders record arguments and variables.
//
// It does not look into the files of layers.
func (v *imageView) secretAt() string {
	for _, p := range []processView{v.Config, v.Container} {
		if at := p.secretAt(); at != "" {
			return at
		}
	}
	if name := secretIn(v.annotations); name != "" {
		return fmt.Sprintf("annotation %.100q", name)
	}
	for i, of := range v.layers {
		if name := secretIn(of); name != "" {
			return fmt.Sprintf("annotation %.100q of layer %d", name, i+1)
		}
		if secrets().files.MatchString(of[titleKey]) {
			return fmt.Sprintf("layer %d, which is called %.100q,", i+1, of[titleKey])
		}
	}
	for i, h := range v.History {
		if textHoldsSecret(h.CreatedBy) || textHoldsSecret(h.Comment) {
			return fmt.Sprintf("entry %d of its history", i+1)
		}
	}
	return ""
}

// secretAt is imageView.secretAt for a process.
func (p processView) secretAt() string {
	for _, e := range p.Env {
		name, value, _ := strings.Cut(e, "=")
		if isSecret(name, value) {
			return fmt.Sprintf("variable %.100q", name)
		}
	}
	if name := secretIn(p.Labels); name != "" {
		return fmt.Sprintf("label %.100q", name)
	}
	for what, words := range map[string][]string{
		"command line": slices.Concat(p.Entrypoint, p.Cmd), "health check": p.Healthcheck.Test, "triggers": p.OnBuild,
	} {
		if textHoldsSecret(strings.Join(words, " ")) {
			return "an argument of its " + what
		}
	}
	return ""
}

// secretIn is the first name in a map whose value is a secret, or "".
func secretIn(m map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if isSecret(name, m[name]) {
			return name
		}
	}
	return ""
}

func isSecret(name, value string) bool {
	if hasSecretForm(value) {
		return true
	}
	password := secrets().passwords.MatchString(name)
	switch {
	case !password && !secrets().names.MatchString(name), secrets().harmless.MatchString(value):
		return false
	case secrets().paths.MatchString(name) && strings.HasPrefix(value, "/"):
		return false
	}
	return password || !(isNumber(value) && len(value) <= 4)
}

func hasSecretForm(text string) bool {
	return secrets().forms.MatchString(text) || secrets().urls.MatchString(text)
}

func textHoldsSecret(text string) bool {
	if hasSecretForm(text) {
		return true
	}
	for _, form := range []*regexp.Regexp{secrets().assignments, secrets().options} {
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			if isSecret(strings.TrimLeft(m[1], "-"), strings.Trim(m[2], `"'`)) {
				return true
			}
		}
	}
	return false
}
