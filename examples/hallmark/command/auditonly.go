package command

import (
	"errors"

	"github.com/spf13/cobra"
)

// auditFlag has a command succeed although something is denied.
type auditFlag struct{ only bool }

func (f *auditFlag) flag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.only, "insecure-audit-only", false, "print denials as usual, and exit with 0 in spite of them")
}

// enforce is the answer of a command. With --insecure-audit-only a denial is told and not
// enforced. What could not be judged stays an error: it is not known what to tell.
func (a *app) enforce(f auditFlag, answer error) error {
	if !f.only || !errors.Is(answer, errDenied) {
		return answer
	}
	a.console.say("hallmark: denied, and not enforced: --insecure-audit-only is set")
	return nil
}
