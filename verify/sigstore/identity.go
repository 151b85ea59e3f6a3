package sigstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// Settings of an identity beside the claims of a certificate.
const (
	settingInstance = "instance"
	settingRoot     = "root"
	settingIssuer   = "issuer"
	settingSource   = "sourceRepository"
)

// maxSetting bounds a setting.
const maxSetting = 2048

// identity is a policy.Matcher.
type identity struct {
	of *instance
	id string
	// kind is the type of the subject.
	kind    string
	issuer  string
	subject pattern
	// claims must match, all of them.
	claims map[string]pattern
}

// Matcher implements policy.Authority. Its settings are strings:
//
//   - instance: the name of the instance. It may be left out where there is one.
//   - root: the SHA-256 that the text of its trust root must have, in hex. Optional.
//   - issuer: who has vouched for the subject, exactly. Required.
//   - email, uri or username: the subject. Exactly one. In a uri * stands for one whole
//     segment and ** for any number, but not in scheme, host and first segment; an @
//     divides it, as in "…/release.yml@refs/tags/*".
//   - sourceRepository, sourceRef, sourceDigest, sourceRepositoryID, sourceOwner,
//     sourceOwnerID, sourceVisibility, buildSigner, buildSignerDigest, buildConfig,
//     buildConfigDigest, buildTrigger, runner, runInvocation, deploymentEnvironment: what
//     other extensions of the certificate must say. * and ** are as in uri, anywhere.
//
// The subject of a workflow that others may call is the workflow's, not its caller's.
// Without sourceRepository, a certificate that names a source repository is recognised
// only if the subject lies in that repository. "**" lets any repository call it.
func (a *Authority) Matcher(settings map[string]any) (policy.Matcher, error) {
	given, err := texts(settings)
	if err != nil {
		return nil, err
	}
	i := &identity{claims: make(map[string]pattern)}
	if i.of, err = a.find(given[settingInstance]); err != nil {
		return nil, err
	}
	if pin := given[settingRoot]; pin != "" && pin != i.of.sum {
		return nil, fmt.Errorf("%w: the trust root of instance %q has the SHA-256 %s, want %.80q", ErrInvalid, i.of.name, i.of.sum, pin)
	}
	i.id = idOf(i.of.name, given)
	if i.issuer = given[settingIssuer]; i.issuer == "" || strings.Contains(i.issuer, wildcard) {
		return nil, fmt.Errorf("%w: issuer is %.100q, want who vouches for the subject, exactly", ErrInvalid, i.issuer)
	}
	for _, name := range []string{settingInstance, settingRoot, settingIssuer} {
		delete(given, name)
	}
	if err := i.setSubject(given); err != nil {
		return nil, err
	}
	for name, text := range given {
		if !slices.Contains(sigstore.Claims(), name) {
			return nil, fmt.Errorf("%w: %.100q is not a setting of an identity", ErrInvalid, name)
		}
		if i.claims[name], err = parsePattern(text); err != nil {
			return nil, fmt.Errorf("%w: %s %w", ErrInvalid, name, err)
		}
	}
	return i, nil
}

// texts are settings, which must all be strings.
func texts(settings map[string]any) (map[string]string, error) {
	given := make(map[string]string)
	for name, value := range settings {
		text, ok := value.(string)
		if !ok || text == "" || len(text) > maxSetting {
			return nil, fmt.Errorf("%w: %.100q is not a string of 1 to %d bytes", ErrInvalid, name, maxSetting)
		}
		given[name] = text
	}
	return given, nil
}

// idOf is the same for the same settings.
func idOf(instance string, given map[string]string) string {
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if name != settingInstance && name != settingRoot {
			fmt.Fprintf(&all, "%q: %q\n", name, given[name])
		}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q\n%s", instance, all.String()))
	return "sigstore:" + hex.EncodeToString(sum[:])
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
			i.subject, err = parseURI(text)
		} else {
			i.subject, err = parseExact(text)
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
	case l.SubjectType != i.kind || !i.subject.matches(l.Subject):
		return fmt.Errorf("the subject is the %s %.300q, the policy wants the %s %q", l.SubjectType, l.Subject, i.kind, i.subject)
	}
	for _, name := range slices.Sorted(maps.Keys(i.claims)) {
		claimed, there := l.Claims[name]
		if want := i.claims[name]; !there || !want.matches(claimed) {
			return fmt.Errorf("%s is %.300q, the policy wants %q", name, claimed, want)
		}
	}
	source := l.Claims[settingSource]
	if _, stated := i.claims[settingSource]; !stated && source != "" && !strings.HasPrefix(l.Subject, source+"/") {
		return fmt.Errorf("the workflow %.300q was called by another repository, %.300q, and the policy does not say sourceRepository", l.Subject, source)
	}
	return nil
}

// Signed implements policy.Matcher.
func (i *identity) Signed(_ context.Context, e policy.SignedEvidence) (policy.Recognized, error) {
	o, err := openOnce(e)
	if err != nil {
		return policy.Recognized{}, err
	}
	if err := i.matches(o.leaf); err != nil {
		return policy.Recognized{}, err
	}
	found, err := i.of.verifyOnce(o, e)
	if err != nil {
		return policy.Recognized{}, err
	}
	return policy.Recognized{Principal: principal(o.leaf), SignedAt: found.SignedAt, Claims: claimed(o.leaf)}, nil
}

// principal names who has signed. A workflow is one person at any ref, in any instance.
func principal(l *sigstore.Leaf) string {
	who := l.Subject
	if l.SubjectType == sigstore.SubjectURI {
		who, _, _ = strings.Cut(who, "@")
	}
	return fmt.Sprintf("%s %s by %s", l.SubjectType, who, l.Issuer)
}

// claimed is what a certificate says, for results.
func claimed(l *sigstore.Leaf) map[string]string {
	all := maps.Clone(l.Claims)
	all[settingIssuer], all[l.SubjectType] = l.Issuer, l.Subject
	return all
}

var errNoCertificate = errors.New("it offers no certificate")
