package hashtree

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// ErrFilter is the error of a malformed pattern.
var ErrFilter = errors.New("malformed pattern")

// Filter chooses paths by patterns like those of a .gitignore file. A nil Filter
// lets everything pass.
type Filter struct{ rules []rule }

type rule struct {
	segments []string
	keep     bool // the pattern began with !
	dirOnly  bool
}

// NewFilter makes a filter of patterns that leave paths out. The last pattern that
// matches decides.
//
//   - A leading ! takes paths in again.
//   - *, ? and [a-z] do not match a slash; ** matches any number of directories.
//   - A pattern with a slash before its end begins at the tree's root. Others match at
//     any depth.
//   - A slash at the end matches directories only. What lies in a directory that is left
//     out is not looked at.
//   - Empty patterns and those that begin with # are comments.
//
// Source: gitignore(5), "Pattern format".
func NewFilter(patterns ...string) (*Filter, error) {
	f := &Filter{}
	for _, text := range patterns {
		p := strings.TrimRight(text, " \t\r")
		if p == "" || strings.HasPrefix(p, "#") {
			continue
		}
		r := rule{}
		if strings.HasPrefix(p, "!") {
			r.keep, p = true, p[1:]
		}
		p = strings.TrimPrefix(p, `\`)
		if strings.HasSuffix(p, "/") {
			r.dirOnly, p = true, strings.TrimSuffix(p, "/")
		}
		anchored := strings.Contains(p, "/")
		r.segments = strings.Split(strings.TrimPrefix(p, "/"), "/")
		if !anchored {
			r.segments = append([]string{"**"}, r.segments...)
		}
		for _, s := range r.segments {
			if _, err := path.Match(s, ""); err != nil || s == "" || s == "." || s == ".." {
				return nil, fmt.Errorf("%w %q", ErrFilter, text)
			}
		}
		f.rules = append(f.rules, r)
	}
	return f, nil
}

// Passes reports whether a file is taken in: it, and all directories above it.
func (f *Filter) Passes(file string) bool {
	for i := range len(file) {
		if file[i] == '/' && !f.passes(file[:i], true) {
			return false
		}
	}
	return f.passes(file, false)
}

// passes reports whether a path is taken in by itself.
func (f *Filter) passes(name string, dir bool) bool {
	if f == nil {
		return true
	}
	segments := strings.Split(name, "/")
	for i := len(f.rules) - 1; i >= 0; i-- {
		r := f.rules[i]
		if (dir || !r.dirOnly) && matches(r.segments, segments) {
			return r.keep
		}
	}
	return true
}

// matches compares segment by segment; ** stands for any number of them.
func matches(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			if len(pattern) == 1 {
				return len(name) > 0
			}
			for i := range len(name) + 1 {
				if matches(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], name[0]); err != nil || !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}
