package sigstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/uri"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// identity is a policy.Matcher.
type identity struct {
	judged
	// kind is the type of the subject.
	kind    string
	issuer  string
	subject uri.Pattern
	// claims must match, all of them.
	claims map[string]uri.Pattern
}

// Matcher implements policy.Authority. Its settings are strings:
//
//   - instance: the name of the instance. It may be left out where there is one.
//   - root: the SHA-256 that the text of its trust root must have, in hex. Optional.
//   - issuer: who has vouched for the subject, exactly. Required.
//   - email, uri or username: the subject. Exactly one. In a uri * stands for one whole
//     segment and ** for any number, but not in scheme, host and first segment; an @
//     divides it, as in "…/release.yml@refs/tags/*". A pattern of workflows that leaves
//     the ref open, as "…/**@**", is refused.
//   - sourceRepository, sourceRef, sourceDigest, sourceRepositoryID, sourceOwner,
//     sourceOwnerID, sourceVisibility, buildSigner, buildSignerDigest, buildConfig,
//     buildConfigDigest, buildTrigger, runner, runInvocation, deploymentEnvironment: what
//     other extensions of the certificate must say. * and ** are as in uri, anywhere. In
//     sourceRepository and buildSigner they are not in host and owner, unless "**" alone
//     accepts any.
//
// In place of instance, a policy can bring an instance of its own:
//
//   - rootFile: the file of its trust root, beside the policy or below. root is required.
//   - certificateAuthority, logs, ctLogs, times, withoutLogs, withoutCT, requireTimestamps:
//     as the fields of Instance. Absent: the strictest.
//
// The subject of a workflow that others may call is the workflow's, not its caller's.
// Without sourceRepository, a certificate that names a source repository is recognised
// only if the subject lies in that repository. "**" lets any repository call it.
func (a *Authority) Matcher(settings map[string]any) (policy.Matcher, error) {
	i := &identity{claims: make(map[string]uri.Pattern)}
	by, given, err := a.take(settings)
	if err != nil {
		return nil, err
	}
	i.judged = by
	i.id = idOf(by.id, given)
	if i.issuer = given[settingIssuer]; i.issuer == "" || uri.HasWildcard(i.issuer) {
		return nil, fmt.Errorf("%w: issuer is %.100q, want who vouches for the subject, exactly", ErrInvalid, i.issuer)
	}
	delete(given, settingIssuer)
	if err := i.setSubject(given); err != nil {
		return nil, err
	}
	for name, text := range given {
		if !slices.Contains(sigstore.Claims(), name) {
			return nil, fmt.Errorf("%w: %.100q is not a setting of an identity", ErrInvalid, name)
		}
		if i.claims[name], err = uri.ParsePattern(text); err == nil {
			err = checkClaim(i.issuer, name, text)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s %w", ErrInvalid, name, err)
		}
	}
	return i, nil
}

// The build systems whose certificates have full refs.
const (
	issuerGitHub = "https://token.actions.githubusercontent.com"
	issuerGitLab = "https://gitlab.com"
)

// checkClaim refuses what no certificate says: a source or workflow that is not a URI,
// and a short ref.
func checkClaim(issuer, name, text string) error {
	switch {
	case strings.HasPrefix(text, "*"):
		return nil
	case name == policy.ClaimRef && (issuer == issuerGitHub || issuer == issuerGitLab):
		if !strings.HasPrefix(text, "refs/") {
			return uri.CheckRef(text)
		}
	case name == settingSource && strings.HasPrefix(text, "git+"):
		return fmt.Errorf("is %.200q; certificates write it without git+", text)
	case name == settingSource:
		return uri.CheckSource(text)
	case name == policy.ClaimBuilder:
		return uri.CheckBuilder(text)
	}
	return nil
}

