package provenance

import (
	"fmt"
	"strings"
)

// dockerfileLine is one instruction, put together from continued lines.
type dockerfileLine struct {
	text   string
	number int // of its first line
}

type dockerfileDirectives struct {
	escape byte
	syntax string
}

// dockerfileLines splits a Dockerfile into instructions: comments and here
// documents are gone, continued lines joined.
func dockerfileLines(text string) ([]dockerfileLine, dockerfileDirectives, error) {
	lines := strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
	if len(lines) > maxDockerfileLines {
		return nil, dockerfileDirectives{}, fmt.Errorf("%w: a Dockerfile of more than %d lines", ErrOrigin, maxDockerfileLines)
	}
	for i, l := range lines {
		lines[i] = strings.TrimSuffix(l, "\r")
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
		if at, err = skipHeredocs(line, lines, at, directives.escape); err != nil {
			return nil, directives, err
		}
		out = append(out, line)
	}
	return out, directives, nil
}

// parseDirectives reads the "# name=value" comments that stand before anything
// else.
func parseDirectives(lines []string) (dockerfileDirectives, error) {
	d := dockerfileDirectives{escape: '\\'}
	seen := make(map[string]bool)
	for i, line := range lines {
		comment, isComment := strings.CutPrefix(strings.TrimSpace(line), "#")
		if i == 0 && strings.HasPrefix(comment, "!") {
			continue // a shebang may stand before them
		}
		name, value, hasValue := strings.Cut(comment, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !isComment || !hasValue || name == "" || strings.ContainsAny(name, " \t") {
			return d, nil
		}
		if seen[name] {
			return d, fmt.Errorf("%w: Dockerfile line %d: the directive %.40q stands twice", ErrOrigin, i+1, name)
		}
		seen[name] = true
		switch name {
		case "syntax":
			// What follows the reference is for the frontend.
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

// joinLines puts an instruction together from the line at and those that
// continue it. Comments and empty lines between them do not end it.
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
			return strings.TrimSpace(b.String()), at + 1
		}
	}
	return strings.TrimSpace(b.String()), at
}

// continues reports whether a line ends in the escape character, which no other
// one precedes, and returns it without.
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
func skipHeredocs(line dockerfileLine, lines []string, at int, escape byte) (int, error) {
	for _, doc := range heredocNames(line.text, escape) {
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

// heredocNames finds the words "<<NAME", "<<-NAME" and "3<<NAME" of instructions
// that take here documents.
func heredocNames(text string, escape byte) []heredoc {
	words := dockerfileWords(text, escape)
	keyword := strings.ToUpper(words[0])
	if keyword == "ONBUILD" && len(words) > 1 {
		keyword = strings.ToUpper(words[1])
	}
	if keyword != "RUN" && keyword != "COPY" && keyword != "ADD" {
		return nil
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
		name := strings.NewReplacer(`"`, "", `'`, "").Replace(rest)
		docs = append(docs, heredoc{name, tabs})
	}
	return docs
}

// dockerfileWords splits an instruction at white space outside of quotes. Quotes
// and escapes stay in the words.
func dockerfileWords(text string, escape byte) []string {
	var words []string
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
		// A quote that stays open is an apostrophe in a shell command.
		words = append(words, text[begin:])
	}
	return words
}
