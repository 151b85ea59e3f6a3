// Package strictyaml reads files that people write, such as policies, in a part of YAML
// 1.2 that has one meaning, or in JSON. An error tells line and column.
//
// It refuses:
//
//   - anchors, aliases, merge keys and tags
//   - several documents
//   - keys that stand twice or differ only in case, and keys that are not text
//   - values that are missing or null
//   - numbers other than those of JSON
//   - a byte order mark, and invalid UTF-8
package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// Bounds of a file.
const (
	maxBytes = 4 << 20
	maxDepth = 32
	maxKey   = 1 << 10
	// maxPaths bounds what it takes to tell where each value stands, in bytes.
	maxPaths = 64 << 20
)

// Error is what is wrong with a file.
type Error struct {
	// Line and Column count from 1. Line 0: the file as a whole; Column 0: the
	// line as a whole.
	Line, Column int
	// Detail says what is wrong.
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Line == 0:
		return e.Detail
	case e.Column == 0:
		return fmt.Sprintf("line %d: %s", e.Line, e.Detail)
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Detail)
}

// Document is a file that has been read.
type Document struct {
	value strictjson.Value
	// at maps the paths of values, and of fields, to where they stand.
	at map[string]position
}

type position struct{ line, column int }

// Parse reads a file. Errors are of type *Error.
func Parse(data []byte) (*Document, error) {
	root, err := parseNode(data)
	if err != nil {
		return nil, err
	}
	c := converter{at: make(map[string]position)}
	if err := c.value(root, "", 0); err != nil {
		return nil, err
	}
	d := &Document{at: c.at}
	if d.value, err = strictjson.Parse(c.json.Bytes()); err != nil {
		return nil, &Error{Detail: err.Error()}
	}
	return d, nil
}

func parseNode(data []byte) (*yaml.Node, error) {
	switch {
	case len(data) > maxBytes:
		return nil, &Error{Detail: fmt.Sprintf("it is larger than %d bytes", maxBytes)}
	case bytes.HasPrefix(data, []byte("\ufeff")):
		return nil, &Error{Line: 1, Column: 1, Detail: "it begins with a byte order mark"}
	case !utf8.Valid(data):
		return nil, &Error{Detail: "it is not UTF-8 text"}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, next yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, &Error{Detail: "it is empty"}
	case err != nil:
		return nil, syntaxError(err)
	}
	switch err := decoder.Decode(&next); {
	case err == nil:
		return nil, at(&next, "a second document begins")
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err)
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return nil, &Error{Detail: "it is empty"}
	}
	return document.Content[0], nil
}

// lineOf finds the line in an error of the yaml package, which has no field for
// it.
var lineOf = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

func syntaxError(err error) error {
	if m := lineOf.FindStringSubmatch(err.Error()); m != nil {
		if line, err := strconv.Atoi(m[1]); err == nil {
			return &Error{Line: line, Detail: m[2]}
		}
	}
	return &Error{Detail: strings.TrimPrefix(err.Error(), "yaml: ")}
}

func at(n *yaml.Node, format string, args ...any) error {
	return &Error{Line: n.Line, Column: n.Column, Detail: fmt.Sprintf(format, args...)}
}

// converter writes a YAML tree as JSON.
type converter struct {
	json  bytes.Buffer
	at    map[string]position
	paths int // bytes of all paths
}

func (c *converter) value(n *yaml.Node, path string, depth int) error {
	c.at[path] = position{n.Line, n.Column}
	c.paths += len(path)
	switch {
	case c.paths > maxPaths:
		return at(n, "it holds too many values below long names")
	case depth > maxDepth:
		return at(n, "nested deeper than %d", maxDepth)
	case n.Kind == yaml.AliasNode:
		return at(n, "aliases are not allowed: write the value out")
	case n.Anchor != "":
		return at(n, "anchors are not allowed: write the value out where it is used")
	case n.Style&yaml.TaggedStyle != 0:
		return at(n, "tags are not allowed")
	}
	switch n.Kind {
	case yaml.MappingNode:
		return c.mapping(n, path, depth)
	case yaml.SequenceNode:
		return c.sequence(n, path, depth)
	case yaml.ScalarNode:
		return c.scalar(n, path)
	}
	return at(n, "this cannot be understood")
}