// setSubject takes the subject out of the settings.
func (i *identity) setSubject(given map[string]string) (err error) {
	for _, kind := range []string{sigstore.SubjectEmail, sigstore.SubjectURI, sigstore.SubjectUsername} {
		text, there := given[kind]
		if !there {
			continue
		}
		if i.kind != "" {
			return fmt.Errorf("%w: want exactly one of email, uri and username", ErrInvalid)
		}
		delete(given, kind)
		i.kind = kind
		if kind == sigstore.SubjectURI {
			if i.subject, err = uri.ParseOwned(text); err == nil && uri.HasWildcard(text) {
				err = uri.CheckIdentity(text)
			}
		} else {
			i.subject, err = uri.ParseExact(text)
		}
		if err != nil {
			return fmt.Errorf("%w: %s %w", ErrInvalid, kind, err)
		}
	}
	if i.kind == "" {
		return fmt.Errorf("%w: an identity without subject; want exactly one of email, uri and username", ErrInvalid)
	}
	return nil
}

// ID implements policy.Matcher.
func (i *identity) ID() string { return i.id }

// matches says why a certificate is not the identity's; nil: it is.
func (i *identity) matches(l *sigstore.Leaf) error {
	switch {
	case l.Issuer == "" || l.Issuer != i.issuer:
		return fmt.Errorf("the issuer is %.200q, the policy wants %q", l.Issuer, i.issuer)
	case l.SubjectType != i.kind || !i.subject.Match(l.Subject):
		return fmt.Errorf("the subject is the %s %.300q, the policy wants the %s %q", l.SubjectType, l.Subject, i.kind, i.subject)
	}
	for _, name := range slices.Sorted(maps.Keys(i.claims)) {
		claimed, there := l.Claims[name]
		if want := i.claims[name]; !there || !want.Match(claimed) {
			return fmt.Errorf("%s is %.300q, the policy wants %q", name, claimed, want)
		}
	}
	source := l.Claims[settingSource]
	if _, stated := i.claims[settingSource]; !stated && source != "" && !strings.HasPrefix(l.Subject, source+"/") {
		return fmt.Errorf("the workflow %.300q was called by another repository, %.300q, and the policy does not say sourceRepository", l.Subject, source)
	}
	return nil
}

// ReadsDigests implements policy.DigestReader.
func (*identity) ReadsDigests() bool { return true }

// Signed implements policy.Matcher. The package documentation lists its branches.
func (i *identity) Signed(_ context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	o, err := openOnce(e)
	if err != nil {
		return policy.Recognized{}, err
	}
	if err := i.matches(o.leaf); err != nil {
		return policy.Recognized{}, err
	}
	root, err := i.root()
	if err != nil {
		return policy.Recognized{}, err
	}
	found, err := i.verifyOnce(root, o, e)
	if err != nil {
		return policy.Recognized{}, err
	}
	return policy.Recognized{
		Principal: principal(o.leaf), SignedAt: found.SignedAt, SignedAfter: o.leaf.Certificate().NotBefore, Claims: claimed(o.leaf, found),
	}, nil
}

// verifyKey is what has been verified of a piece of evidence.
type verifyKey struct {
	root    *trusted
	demands sigstore.Demands
}

// verifyOnce verifies the evidence by a root.
func (j judged) verifyOnce(root *trusted, o *opened, e policy.SignedEvidence) (*sigstore.Verified, error) {
	return once(e, verifyKey{root, j.by.demands}, root.LeafEffort(o.leaf, &o.evidence), func() (*sigstore.Verified, error) {
		return root.VerifyLeaf(o.leaf, &o.evidence, j.by.demands, e.Now)
	})
}

// principal names who has signed. A workflow is one person at any ref, in any instance.
func principal(l *sigstore.Leaf) string {
	who := l.Subject
	if l.SubjectType == sigstore.SubjectURI {
		who, _, _ = strings.Cut(who, "@")
	}
	return fmt.Sprintf("%s %s by %s", l.SubjectType, who, l.Issuer)
}

// claimed is what a certificate and a log say, for conditions and results.
func claimed(l *sigstore.Leaf, found *sigstore.Verified) map[string]string {
	all := maps.Clone(l.Claims)
	all[settingIssuer], all[l.SubjectType] = l.Issuer, l.Subject
	maps.Copy(all, logged(found))
	return all
}
