package provenance

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/internal/lazy"
)

// dockerfileLine is one instruction with its continued lines joined.
type dockerfileLine struct {
	text   string
	number int // of its first line
}

type dockerfileDirectives struct {
	escape byte
	syntax string
}

// dockerfileLines splits a Dockerfile into instructions. It removes comments and here
// documents, and joins continued lines.
//
// Builders differ in which characters separate words and lines besides blanks, tabs
// and line feeds. An instruction with such a character is refused, because a builder
// could see other instructions in it.
func dockerfileLines(text string) ([]dockerfileLine, dockerfileDirectives, error) {
	lines := strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
	if len(lines) > maxDockerfileLines {
		return nil, dockerfileDirectives{}, fmt.Errorf("%w: the Dockerfile has more than %d lines", ErrOrigin, maxDockerfileLines)
	}
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, "\r")
		if strings.Contains(lines[i], "\r") || !utf8.ValidString(l) {
			return nil, dockerfileDirectives{}, fmt.Errorf("%w: Dockerfile line %d: a carriage return within the line, or invalid UTF-8", ErrOrigin, i+1)
		}
	}
	directives, err := parseDirectives(lines)
	if err != nil {
		return nil, directives, err
	}
	var out []dockerfileLine
	for at := 0; at < len(lines); {
		line := dockerfileLine{number: at + 1}
		line.text, at = joinLines(lines, at, directives.escape)
		if line.text == "" {
			continue
		}
		if strings.ContainsFunc(line.text, oddSpace) {
			return nil, directives, fmt.Errorf("%w: Dockerfile line %d: white space other than blanks and tabs", ErrOrigin, line.number)
		}
		if at, err = skipHeredocs(line, lines, at); err != nil {
			return nil, directives, err
		}
		out = append(out, line)
	}
	return out, directives, nil
}

func oddSpace(r rune) bool { return unicode.IsSpace(r) && r != ' ' && r != '\t' }

// directive matches a comment "# name=value".
var directive = lazy.Regexp(`^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$`)

// parseDirectives reads the "# name=value" comments at the beginning. Builders find a
// syntax directive behind a shebang, and not in an indented line. For the escape
// directive the opposite is true.
func parseDirectives(lines []string) (dockerfileDirectives, error) {
	d := dockerfileDirectives{escape: '\\'}
	seen := make(map[string]bool)
	shebang := false
	for i, line := range lines {
		if i == 0 && strings.HasPrefix(line, "#!") {
			shebang = true
			continue
		}
		trimmed := strings.TrimSpace(line)
		m := directive().FindStringSubmatch(trimmed)
		if m == nil {
			return d, nil
		}
		name, value := strings.ToLower(m[1]), m[2]
		if name == "syntax" && trimmed[0] != line[0] || name == "escape" && shebang {
			return d, fmt.Errorf("%w: Dockerfile line %d: a directive that only some builders see", ErrOrigin, i+1)
		}
		if seen[name] {
			return d, fmt.Errorf("%w: Dockerfile line %d: a second directive %.40q", ErrOrigin, i+1, name)
		}
		seen[name] = true
		switch name {
		case "syntax":
			// The rest of the line is for the frontend.
			d.syntax, _, _ = strings.Cut(value, " ")
		case "escape":
			if value != "\\" && value != "`" {
				return d, fmt.Errorf("%w: Dockerfile line %d: the escape character is neither \\ nor `", ErrOrigin, i+1)
			}
			d.escape = value[0]
		case "check":
		default:
			return d, nil // an ordinary comment ends the directives
		}
	}
	return d, nil
}

// joinLines joins an instruction at a line with the lines that continue it. Comments
// and empty lines between them do not end the instruction.
func joinLines(lines []string, at int, escape byte) (text string, next int) {
	var b strings.Builder
	begun := false
	for ; at < len(lines); at++ {
		line := lines[at]
		trimmed := strings.TrimLeft(line, " \t")
		if strings.HasPrefix(trimmed, "#") {
			if !begun {
				return "", at + 1
			}
			continue
		}
		if strings.TrimSpace(line) == "" {
			if !begun {
				return "", at + 1
			}
			continue
		}
		if !begun {
			line = trimmed
		}
		begun = true
		part, more := continues(line, escape)
		b.WriteString(part)
		if !more {
			return strings.Trim(b.String(), " \t"), at + 1
		}
	}
	return strings.Trim(b.String(), " \t"), at
}

