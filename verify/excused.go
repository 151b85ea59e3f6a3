package verify

import (
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
)

// Excused is a vulnerability that a scan has found, worse than its requirement accepts, and
// that did not count.
type Excused struct {
	// ID is the scanner's. Severity is what the scan says.
	ID       string `json:"id"`
	Severity string `json:"severity"`
	// By is what excuses it: ExcusedByVEX or ExcusedByPolicy.
	By string `json:"by"`
	// Status is what the OpenVEX statement says: not_affected or fixed. Empty: the policy
	// accepts the vulnerability.
	Status string `json:"status,omitempty"`
	// Reason is the justification of the OpenVEX statement, or the policy's reason.
	Reason string `json:"reason,omitempty"`
	// Evidence is the digest of the manifest that carries the OpenVEX document. Empty: the
	// policy accepts it, or a bundle was given.
	Evidence string `json:"evidence,omitempty"`
	// Until is when the policy ends to accept it. Zero: OpenVEX excuses it.
	Until time.Time `json:"until,omitzero"`
}

// What excuses a vulnerability: an OpenVEX document of the role VEXBy, or Accept.
const (
	ExcusedByVEX    = "openvex"
	ExcusedByPolicy = "policy"
)

// maxExcused bounds what one requirement lists.
const maxExcused = 500

// excuses are the vulnerabilities that OpenVEX documents call harmless, by the scanner's
// IDs, and those that a judgement passed over.
type excuses struct {
	of   map[string]Excused
	used []Excused
}

// has reports whether OpenVEX excuses a vulnerability. Nil excuses nothing.
func (x *excuses) has(id string) bool {
	if x == nil {
		return false
	}
	_, is := x.of[id]
	return is
}

// use notes that a finding was passed over, for what by says of it.
func (x *excuses) use(f found, by Excused) {
	if x == nil || len(x.used) >= maxExcused {
		return
	}
	by.ID, by.Severity, by.Reason = registry.SafeText(f.id, maxDetail), f.severity.String(), registry.SafeText(by.Reason, maxDetail)
	for _, u := range x.used {
		if u.ID == by.ID {
			return
		}
	}
	x.used = append(x.used, by)
}

// words say what was passed over; empty: nothing.
func (x *excuses) words() string {
	if x == nil || len(x.used) == 0 {
		return ""
	}
	const shown = 5
	var parts []string
	for _, u := range x.used[:min(len(x.used), shown)] {
		why := "accepted by the policy"
		if u.By == ExcusedByVEX {
			why = u.Status + " by OpenVEX"
		}
		parts = append(parts, fmt.Sprintf("%s (%s, %s)", u.ID, u.Severity, why))
	}
	text := "excused: " + strings.Join(parts, ", ")
	if more := len(x.used) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// joinExcused appends what is not yet listed.
func joinExcused(all, more []Excused) []Excused {
	x := excuses{used: all}
	for _, m := range more {
		listed := false
		for _, u := range x.used {
			listed = listed || u.ID == m.ID
		}
		if !listed && len(x.used) < maxExcused {
			x.used = append(x.used, m)
		}
	}
	return x.used
}