func (c *converter) sequence(n *yaml.Node, path string, depth int) error {
	c.json.WriteByte('[')
	for i, element := range n.Content {
		if i > 0 {
			c.json.WriteByte(',')
		}
		if err := c.value(element, path+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
			return err
		}
	}
	c.json.WriteByte(']')
	return nil
}

func (c *converter) mapping(n *yaml.Node, path string, depth int) error {
	c.json.WriteByte('{')
	seen := make(map[string]string)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if err := checkKey(key); err != nil {
			return err
		}
		folded := strings.ToLower(key.Value)
		if before, twice := seen[folded]; twice {
			return at(key, "%q stands twice (%q before)", key.Value, before)
		}
		seen[folded] = key.Value
		if i > 0 {
			c.json.WriteByte(',')
		}
		if err := c.text(key.Value); err != nil {
			return err
		}
		c.json.WriteByte(':')
		member := strings.TrimPrefix(path+"."+key.Value, ".")
		if err := c.value(value, member, depth+1); err != nil {
			return err
		}
		// Errors about a member are shown at its name.
		c.at[member] = position{key.Line, key.Column}
	}
	c.json.WriteByte('}')
	return nil
}

func checkKey(key *yaml.Node) error {
	switch {
	case key.Kind == yaml.AliasNode || key.Anchor != "":
		return at(key, "anchors and aliases are not allowed")
	case key.ShortTag() == "!!merge":
		return at(key, "merge keys are not allowed: write the fields out")
	case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0:
		return at(key, "a name of a field must be text")
	case len(key.Value) > maxKey:
		return at(key, "a name has more than %d bytes", maxKey)
	case key.ShortTag() != "!!str":
		return at(key, "%q is not text: put it in quotes", key.Value)
	}
	return nil
}

// number is a number as JSON writes it; YAML has more forms, in which 010 may be
// eight or ten.
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func (c *converter) scalar(n *yaml.Node, path string) error {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return c.text(n.Value)
	case "!!bool":
		if n.Value != "true" && n.Value != "false" {
			return at(n, "%q: write true or false, or put it in quotes", n.Value)
		}
		c.json.WriteString(n.Value)
	case "!!int", "!!float":
		if !number.MatchString(n.Value) {
			return at(n, "%q: write a decimal number, or put it in quotes", n.Value)
		}
		c.json.WriteString(n.Value)
	case "!!null":
		return at(n, "%s has no value: give it one, or leave it out", pathName(path))
	default:
		return at(n, "%q cannot be understood: put it in quotes", n.Value)
	}
	return nil
}

func (c *converter) text(s string) error {
	quoted, err := json.Marshal(s)
	c.json.Write(quoted)
	return err
}

func pathName(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// Decode stores the document into a struct, by strictjson.Decode. A field that
// the struct does not have is an error, and so is a zero number or time, which would
// count as not given. Errors are of type *Error.
func (d *Document) Decode(into any) error {
	err := strictjson.Decode(d.value, into, strictjson.DecodeOptions{RefuseUnknown: true, RefuseZero: true})
	var wrong *strictjson.TypeError
	if errors.As(err, &wrong) {
		return d.Fail(wrong.Path, "%s", wrong.Detail)
	}
	return err
}

// Fail makes an error about what stands at a path, as in "rules[0].images". Where nothing
// stands at the path, the error is about what holds it.
func (d *Document) Fail(path, format string, args ...any) error {
	e := &Error{Detail: pathName(path) + " " + fmt.Sprintf(format, args...)}
	e.Line, e.Column = d.Position(path)
	return e
}

// Position is the line and column of what stands at a path or, where nothing does, of what
// holds it. Both count from 1; 0: the document has no such place.
func (d *Document) Position(path string) (line, column int) {
	for p := path; ; p = p[:max(0, strings.LastIndexAny(p, ".["))] {
		if at, there := d.at[p]; there || p == "" {
			return at.line, at.column
		}
	}
}
