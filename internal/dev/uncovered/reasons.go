package main

import (
	"fmt"
	"strconv"
	"strings"
)

// reasons are those of explained.txt: for each function why that many of its blocks
// are not reached.
type reasons struct {
	of    map[string][]reason
	taken int
}

type reason struct {
	left int
	text string
}

// parseReasons reads lines of a file, a function, a number and the reason. A function
// may have several. Lines that begin with # are headings.
func parseReasons(text string) (*reasons, error) {
	all := &reasons{of: make(map[string][]reason)}
	for n, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.SplitN(line, " ", 4)
		if len(fields) != 4 {
			return nil, fmt.Errorf("explained.txt:%d: want a file, a function, a number and a reason: %q", n+1, line)
		}
		count, err := strconv.Atoi(fields[2])
		if err != nil || count < 1 {
			return nil, fmt.Errorf("explained.txt:%d: %q is not a number of blocks", n+1, fields[2])
		}
		key := fields[0] + " " + fields[1]
		all.of[key] = append(all.of[key], reason{count, fields[3]})
	}
	return all, nil
}

// take is why a block of a function is not reached; "" where none is given.
func (r *reasons) take(file, function string) string {
	all := r.of[file+" "+function]
	for i := range all {
		if all[i].left > 0 {
			all[i].left--
			r.taken++
			return all[i].text
		}
	}
	return ""
}
