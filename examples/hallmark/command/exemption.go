package command

import (
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// exemptedNode says which requirement an exemption excuses, and what is not met.
func exemptedNode(x verify.Exempted) node {
	n := node{words: words{doubt.of("exempt"), "from " + x.Name + " until " + timeText(x.Until) + remaining(x.Until), "by " + x.By, x.Reason, ofTeam(x.Team), faint.of("%s", x.Requirement)}}
	for _, u := range x.Unmet {
		n.add(doubt.of("not met"), u.Title, string(u.Reason), u.Detail)
	}
	return n
}

// remaining warns of an end that is past or in the last week of an exemption; empty: it is
// later.
func remaining(until time.Time) string {
	switch left := time.Until(until); {
	case left <= 0:
		return " (has ended)"
	case left <= policy.ExemptionEndsSoon:
		return fmt.Sprintf(" (ends in %d days)", int(left.Hours()/24))
	}
	return ""
}
