package sigstore

import (
	"context"
	"crypto/x509"
	"fmt"
	"strconv"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// clock is a policy.LogMatcher.
type clock struct{ judged }

// TimeMatcher implements policy.TimeAuthority. Its settings are those of an identity that
// say by which instance is judged.
//
// A time is known if as many timestamp authorities and logs say one as the instance
// demands. Logs say one in signed entry timestamps, unless the instance requires
// timestamps. A signature is logged if as many transparency logs as the instance demands,
// at least one, have recorded it. An entry must be about its digest, signature and key.
func (a *Authority) TimeMatcher(settings map[string]any) (policy.TimeMatcher, error) {
	by, given, err := a.take(settings)
	if err != nil {
		return nil, err
	}
	for name := range given {
		return nil, fmt.Errorf("%w: %.100q is not a setting of timestamps", ErrInvalid, name)
	}
	by.id = idOf(by.id, nil)
	return clock{by}, nil
}

// ID implements policy.TimeMatcher.
func (c clock) ID() string { return c.id }

// ReadsDigests implements policy.DigestReader.
func (clock) ReadsDigests() bool { return true }

// Seen implements policy.TimeMatcher.
func (c clock) Seen(_ context.Context, e policy.SignedEvidence) (time.Time, error) {
	d := c.by.demands
	found, err := c.times(e, sigstore.Demands{Times: d.Times, Timestamps: d.Timestamps})
	if err != nil {
		return time.Time{}, err
	}
	return found.SignedAt, nil
}

// Logged implements policy.LogMatcher.
func (c clock) Logged(_ context.Context, e policy.SignedEvidence) (map[string]string, error) {
	found, err := c.times(e, sigstore.Demands{Logs: max(1, c.by.demands.Logs)})
	if err != nil {
		return nil, err
	}
	return logged(found), nil
}

// logged says where a log has a signature, for results.
func logged(found *sigstore.Verified) map[string]string {
	if found.LogIndex < 0 {
		return nil
	}
	return map[string]string{policy.ClaimLogIndex: strconv.FormatInt(found.LogIndex, 10)}
}

type wholeKey struct{}

type timesKey struct {
	root    *trusted
	demands sigstore.Demands
}

// openedWhole is evidence with its signer, as log entries name it: a key or a certificate
// in DER.
type openedWhole struct {
	evidence sigstore.Evidence
	signer   []byte
}

// times verifies what logs and timestamp authorities say of a signature.
func (c clock) times(e policy.SignedEvidence, d sigstore.Demands) (*sigstore.Verified, error) {
	root, err := c.root()
	if err != nil {
		return nil, err
	}
	o, err := once(e, wholeKey{}, openEffort(e), func() (*openedWhole, error) { return openWhole(e) })
	if err != nil {
		return nil, err
	}
	return once(e, timesKey{root, d}, root.TimesEffort(&o.evidence), func() (*sigstore.Verified, error) {
		return root.VerifyTimes(&o.evidence, o.signer, d, e.Now)
	})
}

func openWhole(e policy.SignedEvidence) (*openedWhole, error) {
	o, certificate, err := open(e)
	switch {
	case err != nil:
		return nil, err
	case e.Key != nil:
		certificate, err = x509.MarshalPKIXPublicKey(e.Key)
	case certificate == nil:
		err = errNoCertificate
	}
	return &openedWhole{o.evidence, certificate}, err
}
