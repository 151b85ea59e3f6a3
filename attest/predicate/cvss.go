package predicate

import (
	"math"
	"strings"
)

// cvssWeights are the metric values of CVSS v3 base scores (CVSS v3.1, section 7.4).
// PR has other weights where the scope changes.
var cvssWeights = map[string]map[string]float64{
	"AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
	"AC": {"L": 0.77, "H": 0.44},
	"PR": {"N": 0.85, "L": 0.62, "H": 0.27},
	"UI": {"N": 0.85, "R": 0.62},
	"S":  {"U": 0, "C": 1},
	"C":  {"H": 0.56, "L": 0.22, "N": 0},
	"I":  {"H": 0.56, "L": 0.22, "N": 0},
	"A":  {"H": 0.56, "L": 0.22, "N": 0},
}

// cvssTemporal are the metrics that only lower a base score.
const cvssTemporal = " E RL RC "

// scoreOfVector computes the base score of a CVSS v3 vector (CVSS v3.1, section 7.1).
// Vectors with environmental metrics are refused, because those raise a score.
func scoreOfVector(text string) (score float64, ok bool) {
	metrics, found := strings.CutPrefix(text, "CVSS:3.1/")
	if !found {
		if metrics, found = strings.CutPrefix(text, "CVSS:3.0/"); !found {
			return 0, false
		}
	}
	m := make(map[string]float64, len(cvssWeights))
	changed := strings.Contains(metrics, "/S:C/")
	for metric := range strings.SplitSeq(metrics, "/") {
		name, value, _ := strings.Cut(metric, ":")
		if strings.Contains(cvssTemporal, " "+name+" ") {
			continue
		}
		weight, known := cvssWeights[name][value]
		if _, twice := m[name]; twice || !known {
			return 0, false
		}
		if name == "PR" && changed {
			weight = map[string]float64{"N": 0.85, "L": 0.68, "H": 0.5}[value]
		}
		m[name] = weight
	}
	return cvssBase(m), len(m) == len(cvssWeights)
}

func cvssBase(m map[string]float64) float64 {
	lost := 1 - (1-m["C"])*(1-m["I"])*(1-m["A"])
	impact, factor := 6.42*lost, 1.0
	if m["S"] == 1 {
		impact, factor = 7.52*(lost-0.029)-3.25*math.Pow(lost-0.02, 15), 1.08
	}
	if impact <= 0 {
		return 0
	}
	exact := math.Min(10, factor*(impact+8.22*m["AV"]*m["AC"]*m["PR"]*m["UI"]))
	return math.Ceil(math.Round(exact*100000)/10000) / 10 // rounded up, as appendix A says
}