// continues reports whether a line ends in a single escape character. It returns the
// line without that character.
func continues(line string, escape byte) (string, bool) {
	trimmed := strings.TrimRight(line, " \t")
	n := len(trimmed)
	if n == 0 || trimmed[n-1] != escape || n > 1 && trimmed[n-2] == escape {
		return line, false
	}
	return trimmed[:n-1], true
}

// skipHeredocs returns the line after the here documents that an instruction
// opens.
func skipHeredocs(line dockerfileLine, lines []string, at int) (int, error) {
	docs, err := heredocNames(line.text)
	if err != nil {
		return at, fmt.Errorf("%w: Dockerfile line %d: %w", ErrOrigin, line.number, err)
	}
	for _, doc := range docs {
		for ; ; at++ {
			if at >= len(lines) {
				return at, fmt.Errorf("%w: Dockerfile line %d: the here document %.40q does not end", ErrOrigin, line.number, doc.name)
			}
			end := lines[at]
			if doc.tabs {
				end = strings.TrimLeft(end, "\t")
			}
			if end == doc.name {
				at++
				break
			}
		}
	}
	return at, nil
}

type heredoc struct {
	name string
	tabs bool // "<<-": tabs before its lines do not count
}

// heredocNames finds the words "<<NAME", "<<-NAME" and "3<<NAME" of instructions that
// take here documents. Their escape character is always "\".
//
// A word that one builder takes for a here document, and another does not, is an
// error: the builders would see different instructions in the lines that follow.
func heredocNames(text string) ([]heredoc, error) {
	words, closed := dockerfileWords(text, '\\')
	keyword := strings.ToUpper(words[0])
	if keyword == "ONBUILD" && len(words) > 1 {
		keyword = strings.ToUpper(words[1])
	}
	if keyword != "RUN" && keyword != "COPY" && keyword != "ADD" || !strings.Contains(text, "<<") {
		return nil, nil
	}
	if strings.Contains(plainVariable().ReplaceAllString(text, ""), "${") {
		return nil, fmt.Errorf("<< in an instruction with a variable of another form than ${NAME}")
	}
	var docs []heredoc
	for _, w := range words[1:] {
		rest, ok := strings.CutPrefix(strings.TrimLeft(w, "0123456789"), "<<")
		if !ok {
			continue
		}
		rest, tabs := strings.CutPrefix(rest, "-")
		if rest == "" || strings.Contains(rest, "<") {
			continue
		}
		name := unquote(rest)
		if name == "" || strings.ContainsAny(name, "\"'`\\$ \t") || !closed {
			return nil, fmt.Errorf("builders differ in the name of the here document %.40q", rest)
		}
		docs = append(docs, heredoc{name, tabs})
	}
	return docs, nil
}

var plainVariable = lazy.Regexp(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// dockerfileWords splits an instruction at white space outside of quotes. Quotes and
// escapes stay in the words. closed is false if a quote stays open, as an apostrophe
// in a shell command does.
func dockerfileWords(text string, escape byte) (words []string, closed bool) {
	var quote byte
	begin := -1
	for i := 0; i < len(text); i++ {
		c := text[i]
		space := c == ' ' || c == '\t'
		switch {
		case quote == 0 && space:
			if begin >= 0 {
				words = append(words, text[begin:i])
			}
			begin = -1
			continue
		case begin < 0:
			begin = i
		}
		switch {
		case c == escape && quote != '\'' && i+1 < len(text):
			i++
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote:
			quote = 0
		}
	}
	if begin >= 0 {
		words = append(words, text[begin:])
	}
	return words, quote == 0
}
