package provenance

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/lazy"
)

const (
	// minSecret is the length from which a secret is replaced where it stands. For
	// a shorter one, whole lines are replaced, because the rest of the line could
	// give it away.
	minSecret = 4
	// maxSecrets bounds the secrets that are looked for in an output.
	maxSecrets = 1000
	// formGrowth is the largest ratio of a form's length to its secret's, as in
	// \u0026.
	formGrowth = 6
)

// formsOf returns the forms in which programs show a secret, in lower case:
//
//   - as it is, and with other line ends
//   - escaped for JSON, shells, URLs and HTML
//   - in hexadecimal, and in base64 at any offset of a longer text
func formsOf(secret string) []string {
	all := []string{secret, strings.ReplaceAll(secret, "\n", "\r\n"), strings.ReplaceAll(secret, "\r\n", "\n")}
	inQuotes := strconv.Quote(secret)
	all = append(all, inQuotes[1:len(inQuotes)-1], jsonText(secret, true), jsonText(secret, false))
	all = append(all, shellSpecial().ReplaceAllString(secret, `\$0`), strings.ReplaceAll(secret, "'", `'\''`), strings.ReplaceAll(secret, "'", `'"'"'`))
	all = append(all, url.QueryEscape(secret), url.PathEscape(secret), strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"), (&url.URL{Path: secret}).EscapedPath(), everyByte(secret), html.EscapeString(secret))
	all = append(all, hex.EncodeToString([]byte(secret)))
	for offset := range 3 {
		all = append(all, base64Within(base64.StdEncoding, secret, offset), base64Within(base64.URLEncoding, secret, offset))
	}
	for i := range all {
		all[i] = lowerASCII(all[i])
	}
	all = slices.DeleteFunc(all, func(f string) bool { return len(f) < minSecret })
	slices.Sort(all)
	return slices.Compact(all)
}

var shellSpecial = lazy.Regexp(`[^\w./:=@%+,-]`)

func jsonText(s string, escapeHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	_ = e.Encode(s) // strings can always be encoded
	return strings.Trim(strings.TrimSpace(b.String()), `"`)
}

// everyByte returns a text with each byte percent-escaped.
func everyByte(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString("%" + hex.EncodeToString([]byte{c}))
	}
	return b.String()
}

// base64Within returns the characters of base64 that depend on a secret alone, if it
// begins offset bytes into a group.
func base64Within(e *base64.Encoding, secret string, offset int) string {
	text := e.WithPadding(base64.NoPadding).EncodeToString(append(make([]byte, offset), secret...))
	first := (offset*8 + 5) / 6
	last := (offset + len(secret)) * 8 / 6
	return text[min(first, last):last]
}

// lowerASCII returns a text of the same length with ASCII letters in lower case.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// shownSpans finds secrets in a text, in any of their forms, in upper or lower case,
// and with line ends within them.
func shownSpans(text string, secrets []string) []span {
	lower := lowerASCII(text)
	folded, at := unfold(lower)
	var all []span
	for _, s := range secrets {
		if len(s) < minSecret {
			all = append(all, linesWith(text, s)...)
			continue
		}
		for _, form := range formsOf(s) {
			all = append(all, occurrences(lower, form)...)
			if len(form) < 2*minSecret {
				continue
			}
			for _, o := range occurrences(folded, form) {
				all = append(all, span{at[o.from], at[o.to-1] + 1, redacted})
			}
		}
	}
	return all
}

// unfold returns a text without line ends, and the index of each of its bytes in the
// original.
func unfold(text string) (folded string, at []int) {
	b := make([]byte, 0, len(text))
	at = make([]int, 0, len(text))
	for i := range len(text) {
		if c := text[i]; c != '\n' && c != '\r' {
			b = append(b, c)
			at = append(at, i)
		}
	}
	return string(b), at
}

