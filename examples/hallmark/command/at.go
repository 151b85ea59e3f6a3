package command

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hallmark-oci/hallmark/verify"
)

const atHelp = `--at judges as of a TIME in the past or future: the times of keys and certificates,
exceptions, ages and the policy's expires follow it. Not rewound are what is attached in
the registry, where a tag points, the policy itself, and trust roots. A key revoked in the
policy stays revoked. The output says "as of", and must not be taken for a decision of
today.`

// atFlag is the time to judge as of, in place of the present.
type atFlag struct{ text string }

func (f *atFlag) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.text, "at", "", "judge as of this `TIME`, such as 2026-01-31T12:00:00Z, and not as of now")
}

// time is the time to judge as of; zero: the present.
func (f atFlag) time() (at time.Time, err error) {
	if f.text == "" {
		return at, nil
	}
	// A date alone could be any of 50 hours. UnmarshalText takes no more than RFC 3339,
	// but for hours of one digit and fractions behind a comma.
	if at.UnmarshalText([]byte(f.text)) != nil || at.IsZero() || f.text[len("2006-01-02T15")] != ':' || strings.Contains(f.text, ",") {
		return at, usageError("--at %.100q: want date, time and zone by RFC 3339, such as 2026-01-31T12:00:00Z", f.text)
	}
	return at, nil
}

// set makes a verifier judge as of the time.
func (f atFlag) set(o *verify.Options) error {
	at, err := f.time()
	if err == nil && !at.IsZero() {
		o.Now = func() time.Time { return at }
	}
	return err
}

// mark says in a report, and in those of its indexes, as of when it was judged.
func (f atFlag) mark(r *verify.Report) {
	at, err := f.time()
	for ; err == nil && r != nil; r = r.Index {
		r.AsOf = at.UTC()
	}
}

// warnOf says once on stderr that the decisions are not of today.
func (a *app) warnOf(f atFlag) {
	if f.text != "" {
		a.console.say("hallmark: judged as of %s, not as of now; the registry and the policy are those of today", f.text)
	}
}
