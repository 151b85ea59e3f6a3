package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// figure is a quantity that was measured in several rounds.
type figure struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

func figureOf(rounds []float64) figure {
	sorted := slices.Sorted(slices.Values(rounds))
	if len(sorted) == 0 {
		return figure{}
	}
	return figure{Median: sorted[len(sorted)/2], Low: sorted[0], High: sorted[len(sorted)-1]}
}

// entry is what one library or program took. The first of a row is Hallmark's.
type entry struct {
	Who string `json:"who"`
	figure
	// Ratio is how many times as good Hallmark is.
	Ratio float64 `json:"ratio,omitempty"`
	Note  string  `json:"note,omitempty"`
}

// row is one kind of work.
type row struct {
	Section string `json:"section"`
	Work    string `json:"work"`
	Unit    string `json:"unit"`
	// More says that more is better.
	More    bool    `json:"more,omitempty"`
	Entries []entry `json:"entries"`
	Target  string  `json:"target,omitempty"`
	Verdict string  `json:"verdict,omitempty"`
}

// goal is what a row is to reach: a bound of Hallmark's own figure, or of how
// many times as good it is as an entry.
type goal struct {
	atMost, atLeast float64
	times           float64
	as              string
	// costs bounds how many times as much it may take as an entry.
	costs float64
}

// met says what is aimed at, and by what part of it the row misses it; 0 or less
// where it does not.
func (g goal) met(r row) (target string, missing float64) {
	ours := r.Entries[0].Median
	switch {
	case g.atMost > 0:
		return fmt.Sprintf("at most %s", number(g.atMost)), ours/g.atMost - 1
	case g.atLeast > 0:
		return fmt.Sprintf("at least %s", number(g.atLeast)), 1 - ours/g.atLeast
	case g.times > 0 || g.costs > 0:
		for _, e := range r.Entries[1:] {
			switch {
			case e.Who != g.as:
			case g.costs > 0:
				return fmt.Sprintf("at most %.2f times %s", g.costs, g.as), ours/e.Median/g.costs - 1
			default:
				return fmt.Sprintf("%g times as good as %s", g.times, g.as), 1 - e.Ratio/g.times
			}
		}
	}
	return "", 0
}

// table is all that was measured.
type table struct {
	Date    string `json:"date"`
	Machine string `json:"machine"`
	Command string `json:"command"`
	Rows    []row  `json:"rows"`
	Curves  []plot `json:"curves,omitempty"`
	missed  int
	out     io.Writer
	section string
}

// nearly is by how much a target may be missed and still be called that.
const nearly = 0.1

// add completes a row and prints it.
func (t *table) add(r row, g goal) {
	ours := r.Entries[0].Median
	for i := range r.Entries[1:] {
		e := &r.Entries[i+1]
		if r.More {
			e.Ratio = ours / e.Median
		} else {
			e.Ratio = e.Median / ours
		}
	}
	var missing float64
	if r.Target, missing = g.met(r); r.Target != "" {
		switch {
		case missing <= 1e-9:
			r.Verdict = "met"
		case missing <= nearly:
			r.Verdict = "nearly"
		default:
			r.Verdict = "MISSED"
			t.missed++
		}
	}
	t.Rows = append(t.Rows, r)
	t.print(r)
}

func (t *table) print(r row) {
	if r.Section != t.section {
		t.section = r.Section
		_, _ = fmt.Fprintf(t.out, "\n%s\n", strings.ToUpper(r.Section))
	}
	verdict := ""
	if r.Target != "" {
		verdict = "   [" + r.Target + ": " + r.Verdict + "]"
	}
	_, _ = fmt.Fprintf(t.out, "%s (%s)%s\n", r.Work, r.Unit, verdict)
	for i, e := range r.Entries {
		ratio := ""
		if i > 0 {
			ratio = fmt.Sprintf("%.2fx", e.Ratio)
		}
		line := fmt.Sprintf("  %-26s %10s  %-21s %9s  %s", e.Who, number(e.Median), spread(e.figure), ratio, e.Note)
		_, _ = fmt.Fprintln(t.out, strings.TrimRight(line, " "))
	}
}

func spread(f figure) string {
	if f.Low == f.High {
		return ""
	}
	return "(" + number(f.Low) + " to " + number(f.High) + ")"
}

// number writes three significant digits.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (t *table) json(w *os.File) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(t)
}

func (t *table) svg(w *os.File) error {
	if len(t.Curves) == 0 {
		return errors.New("no curve was measured")
	}
	return t.Curves[0].svg(w)
}
