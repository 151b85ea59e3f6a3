package main

import (
	"fmt"
	"os"
	"strings"
)

// markdown writes the table as README.md in this directory shows it.
func (t *table) markdown(w *os.File) error {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s, %s:\n\n", t.Command, t.Date, t.Machine)
	b.WriteString("| work | unit | Hallmark | peers (how many times as good Hallmark is) | target |\n|---|---|---|---|---|\n")
	section := ""
	for _, r := range t.Rows {
		if r.Section != section {
			section = r.Section
			fmt.Fprintf(&b, "| **%s** | | | | |\n", section)
		}
		target := r.Target
		if target != "" {
			target += ": " + r.Verdict
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", strings.TrimSpace(r.Work), r.Unit, r.Entries[0].cell(), peers(r.Entries[1:]), target)
	}
	_, err := w.WriteString(b.String())
	return err
}

func (e entry) cell() string {
	text := number(e.Median)
	if s := spread(e.figure); s != "" {
		text += " " + s
	}
	return text
}

func peers(all []entry) string {
	var texts []string
	for _, e := range all {
		texts = append(texts, fmt.Sprintf("%s %s (%.1f×)", e.Who, number(e.Median), e.Ratio))
	}
	return strings.Join(texts, ", ")
}
