package provenance

import (
	"fmt"
	"strings"
)

// expandWord removes the quotes and escapes of a word and expands its variables. The
// forms are $NAME, ${NAME}, ${NAME:-word}, ${NAME-word}, ${NAME:+word}, ${NAME+word},
// ${NAME:?word} and ${NAME?word}. Other forms are an error. A variable that is not set
// is empty, as for builders.
func expandWord(word string, escape byte, lookup func(string) (string, bool)) (string, error) {
	e := &expander{text: word, escape: escape, lookup: lookup}
	if err := e.until(0, 0); err != nil {
		return "", err
	}
	return e.out.String(), nil
}

type expander struct {
	text   string
	pos    int
	escape byte
	lookup func(string) (string, bool)
	out    strings.Builder
}

func (e *expander) write(s string) error {
	if e.out.Len()+len(s) > maxDockerfileWord {
		return fmt.Errorf("a word has more than %d bytes", maxDockerfileWord)
	}
	e.out.WriteString(s)
	return nil
}

// until expands up to the closing byte and consumes it. If closing is 0, it expands to
// the end.
func (e *expander) until(closing byte, depth int) error {
	if depth > 10 {
		return fmt.Errorf("variables are nested deeper than 10 levels")
	}
	var quote byte
	for e.pos < len(e.text) {
		c := e.text[e.pos]
		e.pos++
		var err error
		switch {
		case quote != '\'' && c == e.escape && e.pos < len(e.text):
			e.pos++
			err = e.write(e.text[e.pos-1 : e.pos])
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case quote != '\'' && c == '$':
			err = e.variable(depth)
		case quote == 0 && closing != 0 && c == closing:
			return nil
		default:
			err = e.write(string([]byte{c}))
		}
		if err != nil {
			return err
		}
	}
	if quote != 0 || closing != 0 {
		return fmt.Errorf("%.100q is not closed", e.text)
	}
	return nil
}

// variable expands what follows a dollar sign.
func (e *expander) variable(depth int) error {
	if e.pos >= len(e.text) || e.text[e.pos] != '{' {
		name := e.name()
		if name == "" {
			return e.write("$")
		}
		value, _ := e.lookup(name)
		return e.write(value)
	}
	e.pos++
	name := e.name()
	if name == "" || e.pos >= len(e.text) {
		return e.unsupported()
	}
	value, set := e.lookup(name)
	operator := e.text[e.pos]
	e.pos++
	if operator == '}' {
		return e.write(value)
	}
	if operator == ':' {
		if e.pos >= len(e.text) {
			return e.unsupported()
		}
		set = set && value != ""
		operator = e.text[e.pos]
		e.pos++
	}
	inner := &expander{text: e.text, pos: e.pos, escape: e.escape, lookup: e.lookup}
	if err := inner.until('}', depth+1); err != nil {
		return err
	}
	e.pos = inner.pos
	switch operator {
	case '-':
		if !set {
			return e.write(inner.out.String())
		}
		return e.write(value)
	case '+':
		if set {
			return e.write(inner.out.String())
		}
		return nil
	case '?':
		if !set {
			return fmt.Errorf("the variable %.50q is not set", name)
		}
		return e.write(value)
	}
	return e.unsupported()
}

func (e *expander) unsupported() error {
	return fmt.Errorf("%.100q has a form of variable that is not supported", e.text)
}

// name reads the name of a variable.
func (e *expander) name() string {
	begin := e.pos
	for e.pos < len(e.text) {
		c := e.text[e.pos]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9' || e.pos == begin) {
			break
		}
		e.pos++
	}
	return e.text[begin:e.pos]
}
