package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

const attestedHelp = `--type judges attestations of a predicate type in place of signatures. Each --where must
hold in the signed predicate. POINTER is a JSON pointer, up to the first =. VALUE is one of:
  - true or false, or a JSON number: the member must be that, and numbers compare by value;
  - a text in JSON's double quotes: the member must be that text;
  - anything else but null, a list or an object: that text itself.
So /count=1 wants the number 1, and '/count="1"' the text 1. Types with conditions of their
own want them: provenance --builder, scans --max-severity, a vsa --verifier. Others count
whatever they say if --where is left out. More can be said in a policy.`

// Errors of values of --where.
var (
	errNotUTF8  = errors.New("the value is not UTF-8")
	errNoScalar = errors.New("the value is not a string, number, true or false; text that looks like JSON stands in JSON's double quotes")
)

// attestedFlags describe the attestation that must be there, in place of a signature.
type attestedFlags struct {
	kind     string
	where    []string
	builders []string
	sources  []string
	severity string
	verifier []string
	maxAge   time.Duration
}

func (f *attestedFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "type", "", "judge attestations of this `TYPE`, a name or a URI, in place of signatures")
	flags.StringArrayVar(&f.where, "where", nil, "with --type: the member at this `POINTER=VALUE` of the predicate must have the value (repeatable)")
	flags.StringArrayVar(&f.builders, "builder", nil, "with --type slsaprovenance: accept this builder `ID` (repeatable)")
	flags.StringArrayVar(&f.sources, "source", nil, "with --type slsaprovenance: accept this source `URI` (repeatable; default any)")
	flags.StringVar(&f.severity, "max-severity", "", "with --type vuln or vulns: the worst accepted `SEVERITY`")
	flags.StringArrayVar(&f.verifier, "verifier", nil, "with --type vsa: accept this verifier `ID` (repeatable)")
	flags.DurationVar(&f.maxAge, "max-age", 0, "with --type: the greatest age of the statement, by the time in it (default any)")
	suggest(cmd, "type", typeNames()...)
	suggest(cmd, "max-severity", policy.SeverityNone, "negligible", "low", "medium", "high", "critical")
}

// given reports whether one of the flags is set.
func (f *attestedFlags) given() bool {
	return f.kind+f.severity != "" || len(f.where)+len(f.builders)+len(f.sources)+len(f.verifier) > 0 || f.maxAge != 0
}

// apply makes a policy that asks a role for signatures ask it for the attestation, of
// images or of files.
func (f *attestedFlags) apply(p *policy.Policy, ofFiles bool) error {
	switch {
	case !f.given():
		return nil
	case f.kind == "":
		return usageError("--type is missing: --where, --builder, --source, --max-severity, --verifier and --max-age are about an attestation")
	case f.maxAge < 0:
		return usageError("--max-age %s: use a duration above 0, such as 168h", f.maxAge)
	}
	a := &policy.AttestationRequirement{Type: f.kind, By: p.Files[0].Signature.By, MaxAge: policy.Duration(f.maxAge)}
	if a.AsksForLinks() {
		return usageError("--type %s needs a layout: name it in a policy with --policy", f.kind)
	}
	var err error
	if a.Where, err = parseWhere(f.where); err != nil {
		return err
	}
	a.Builder, a.Source, a.MaxSeverity, a.Verifier = f.builders, f.sources, f.severity, f.verifier
	a.AcceptAnyContent = f.acceptsAny()
	wanted := []policy.Requirement{{Attestation: a}}
	p.Rules[0].Require, p.Files = wanted, nil
	if ofFiles {
		p.Files = wanted
	}
	return nil
}

// acceptsAny reports whether an attestation counts whatever it says.
func (f *attestedFlags) acceptsAny() bool {
	a := policy.AttestationRequirement{Type: f.kind}
	return f.kind != "" && len(f.where) == 0 && len(a.PredicateTypes()) > 0 && !a.HasOwnConditions()
}

// parseWhere reads POINTER=VALUE pairs.
func parseWhere(pairs []string) (all []policy.MemberCondition, err error) {
	values := make(map[string]json.RawMessage)
	for _, pair := range pairs {
		pointer, text, found := splitPair(pair)
		if !found || !strings.HasPrefix(pointer, "/") {
			return nil, usageError("--where %.200q: want POINTER=VALUE, such as /ticket/state=approved", pair)
		}
		value, err := parseScalar(text)
		if err != nil {
			return nil, usageError("--where %.200q: %w", pair, err)
		}
		if before, twice := values[pointer]; twice && !bytes.Equal(before, value) {
			return nil, usageError("--where %.200q is given twice, with different values", pointer)
		}
		values[pointer] = value
		all = append(all, policy.MemberCondition{Pointer: pointer, Equals: value})
	}
	return all, nil
}

// parseScalar returns the JSON of a value: of JSON if it is a string, a number, true or
// false, else of the text itself. Text that begins like a JSON string, list or object and
// text that is null would be meant in two ways.
func parseScalar(text string) (json.RawMessage, error) {
	if !utf8.ValidString(text) {
		return nil, errNotUTF8
	}
	isJSON := json.Valid([]byte(text)) && strings.TrimSpace(text) == text
	switch {
	case isJSON && (text == "true" || text == "false" || strings.ContainsRune(`"-0123456789`, rune(text[0]))):
		return json.RawMessage(text), nil
	case isJSON || strings.HasPrefix(text, `"`):
		return nil, errNoScalar
	}
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	err := e.Encode(text)
	return bytes.TrimSpace(quoted.Bytes()), err
}

// warnOfAnyContent says on stderr that attestations count whatever they say.
func (a *app) warnOfAnyContent(f attestedFlags) {
	if f.acceptsAny() {
		a.console.say("hallmark: an attestation of type %s counts whatever it says: --where POINTER=VALUE demands what it must say", f.kind)
	}
}
