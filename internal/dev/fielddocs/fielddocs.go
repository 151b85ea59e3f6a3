// Package fielddocs reads the comments of Go types and their fields, for the documents and
// schemas of the files that these types stand for.
package fielddocs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/jsonschema"
)

// Comments are the comments of types and their fields.
type Comments struct {
	types, fields map[string]string
	// names are those in files, by those of the fields.
	names map[string]string
}

// Read reads the Go files of a directory. The given types are those whose fields are
// called as in files.
func Read(dir string, of ...reflect.Type) (*Comments, error) {
	c := &Comments{make(map[string]string), make(map[string]string), make(map[string]string)}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		c.read(file)
	}
	for _, t := range of {
		for _, f := range Fields(t) {
			c.names[f.Name] = jsonschema.NameOf(f)
		}
	}
	return c, nil
}

// Fields are the fields that stand in a file and that a struct itself declares.
func Fields(t reflect.Type) (all []reflect.StructField) {
	for i := range t.NumField() {
		if f := t.Field(i); !f.Anonymous && jsonschema.NameOf(f) != "" {
			all = append(all, f)
		}
	}
	return all
}

func (c *Comments) read(file *ast.File) {
	for _, d := range file.Decls {
		general, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range general.Specs {
			s, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			if of, ok := s.Type.(*ast.StructType); ok {
				c.add(s.Name.Name, of, general.Doc.Text())
			}
		}
	}
}

func (c *Comments) add(name string, of *ast.StructType, doc string) {
	c.types[name] = strings.Join(slices.DeleteFunc(strings.Split(doc, "\n\n"), func(p string) bool { return strings.Contains(p, "Go code") }), "\n\n")
	for _, f := range of.Fields.List {
		for _, field := range f.Names {
			c.fields[name+"."+field.Name] = f.Doc.Text()
		}
	}
}

var (
	qualified = regexp.MustCompile(`\b(Policy|Key|Rule|Role|Case|File)\.([A-Z]\w+)`)
	stars     = regexp.MustCompile(`(^|\s)(\*\*?)(\s)`)
	goName    = regexp.MustCompile(`[\w.]*\b[A-Z]\w*`)
	wrapped   = regexp.MustCompile(`([^\n])\n *([^\s-])`)
	defaults  = regexp.MustCompile(`(?s)^(.*?)\s*\b((?:Zero|Empty|False|Absent):\s.*|Required\b[^.]*\.)\s*$`)
)

// Type is what the comment of a type says, as Markdown.
func (c *Comments) Type(t reflect.Type) string { return c.text(t.Name(), c.types[t.Name()]) }

// Field is what the comment of a field says, and its default, as Markdown. Every comment
// of a field ends with a default: Zero, Empty, False, Absent or Required.
func (c *Comments) Field(of reflect.Type, f reflect.StructField) (text, byDefault string, err error) {
	comment := c.fields[of.Name()+"."+f.Name]
	m := defaults.FindStringSubmatch(comment)
	if m == nil {
		return "", "", fmt.Errorf("%s.%s: its comment does not end with a default (Zero, Empty, False, Absent or Required)", of.Name(), f.Name)
	}
	rest := strings.TrimSuffix(strings.Join(strings.Fields(m[2]), " "), ".")
	if after, is := strings.CutPrefix(rest, "Required"); is {
		rest = "required" + after
	} else {
		_, rest, _ = strings.Cut(rest, ": ")
		rest = "default: " + rest
	}
	return c.text(of.Name(), m[1]), c.text(of.Name(), rest), nil
}

// JSON is an object of the comments of types and their fields, by the names of the types
// and by those of the fields in files. The comment of a type has the empty name.
func (c *Comments) JSON(of ...reflect.Type) ([]byte, error) {
	all := make(map[string]map[string]string)
	for _, t := range of {
		texts := map[string]string{"": unwrapped(c.Type(t))}
		for _, f := range Fields(t) {
			text, byDefault, err := c.Field(t, f)
			if err != nil {
				return nil, err
			}
			texts[jsonschema.NameOf(f)] = unwrapped(text) + "\n\n" + strings.ToUpper(byDefault[:1]) + byDefault[1:] + "."
		}
		all[t.Name()] = texts
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(all)
	return b.Bytes(), err
}

// unwrapped joins the lines of paragraphs, which editors break by themselves.
func unwrapped(text string) string { return wrapped.ReplaceAllString(text, "$1 $2") }

// text is a comment as Markdown, with the names that fields have in files.
func (c *Comments) text(typeName, comment string) string {
	if first, rest, _ := strings.Cut(comment, " "); first == typeName {
		comment = "It " + rest
		if strings.HasPrefix(rest, "are ") {
			comment = "They " + rest
		}
	}
	comment = strings.ReplaceAll(comment, "; see the package documentation", "")
	comment = stars.ReplaceAllString(comment, "$1`$2`$3")
	comment = qualified.ReplaceAllString(comment, "$2")
	comment = goName.ReplaceAllStringFunc(comment, func(word string) string {
		if name, is := c.names[word]; is {
			return "`" + name + "`"
		}
		return word
	})
	return strings.TrimSpace(regexp.MustCompile(`(?m)^ +- `).ReplaceAllString(regexp.MustCompile(`(?m)^    (\S)`).ReplaceAllString(comment, "  $1"), "- "))
}
