package command

import (
	"strings"

	"github.com/hallmark-oci/hallmark/verify/policy"
	"github.com/hallmark-oci/hallmark/verify/sigstore"
)

// flagsOfFields are the flags that fill in fields of an attestation requirement.
var flagsOfFields = []struct{ field, flag string }{
	{"builder", "--builder"}, {"source", "--source"}, {"maxSeverity", "--max-severity"}, {"verifier", "--verifier"}, {"where", "--where"}, {"maxAge", "--max-age"},
}

// byFlags is the error of a policy that flags have made, in the words of the flag that is
// at fault.
func byFlags(err error) error {
	text := strings.TrimPrefix(err.Error(), policy.ErrInvalid.Error()+": ")
	path, why, _ := strings.Cut(text, " ")
	switch {
	case strings.HasPrefix(path, "roles."):
		return rewritten{err, "--threshold: " + why}
	case strings.HasPrefix(path, "keys."):
		return rewritten{err, "--key: " + strings.TrimPrefix(path, "keys.") + " " + why}
	case strings.HasPrefix(path, "identities."):
		if _, detail, is := strings.Cut(text, sigstore.ErrInvalid.Error()+": "); is {
			why = detail
		}
		return rewritten{err, "--certificate-identity: " + why}
	case !strings.HasSuffix(path, ".attestation") && !strings.Contains(path, ".attestation."):
		return rewritten{err, text}
	}
	flag := "--type"
	for _, f := range flagsOfFields {
		for _, before := range []string{"needs ", "has ", "has in "} {
			if rest, is := strings.CutPrefix(why, before+f.field); is && (rest == "" || strings.ContainsAny(rest[:1], " :,;")) {
				flag = f.flag
			}
		}
	}
	return rewritten{err, flag + ": the attestation " + why}
}