// linesWith returns the lines that hold a text, without their ends.
func linesWith(text, held string) []span {
	var all []span
	for _, o := range occurrences(text, held) {
		from := strings.LastIndexByte(text[:o.from], '\n') + 1
		to := len(text)
		if i := strings.IndexByte(text[o.to:], '\n'); i >= 0 {
			to = o.to + i
		}
		all = append(all, span{from, to, redacted})
	}
	return all
}

// commandSecrets returns the known secrets of a command: the named ones, and those in
// its arguments and its environment. more is true if there are too many.
func commandSecrets(command, env, named []string) (all []string, more bool) {
	for _, s := range named {
		all = append(append(all, strings.TrimSpace(s)), parts(s)...)
	}
	all = append(all, argumentSecrets(command, named)...)
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if secretNamePattern().MatchString(name) && len(value) >= minSecret && !plainWords[lowerASCII(value)] {
			all = append(all, parts(value)...)
		}
		all = append(all, hidden(value, secretSpans(value, nil, secretForms))...)
	}
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" })
	slices.Sort(all)
	all = slices.Compact(all)
	return all, len(all) > maxSecrets
}

// plainWords are values of variables and logins that are named like secrets and hold
// none, and words that stand before secrets.
var plainWords = map[string]bool{
	"true": true, "false": true, "none": true, "null": true, "auto": true, "bearer": true, "basic": true, "token": true, "digest": true,
	"git": true, "oauth2": true, "x-access-token": true, "x-token-auth": true,
}

// argumentSecrets returns what redactCommand leaves out of a command.
func argumentSecrets(command, named []string) []string {
	var all []string
	hide := false
	for _, arg := range command {
		if hide {
			all = append(all, parts(arg)...)
		} else {
			all = append(all, hidden(arg, secretSpans(arg, named, append(slices.Clone(secretForms), argumentForms...)))...)
		}
		hide = hidesNext(arg)
	}
	return all
}

// hidden returns the texts that spans leave out.
func hidden(text string, spans []span) []string {
	var all []string
	for _, s := range spans {
		all = append(all, parts(text[s.from:s.to])...)
	}
	return all
}

// wordEnds separate words that may each be a secret.
var wordEnds = lazy.Regexp("[\\s;,&\"'\\\\]+")

// parts returns a secret and those parts of it that a program may show alone: the text
// without quotes, its lines and words, the values of a query, a login's password, and
// what is encoded in it.
func parts(secret string) []string {
	secret = strings.TrimSpace(secret)
	var all []string
	if !plainWords[lowerASCII(secret)] {
		all = append(all, secret)
	}
	add := func(s string) {
		if s = strings.TrimSpace(s); len(s) >= minSecret && !plainWords[lowerASCII(s)] {
			all = append(all, s)
		}
	}
	login, isLogin := strings.CutSuffix(secret, "@")
	if isLogin {
		all = nil // the name of a login is not a secret
		add(login)
	}
	add(unquoted(secret))
	lines := slices.DeleteFunc(strings.Split(login, "\n"), func(l string) bool { return strings.HasPrefix(l, "-----") }) // of a key's armour
	for _, line := range lines {
		add(line)
	}
	for _, word := range wordEnds().Split(strings.Join(lines, "\n"), -1) {
		add(word)
		for _, separator := range []string{"=", ":"} {
			if _, value, ok := strings.Cut(word, separator); ok {
				add(value)
			}
		}
		if decoded, err := base64.StdEncoding.DecodeString(word); err == nil && bytes.IndexByte(decoded, ':') >= 0 {
			add(string(decoded))
			_, password, _ := strings.Cut(string(decoded), ":")
			add(password)
		}
	}
	for _, s := range slices.Clone(all) {
		for _, decode := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape} {
			if plain, err := decode(s); err == nil && plain != s {
				add(plain)
			}
		}
	}
	return all
}

// unquoted returns a word of a shell without its quotes.
func unquoted(word string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case c == '\\' && quote != '\'' && i+1 < len(word):
			i++
			b.WriteByte(word[i])
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == c && c != 0:
			quote = 0
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
