package scan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/attest/predicate"
	"github.com/hallmark-oci/hallmark/internal/safetext"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// sarifVersion is the only version of SARIF that is read.
const sarifVersion = "2.1.0"

// Limits that keep the time of reading proportional to the size of a report.
const (
	maxSARIFRules  = 16   // of one ID
	maxSARIFRuleID = 1024 // bytes of an ID
	maxSARIFLevels = 8    // by which the ID of a result may be below its rule's
)

// The parts of SARIF 2.1.0 (OASIS, sections 3.14 run, 3.19 toolComponent, 3.20
// invocation, 3.27 result, 3.49 reportingDescriptor, 3.51
// configurationOverride) that a report needs.
// "security-severity" is the property by which GitHub's code scanning and the
// tools that write for it give a CVSS score.
type (
	sarifDriver struct {
		Name            string `json:"name"`
		Version         string `json:"version"`
		SemanticVersion string `json:"semanticVersion"`
		InformationURI  string `json:"informationUri"`
	}
	sarifRule struct {
		ID            string          `json:"id"`
		Properties    sarifProperties `json:"properties"`
		Configuration struct {
			Level string `json:"level"`
		} `json:"defaultConfiguration"`
	}
	sarifProperties struct {
		Score any      `json:"security-severity"`
		Tags  []string `json:"tags"`
	}
	sarifResult struct {
		RuleID    string    `json:"ruleId"`
		RuleIndex *int      `json:"ruleIndex"`
		Rule      sarifRule `json:"rule"`
		Level     string    `json:"level"`
		Kind      string    `json:"kind"`
		Baseline  string    `json:"baselineState"`

		Properties sarifProperties `json:"properties"`
	}
	sarifInvocation struct {
		Successful *bool `json:"executionSuccessful"`

		Overrides []sarifOverride `json:"ruleConfigurationOverrides"`
	}
	sarifOverride struct {
		Rule struct {
			ID        string `json:"id"`
			Index     *int   `json:"index"`
			Component any    `json:"toolComponent"`
		} `json:"descriptor"`
		Configuration struct {
			Level string `json:"level"`
		} `json:"configuration"`
	}
	// sarifImage are the members by which Trivy describes an image in a run's
	// properties.
	sarifImage struct {
		Name        string   `json:"imageName"`
		RepoDigests []string `json:"repoDigests"`
		ID          string   `json:"imageID"`
	}
)

// readSARIF reads SARIF. Every result that reports a problem is a finding, by any tool.
// Suppressed results count too: the file does not show who suppressed them, and some
// versions of Grype mark all results.
func (r *Report) readSARIF(root strictjson.Value) error {
	if !root.Get("version").Is(sarifVersion) {
		return fmt.Errorf("%w: version of SARIF is %.40s, want %q", ErrVersion, root.Get("version").Raw(), sarifVersion)
	}
	if err := refuseOtherCase(root, "runs", "inlineExternalProperties"); err != nil {
		return err
	}
	if err := nothingAt(root, "inlineExternalProperties"); err != nil {
		return err
	}
	runs := root.Get("runs")
	if runs.Kind() != strictjson.Array || runs.Len() == 0 {
		return fmt.Errorf("%w: SARIF without a run", ErrInvalid)
	}
	first := true
	for run := range runs.Elems() {
		if err := r.readSARIFTool(run.Get("tool").Get("driver"), first); err != nil {
			return err
		}
		if err := r.readSARIFRun(run); err != nil {
			return err
		}
		first = false
	}
	return nil
}

// nothingAt refuses a member that says that parts of the report, possibly results, are in
// other files.
func nothingAt(v strictjson.Value, name string) error {
	switch part := v.Get(name); {
	case part.Kind() == strictjson.Missing, part.Kind() == strictjson.Null:
	case part.Kind() == strictjson.Array && part.Len() == 0:
	default:
		return fmt.Errorf("%w: %s says that parts of the report are in other files", ErrInvalid, name)
	}
	return nil
}

