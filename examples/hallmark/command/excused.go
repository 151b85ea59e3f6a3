package command

import (
	"fmt"

	"github.com/hallmark-oci/hallmark/verify"
)

// maxExcusedShown keeps excuses from hiding decisions.
const maxExcusedShown = 20

// excusedNodes say which vulnerabilities did not count, and why. They stand in every
// output: an excuse is a part of the decision that its reader may not agree with.
func excusedNodes(r verify.Report) (nodes []node) {
	all := excusedOf(r)
	for _, x := range all[:min(len(all), maxExcusedShown)] {
		nodes = append(nodes, node{words: words{doubt.of("excused"), x.ID, x.Severity, excuseWords(x), x.Reason, x.Evidence}})
	}
	if more := len(all) - maxExcusedShown; more > 0 {
		nodes = append(nodes, node{words: words{fmt.Sprintf("and %d more excused, which --output json lists", more)}})
	}
	return nodes
}

// excusedOf are those of all requirements, met or not.
func excusedOf(r verify.Report) (all []verify.Excused) {
	for _, m := range r.Requirements {
		all = append(all, m.Excused...)
	}
	for _, u := range r.Unmet {
		all = append(all, u.Excused...)
	}
	return all
}

// excuseWords say what excuses a vulnerability.
func excuseWords(x verify.Excused) string {
	if x.By == verify.ExcusedByPolicy {
		return "accepted by the policy until " + timeText(x.Until)
	}
	return x.Status + " by OpenVEX"
}
