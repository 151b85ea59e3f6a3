package command

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Errors of the values of flags.
var (
	errEmptyValue = errors.New("the value is empty: is a variable of the shell not set?")
	errTwoValues  = errors.New("the flag is given twice, with different values")
)

// oneValue is the value of a flag that is not repeatable. An empty value would be as if the
// flag were not there: verify --type "" would judge signatures. Of two values one would be
// lost, such as the first of two lists of images.
type oneValue struct {
	pflag.Value
	given bool
}

// Set implements pflag.Value.
func (v *oneValue) Set(text string) error {
	before := v.String()
	switch {
	case text == "":
		return errEmptyValue
	case v.given && text != before:
		return errTwoValues
	}
	v.given = true
	return v.Value.Set(text)
}

// takeOneValue makes the flags of a command and of those below it refuse empty and second
// values, where they take a text or a number.
func takeOneValue(cmd *cobra.Command) {
	wrap := func(f *pflag.Flag) {
		if t := f.Value.Type(); t == "string" || t == "int" {
			f.Value = &oneValue{Value: f.Value}
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(wrap)
	cmd.PersistentFlags().VisitAll(wrap)
	for _, below := range cmd.Commands() {
		takeOneValue(below)
	}
}