func (r *Report) readSARIFTool(v strictjson.Value, first bool) error {
	var d sarifDriver
	if err := r.decode(v, "the tool", &d, "version", "semanticVersion", "informationUri"); err != nil {
		return err
	}
	if d.Name == "" {
		return fmt.Errorf("%w: a run does not name its tool", ErrInvalid)
	}
	tool := Tool{Name: d.Name, URI: publicURL(d.InformationURI), Version: d.Version}
	if tool.Version == "" {
		tool.Version = d.SemanticVersion
	}
	if lower := strings.ToLower(d.Name); lower == "trivy" || lower == "grype" {
		tool.Name = lower
	}
	if !first && tool != r.Scanner {
		return fmt.Errorf("%w: runs of several tools in one file (%s and %s): a report is about one scanner",
			ErrInvalid, safetext.Of(r.Scanner.Name, 40), safetext.Of(tool.Name, 40))
	}
	r.Scanner = tool
	return nil
}

func (r *Report) readSARIFRun(run strictjson.Value) error {
	const elsewhere = "externalPropertyFileReferences"
	if err := refuseOtherCase(run, "invocations", "properties", "results", "tool", elsewhere); err != nil {
		return err
	}
	if err := nothingAt(run, elsewhere); err != nil {
		return err
	}
	overrides, err := r.readSARIFInvocations(run.Get("invocations"))
	if err != nil {
		return err
	}
	if err := r.readSARIFImage(run.Get("properties")); err != nil {
		return err
	}
	if run.Get("results").Kind() != strictjson.Array {
		// Section 3.14.23: an empty list says that nothing was found. A run without a
		// list did not look, or has its results in another file.
		return fmt.Errorf("%w: a run has no list of results", ErrInvalid)
	}
	rules, err := readSARIFRules(run.Get("tool"))
	if err == nil {
		err = rules.override(overrides)
	}
	if err != nil {
		return err
	}
	return r.readSARIFResults(run.Get("results"), rules)
}

func (r *Report) readSARIFImage(properties strictjson.Value) error {
	var image sarifImage
	if err := decodeScan(properties, "a run's properties", &image); err != nil {
		return err
	}
	if image.Name != "" {
		r.Target.Name, r.Target.Type = publicURL(image.Name), "container_image"
	}
	r.Target.addDigests(image.RepoDigests...)
	if isSHA256(image.ID) {
		r.Target.ImageID = image.ID
	}
	return nil
}

