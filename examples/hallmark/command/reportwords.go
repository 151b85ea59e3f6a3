package command

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// valueOf is the first value of a name.
func valueOf(facts []fact, name string) string {
	for _, f := range facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// sentence builds one of words of ours and texts of claims.
type sentence []span

func (s *sentence) say(text string) { *s = append(*s, span{Text: text}) }

// claim adds a text of the claim behind words of ours, if there is one.
func (s *sentence) claim(before, text string) {
	if text != "" {
		*s = append(*s, span{Text: before}, span{Text: text, Claim: true})
	}
}

// time adds a time of the claim. A text that is not a time stays as it is.
func (s *sentence) time(before, text string) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		s.say(before + timeOf(t))
		return
	}
	s.claim(before, text)
}

// provenanceSentence says how the image was built.
func provenanceSentence(facts []fact) []span {
	var s sentence
	builder, source := valueOf(facts, "builder"), valueOf(facts, "source")
	if builder == "" {
		s.say("It names no builder")
	} else {
		s.claim("Built by ", builder)
	}
	if source == "" {
		s.say(", from a source that it does not name")
	}
	s.claim(", from ", source)
	s.claim(" at commit ", valueOf(facts, "commit"))
	s.time(", finished on ", valueOf(facts, "finished"))
	s.say(".")
	return s
}

// billSentence says what the image is made of.
func billSentence(facts []fact) []span {
	var s sentence
	s.claim("A bill of materials in ", valueOf(facts, "format"))
	s.claim(" of ", valueOf(facts, "name"))
	s.time(", made on ", valueOf(facts, "created"))
	if len(s) == 0 {
		s.say("A bill of materials that could not be read")
	}
	s.say(".")
	return s
}

// scanSentence says who looked for vulnerabilities, and when.
func scanSentence(facts []fact) []span {
	var s sentence
	s.claim("Scanned by ", valueOf(facts, "scanner"))
	s.time(" on ", valueOf(facts, "finished"))
	s.claim(", with the database ", valueOf(facts, "database"))
	s.time(" of ", valueOf(facts, "database updated"))
	if valueOf(facts, "findings") == "" {
		s.say("; it does not say what was found")
	}
	s.say(".")
	return s
}

// severityClass colours figures.
func severityClass(severity string) string {
	switch severity {
	case "critical", "high":
		return "bad"
	case "medium", "of unknown severity":
		return "doubt"
	}
	return ""
}

// figuresOf are the numbers of a claim: findings by severity, packages, components.
// Package predicate writes findings as "3: 1 high, 2 low".
func figuresOf(facts []fact) (all []figure) {
	for _, f := range facts {
		switch f.Name {
		case "packages", "components":
			if _, err := strconv.ParseUint(f.Value, 10, 63); err == nil {
				all = append(all, figure{f.Value, f.Name, ""})
			}
		case "findings":
			all = append(all, findings(f.Value)...)
		}
	}
	return all
}

func findings(value string) []figure {
	total, rest, _ := strings.Cut(value, ": ")
	n, err := strconv.ParseUint(total, 10, 63)
	if err != nil {
		return nil // such as "not counted"
	}
	class := ""
	if n == 0 {
		class = "good"
	}
	all := []figure{{fmt.Sprint(n), "findings", class}}
	for part := range strings.SplitSeq(rest, ", ") {
		if count, of, found := strings.Cut(part, " "); found {
			all = append(all, figure{count, of, severityClass(of)})
		}
	}
	return all
}
