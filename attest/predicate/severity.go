package predicate

import "strings"

// Severity is how bad a finding is. The zero value is the worst one: a severity that was
// never set must not pass as harmless.
type Severity int

// The severities, the worst first.
const (
	SeverityCritical Severity = iota
	SeverityHigh
	SeverityMedium
	SeverityLow
	// SeverityNegligible is what scanners call negligible or none.
	SeverityNegligible
)

// String returns the severity's name in lower case.
func (s Severity) String() string {
	switch s {
	case SeverityHigh:
		return "high"
	case SeverityMedium:
		return "medium"
	case SeverityLow:
		return "low"
	case SeverityNegligible:
		return "negligible"
	}
	return "critical"
}

// WorseThan reports whether s is above limit.
func (s Severity) WorseThan(limit Severity) bool { return s < limit }

// ParseSeverity reads the words of scanners, in any case: critical; high or important;
// medium or moderate; low; negligible or none. Every other text, "unknown" and ""
// included, is critical and not known. An attacker could otherwise hide a finding by
// spelling its severity in another way.
func ParseSeverity(text string) (s Severity, known bool) {
	// ToLower folds some characters outside of ASCII into it.
	for _, c := range []byte(text) {
		if c >= 0x80 {
			return SeverityCritical, false
		}
	}
	switch strings.ToLower(text) {
	case "critical":
		return SeverityCritical, true
	case "high", "important":
		return SeverityHigh, true
	case "medium", "moderate":
		return SeverityMedium, true
	case "low":
		return SeverityLow, true
	case "negligible", "none":
		return SeverityNegligible, true
	}
	return SeverityCritical, false
}

// SeverityOfScore gives a CVSS v3 base score above 0 its name (CVSS v3.1, section
// 5, "Qualitative Severity Rating Scale").
func SeverityOfScore(score float64) Severity {
	switch {
	case score >= 9:
		return SeverityCritical
	case score >= 7:
		return SeverityHigh
	case score >= 4:
		return SeverityMedium
	}
	return SeverityLow
}

// SeverityCounts say how many findings there are of each severity.
type SeverityCounts struct {
	Critical, High, Medium, Low, Negligible int
	// Unknown is how many of Critical stand there because the scanner gave no
	// severity that is known.
	Unknown int
}

// Total returns the number of findings.
func (c SeverityCounts) Total() int { return c.Critical + c.High + c.Medium + c.Low + c.Negligible }

// WorseThan returns how many findings are above limit.
func (c SeverityCounts) WorseThan(limit Severity) int {
	n := 0
	for s, count := range []int{c.Critical, c.High, c.Medium, c.Low, c.Negligible} {
		if Severity(s).WorseThan(limit) {
			n += count
		}
	}
	return n
}

// Add counts a finding. rated says that its scanner gave a known severity.
func (c *SeverityCounts) Add(s Severity, rated bool) {
	switch s {
	case SeverityHigh:
		c.High++
	case SeverityMedium:
		c.Medium++
	case SeverityLow:
		c.Low++
	case SeverityNegligible:
		c.Negligible++
	default:
		c.Critical++
	}
	if !rated {
		c.Unknown++
	}
}