func (r *Report) readSARIFResults(list strictjson.Value, rules *sarifRules) error {
	for element := range list.Elems() {
		var result sarifResult
		if err := decodeScan(element, "a result", &result); err != nil {
			return err
		}
		if !result.reportsProblem() {
			continue
		}
		if err := checkRuleID(result.ruleID()); err != nil {
			return err
		}
		if err := r.add(rules.finding(result)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Report) readSARIFInvocations(v strictjson.Value) ([]sarifOverride, error) {
	var overrides []sarifOverride
	list, err := scanList(v, "invocations")
	if err != nil {
		return nil, err
	}
	for element := range list.Elems() {
		var i sarifInvocation
		if err := decodeScan(element, "an invocation", &i); err != nil {
			return nil, err
		}
		if i.Successful != nil && !*i.Successful {
			return nil, fmt.Errorf("%w: the tool says that it failed", ErrInvalid)
		}
		start, end, err := r.times.ofInvocation(element)
		if err != nil {
			return nil, err
		}
		r.StartedOn, r.FinishedOn = firstKnown(r.StartedOn, start), lastKnown(r.FinishedOn, end)
		overrides = append(overrides, i.Overrides...)
	}
	return overrides, nil
}

func (t *times) ofInvocation(invocation strictjson.Value) (start, end time.Time, err error) {
	const from, until = "startTimeUtc", "endTimeUtc"
	v, err := invocation.Whole()
	if err != nil {
		return start, end, fmt.Errorf("%w: an invocation: %w", ErrInvalid, err)
	}
	if err := refuseOtherCase(v, from, until); err != nil {
		return start, end, err
	}
	if start, err = t.read(v.Get(from), from); err == nil {
		end, err = t.read(v.Get(until), until)
	}
	return start, end, err
}

// firstKnown and lastKnown choose between times. A zero time is not known.
func firstKnown(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func lastKnown(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// reportsProblem is false for results without a problem (section 3.27.9; they have no
// level), and for problems of an earlier run that are gone (3.27.24).
func (s sarifResult) reportsProblem() bool {
	switch s.Kind {
	case "pass", "notApplicable", "informational":
		return s.Level != "" && s.Level != "none"
	}
	return s.Baseline != "absent"
}

// ruleID is the name by which the result calls its rule, or "".
func (s sarifResult) ruleID() string {
	if s.RuleID != "" {
		return s.RuleID
	}
	return s.Rule.ID
}

// sarifRules finds the rules that a result may be about.
type sarifRules struct {
	byIndex []sarifRule // the driver's
	byID    map[string][]sarifRule
	// overridden maps IDs to the worst level that an invocation gives the rule.
	overridden map[string]string
}

func readSARIFRules(tool strictjson.Value) (*sarifRules, error) {
	if err := refuseOtherCase(tool, "driver", "extensions"); err != nil {
		return nil, err
	}
	rules := &sarifRules{byID: make(map[string][]sarifRule)}
	if err := rules.add(tool.Get("driver"), true); err != nil {
		return nil, err
	}
	if !tool.Get("extensions").Exists() {
		return rules, nil
	}
	extensions, err := strictjson.Unfold(tool.Get("extensions"), 1)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if extensions, err = scanList(extensions, "extensions"); err != nil {
		return nil, err
	}
	for extension := range extensions.Elems() {
		if err := rules.add(extension, false); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

func (s *sarifRules) add(component strictjson.Value, driver bool) error {
	v, err := strictjson.Unfold(component, 2)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := refuseOtherCase(v, "rules"); err != nil {
		return err
	}
	list, err := scanList(v.Get("rules"), "rules")
	if err != nil {
		return err
	}
	for element := range list.Elems() {
		var rule sarifRule
		if err := decodeScan(element, "a rule", &rule); err != nil {
			return err
		}
		if err := checkRuleID(rule.ID); err != nil {
			return err
		}
		if len(s.byID[rule.ID]) >= maxSARIFRules {
			return fmt.Errorf("%w: more than %d rules of one ID", ErrInvalid, maxSARIFRules)
		}
		s.byID[rule.ID] = append(s.byID[rule.ID], rule)
		if driver {
			s.byIndex = append(s.byIndex, rule)
		}
	}
	return nil
}

// override keeps the worst level that an invocation gives each rule. A result need not
// name its invocation.
func (s *sarifRules) override(all []sarifOverride) error {
	s.overridden = make(map[string]string)
	for _, o := range all {
		id := o.Rule.ID
		if i := o.Rule.Index; id == "" && i != nil && *i >= 0 && *i < len(s.byIndex) && o.Rule.Component == nil {
			id = s.byIndex[*i].ID
		}
		if id == "" {
			return fmt.Errorf("%w: an override names no rule", ErrInvalid)
		}
		if err := checkRuleID(id); err != nil {
			return err
		}
		s.overridden[id] = worseLevel(s.overridden[id], o.Configuration.Level)
	}
	return nil
}

// worseLevel is the worse of two levels. An empty level says nothing. A level that is not
// known is the worst.
func worseLevel(a, b string) string {
	rank := func(level string) int {
		if at := slices.Index([]string{"", "none", "note", "warning", "error"}, level); at >= 0 {
			return at
		}
		return 5
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func checkRuleID(id string) error {
	if len(id) > maxSARIFRuleID {
		return fmt.Errorf("%w: a rule's ID of more than %d bytes", ErrInvalid, maxSARIFRuleID)
	}
	return nil
}

// of returns a result's rules. IDs need not be unique (section 3.19.23). The ID of a
// result may be below its rule's, as in "CA1000/1" (section 3.27.5).
func (s *sarifRules) of(result sarifResult) []sarifRule {
	id := result.ruleID()
	for cut := 0; id != "" && cut <= maxSARIFLevels; cut++ {
		if rules := s.byID[id]; len(rules) > 0 {
			return rules
		}
		id = id[:max(0, strings.LastIndexByte(id, '/'))]
	}
	if i := result.RuleIndex; i != nil && *i >= 0 && *i < len(s.byIndex) {
		return s.byIndex[*i : *i+1]
	}
	return []sarifRule{{}}
}

// finding makes a finding of a result. Of several rules the worst one counts.
func (s *sarifRules) finding(result sarifResult) Finding {
	rules := s.of(result)
	id := result.ruleID()
	if id == "" {
		id = rules[0].ID
	}
	var worst sarifRating
	for _, rule := range rules {
		rule.Configuration.Level = worseLevel(rule.Configuration.Level, s.overridden[rule.ID])
		rated := rateSARIF(result, rule)
		worst.say(rated.severity, rated.known, rated.method, rated.text)
	}
	return Finding{ID: id, Severity: worst.severity, Rated: worst.known, Original: worst.text, Method: worst.method}
}

// sarifRating is the worst severity so far.
type sarifRating struct {
	said         bool
	severity     predicate.Severity
	known        bool
	method, text string
}

func (r *sarifRating) say(s predicate.Severity, known bool, method, text string) {
	if !r.said || s.WorseThan(r.severity) || r.known && !known {
		*r = sarifRating{true, s, known, method, text}
	}
}

// rateSARIF is the severity of a result and its rule: the worst of a tag that names one
// (Trivy), of the CVSS score in "security-severity", and of the level. If none of them
// says anything, the severity is not known.
func rateSARIF(result sarifResult, rule sarifRule) sarifRating {
	var r sarifRating
	for _, tag := range slices.Concat(rule.Properties.Tags, result.Properties.Tags) {
		switch strings.ToLower(tag) {
		case "critical", "high", "medium", "low", "negligible", "unknown":
			s, known := predicate.ParseSeverity(tag)
			r.say(s, known, "tag", tag)
		}
	}
	r.score(rule.Properties.Score)
	r.score(result.Properties.Score)
	level := result.Level
	if level == "" {
		level = rule.Configuration.Level
	}
	r.level(level)
	return r
}

// score rates by "security-severity". Tools write a score of 0 where they know none: it
// says nothing beside a tag, and alone it is not known.
func (r *sarifRating) score(v any) {
	if v == nil {
		return
	}
	text := fmt.Sprint(v)
	score, err := strconv.ParseFloat(text, 64)
	switch {
	case err == nil && score > 0 && score <= 10:
		r.say(predicate.SeverityOfScore(score), true, "security-severity", text)
	case err == nil && score == 0 && r.said:
	default:
		r.say(predicate.SeverityCritical, false, "security-severity", text)
	}
}

// level rates by the level. Tools use "error" for critical and for high. Alone it is
// critical; beside another rating it is at least high.
func (r *sarifRating) level(level string) {
	switch {
	case level == "error" && r.said:
		r.say(predicate.SeverityHigh, true, predicate.MethodSARIFLevel, level)
	case level == "error":
		r.say(predicate.SeverityCritical, true, predicate.MethodSARIFLevel, level)
	case level == "warning":
		r.say(predicate.SeverityMedium, true, predicate.MethodSARIFLevel, level)
	case level == "note":
		r.say(predicate.SeverityLow, true, predicate.MethodSARIFLevel, level)
	case !r.said || level != "" && level != "none":
		r.say(predicate.SeverityCritical, false, predicate.MethodSARIFLevel, level)
	}
}
