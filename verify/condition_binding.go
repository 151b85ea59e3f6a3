package verify

import (
	"cmp"
	"strings"

	"github.com/hallmark-oci/hallmark/verify/policy"
)

// judgeBinding demands builder and source of the signer's certificate, too. Its branches:
//
//   - The requirement is not boundToCertificate: nothing is demanded.
//   - A key has signed, or the certificate lacks a claim: ReasonNotBound.
//   - A claim is not among the values of the policy: ReasonBuilder or ReasonSource.
//   - The provenance says another builder, or no source that has all of the claims: likewise.
func (a attestation) judgeBinding(d provenance, c *circumstances) *problem {
	if !a.BoundToCertificate {
		return nil
	}
	claims := c.signer.Claims
	builder := cmp.Or(claims[policy.ClaimBuilder], claims[policy.ClaimURI])
	if p := bound(ReasonBuilder, policy.ClaimBuilder, builder, a.Builder, a.builders.Has, c); p != nil {
		return p
	}
	if said, err := d.at(d.builder).text(); err != nil || said != builder {
		return problemf(ReasonBuilder, "%s is %.200q, the signer's certificate says %.200q", d.builder, said, builder)
	}
	wanted := []struct {
		claim string
		want  []string
		is    func(string) bool
	}{{policy.ClaimSource, plainSources(a.Source), a.plainSources.Has}, {policy.ClaimRef, a.Ref, a.refs.Has}, {policy.ClaimCommit, a.Commit, a.isCommit}}
	for _, w := range wanted {
		if p := bound(ReasonSource, w.claim, claims[w.claim], w.want, w.is, c); p != nil {
			return p
		}
	}
	return a.sameSource(d, claims)
}

// bound says why a claim is not one of the values of the policy; nil: it is, or the policy
// names none.
func bound(reason Reason, claim, got string, want []string, is func(string) bool, c *circumstances) *problem {
	switch {
	case len(want) == 0 || got != "" && is(got):
		return nil
	case c.signer.Principal == "":
		return problemf(ReasonNotBound, "a key has signed it, and the policy wants a certificate whose %s is %q", claim, want)
	case got == "":
		return problemf(ReasonNotBound, "the certificate of %.200s has no %s, the policy wants %q", c.signer.Principal, claim, want)
	}
	return unwanted(reason, "the certificate's "+claim, got, want)
}

// sameSource says that the provenance names no source that has all of the claims which the
// policy asks for; nil: it does.
func (a attestation) sameSource(d provenance, claims map[string]string) *problem {
	if len(a.Source) == 0 && len(a.Ref) == 0 && len(a.Commit) == 0 {
		return nil
	}
	sources, err := d.sources()
	if err != nil {
		return problemf(ReasonPredicate, "its source cannot be read: %v", err)
	}
	for _, s := range sources {
		if (len(a.Source) == 0 || plainSource(s.URI) == claims[policy.ClaimSource]) && (len(a.Ref) == 0 || s.Ref == claims[policy.ClaimRef]) &&
			(len(a.Commit) == 0 || s.Commit == claims[policy.ClaimCommit]) {
			return nil
		}
	}
	var said []string
	for _, s := range sources {
		said = append(said, s.URI+"@"+s.Ref+" "+s.Commit)
	}
	return problemf(ReasonSource, "the provenance says it was built from %.200q, the signer's certificate says %.200q", said,
		claims[policy.ClaimSource]+"@"+claims[policy.ClaimRef]+" "+claims[policy.ClaimCommit])
}

// plainSource is a source as certificates write it: the URL that git fetches.
func plainSource(uri string) string { return strings.TrimPrefix(uri, "git+") }

func plainSources(uris []string) []string {
	plain := make([]string, 0, len(uris))
	for _, uri := range uris {
		plain = append(plain, plainSource(uri))
	}
	return plain
}
