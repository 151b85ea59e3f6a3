package keyless

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// DefaultAudience is the audience of identity tokens for Fulcio.
const DefaultAudience = "sigstore"

// maxTokenBytes bounds an identity token.
const maxTokenBytes = 64 << 10

// TokenSource returns an identity token: an ID token of OpenID Connect that names the
// audience "sigstore". It is called when a certificate is needed, at most once at a time.
type TokenSource func(ctx context.Context) (string, error)

// Token is a TokenSource of one token.
func Token(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

// TokenFile is a TokenSource of a file. read, such as os.ReadFile, reads it each time: an
// orchestrator may replace it.
func TokenFile(path string, read func(path string) ([]byte, error)) TokenSource {
	return func(context.Context) (string, error) {
		if read == nil {
			return "", fmt.Errorf("%w: no function that reads %s", ErrIdentity, path)
		}
		text, err := read(path)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrIdentity, err)
		}
		return strings.TrimSpace(string(text)), nil
	}
}

// token is an identity token with what it says, which is not verified: Fulcio does that.
type token struct {
	text string
	// subject is what Fulcio wants signed: the e-mail address, or the subject.
	subject       string
	issuer, nonce string
	audience      []string
	expires       time.Time
}

// parseToken reads a token.
func parseToken(text string) (*token, error) {
	text = strings.TrimSpace(text)
	parts := strings.Split(text, ".")
	bad := fmt.Errorf("%w: the token is not a JSON web token", ErrIdentity)
	if len(text) > maxTokenBytes || len(parts) != 3 || strings.ContainsAny(text, " \t\r\n\"") {
		return nil, bad
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, bad
	}
	v, err := strictjson.Parse(payload)
	if err != nil || v.Kind() != strictjson.Object {
		return nil, bad
	}
	t := &token{text: text}
	t.issuer, _ = v.Get("iss").Str()
	t.nonce, _ = v.Get("nonce").Str()
	t.expires = moment(v.Get("exp"))
	if one, is := v.Get("aud").Str(); is {
		t.audience = []string{one}
	}
	for a := range v.Get("aud").Elems() {
		one, _ := a.Str()
		t.audience = append(t.audience, one)
	}
	t.subject, _ = v.Get("sub").Str()
	if email, is := v.Get("email").Str(); is && email != "" {
		t.subject = email
	}
	if t.issuer == "" || t.subject == "" {
		return nil, fmt.Errorf("%w: the token names no issuer or no subject", ErrIdentity)
	}
	return t, nil
}

func moment(v strictjson.Value) time.Time {
	seconds, is := v.Int()
	if !is {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// clockSkew is how far clocks may be apart.
const clockSkew = time.Minute

// check says why a token cannot be used now.
func (t *token) check(now time.Time) error {
	switch {
	case t.expires.IsZero():
		return fmt.Errorf("%w: the token of %.200q does not say when it expires", ErrIdentity, t.issuer)
	case now.After(t.expires.Add(clockSkew)):
		return fmt.Errorf("%w: the token of %.200q has expired, at %s", ErrIdentity, t.issuer, t.expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// isOf says why a certificate is of another identity than the token; nil: it may be of the
// token's. Fulcio takes e-mail addresses and URIs as they are, and computes others.
func (t *token) isOf(leaf *sigstore.Leaf) error {
	scheme, _, isURI := strings.Cut(t.subject, "://")
	isURI = isURI && !strings.ContainsAny(scheme, ":/") // a subject such as repo:acme/app:... may hold one
	taken := leaf.SubjectType == sigstore.SubjectEmail || leaf.SubjectType == sigstore.SubjectURI && isURI
	if taken && leaf.Subject != t.subject {
		return fmt.Errorf("the certificate is of another identity, the %s %.300q", leaf.SubjectType, leaf.Subject)
	}
	return nil
}

// identityToken asks the source for a token.
func (s *Signer) identityToken(ctx context.Context) (*token, error) {
	text, err := s.o.Identity(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, ErrIdentity), errors.Is(err, ErrService):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	t, err := parseToken(text)
	if err != nil {
		return nil, err
	}
	if err := t.check(s.o.Now()); err != nil {
		return nil, err
	}
	return t, nil
}
