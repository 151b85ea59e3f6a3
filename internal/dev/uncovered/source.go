package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
)

// place is where a block stands.
type place struct {
	function string
	text     string // in one line, cut off
	passesOn bool   // it passes on an error, and does nothing else
}

// sources are the files that were parsed.
var sources = make(map[string]*source)

type source struct {
	text []byte
	set  *token.FileSet
	file *ast.File
}

func load(path string) (*source, error) {
	if s := sources[path]; s != nil {
		return s, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &source{text: text, set: token.NewFileSet()}
	if s.file, err = parser.ParseFile(s.set, path, text, parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	sources[path] = s
	return s, nil
}

func locate(b block) (place, error) {
	s, err := load(b.file)
	if err != nil {
		return place{}, err
	}
	lines := s.set.File(s.file.Pos())
	if b.fromLine > b.line || b.line > lines.LineCount() {
		return place{}, fmt.Errorf("%s:%d: the profile is of another source", b.file, b.fromLine)
	}
	from := lines.LineStart(b.fromLine) + token.Pos(b.fromColumn-1)
	to := lines.LineStart(b.line) + token.Pos(b.column-1)
	at := place{function: s.function(from)}
	if from > to || int(to) > lines.Base()+lines.Size() {
		return place{}, fmt.Errorf("%s:%d: the profile is of another source", b.file, b.fromLine)
	}
	text := string(s.text[lines.Offset(from):lines.Offset(to)])
	at.text = strings.Join(strings.Fields(text), " ")
	at.text = at.text[:min(len(at.text), 120)]
	at.passesOn = s.passesOn(from, to)
	return at, nil
}

// function is the name of the function that holds a position, with its receiver's
// type.
func (s *source) function(pos token.Pos) string {
	for _, d := range s.file.Decls {
		f, is := d.(*ast.FuncDecl)
		if !is || pos < f.Pos() || pos > f.End() {
			continue
		}
		if f.Recv == nil {
			return f.Name.Name
		}
		t := f.Recv.List[0].Type
		if star, is := t.(*ast.StarExpr); is {
			t = star.X
		}
		if generic, is := t.(*ast.IndexExpr); is {
			t = generic.X
		}
		if name, is := t.(*ast.Ident); is {
			return name.Name + "." + f.Name.Name
		}
		return f.Name.Name
	}
	return ""
}

// passesOn reports whether a block is what is done where err is not nil, and only
// returns it, perhaps in another error.
func (s *source) passesOn(from, to token.Pos) bool {
	found := false
	ast.Inspect(s.file, func(n ast.Node) bool {
		if n == nil || n.End() < from || n.Pos() > to {
			return false
		}
		switch n := n.(type) {
		case *ast.IfStmt:
			found = found || n.Body.Pos() >= from-1 && n.Body.Pos() <= from+1 && failed(n.Cond) && returns(n.Body.List)
		case *ast.CaseClause:
			if len(n.List) > 0 && n.Colon >= from-1 && n.Colon <= from+1 {
				found = found || failed(n.List[0]) && returns(n.Body)
			}
		}
		return true
	})
	return found
}

// failed reports whether a condition is that there is an error.
func failed(condition ast.Expr) bool {
	c, is := condition.(*ast.BinaryExpr)
	if !is {
		return false
	}
	if c.Op == token.LAND || c.Op == token.LOR {
		return failed(c.X) || failed(c.Y)
	}
	name, is := c.X.(*ast.Ident)
	nothing, isToo := c.Y.(*ast.Ident)
	return is && isToo && c.Op == token.NEQ && name.Name == "err" && nothing.Name == "nil"
}

// returns reports whether statements do nothing but return what has err in it.
func returns(list []ast.Stmt) bool {
	if len(list) != 1 {
		return false
	}
	r, is := list[0].(*ast.ReturnStmt)
	if !is {
		return false
	}
	uses := false
	for _, value := range r.Results {
		ast.Inspect(value, func(n ast.Node) bool {
			name, is := n.(*ast.Ident)
			uses = uses || is && name.Name == "err"
			return !uses
		})
	}
	return uses || len(r.Results) == 0
}
