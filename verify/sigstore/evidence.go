package sigstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// What the work about one piece of evidence costs, in checks of a P-256 signature.
const (
	openEffort   = 1
	verifyEffort = 20
)

// opened is evidence with its certificate, before any signature is checked.
type opened struct {
	leaf     *sigstore.Leaf // nil: it offers none
	evidence sigstore.Evidence
}

// once does work about a piece of evidence once, where the caller keeps it.
func once[T any](e policy.SignedEvidence, key any, effort int, work func() (T, error)) (T, error) {
	if e.Once == nil {
		return work()
	}
	made, err := e.Once(key, effort, func() (any, error) { return work() })
	if err != nil {
		var none T
		return none, err
	}
	return made.(T), nil
}

type openKey struct{}

// openOnce reads the evidence with its certificate.
func openOnce(e policy.SignedEvidence) (*opened, error) {
	return once(e, openKey{}, openEffort, func() (*opened, error) {
		o, der, err := open(e)
		switch {
		case err != nil:
			return nil, err
		case der == nil:
			return nil, errNoCertificate
		}
		o.leaf, err = sigstore.ParseLeaf(der)
		return o, err
	})
}

// open reads the evidence, and the certificate that it offers, if it does.
func open(e policy.SignedEvidence) (*opened, []byte, error) {
	if len(e.Signatures) != 1 {
		return nil, nil, errManySubjects
	}
	o := &opened{evidence: sigstore.Evidence{Message: &sigkey.Message{Bytes: e.Message}, Signature: e.Signatures[0]}}
	if bundle.IsMediaType(e.MediaType) {
		return o.bundle(e)
	}
	m, err := sigstore.ParseAnnotations(e.Annotations)
	if err != nil {
		return nil, nil, err
	}
	o.evidence.Entries, o.evidence.Timestamps = m.Entries, m.Timestamps
	if e.MediaType == dsse.EnvelopeMediaType {
		err = o.envelope(e)
	}
	return o, m.Certificate, err
}

func (o *opened) bundle(e policy.SignedEvidence) (*opened, []byte, error) {
	b, err := sigstore.ParseBundle(e.Content)
	if err != nil {
		return nil, nil, err
	}
	o.evidence.Entries, o.evidence.Timestamps = b.Entries, b.Timestamps
	o.evidence.Envelope, o.evidence.EnvelopeText = b.Envelope, b.EnvelopeText
	signature := []byte(nil)
	if b.Envelope != nil {
		signature = b.Envelope.Signatures[0]
	} else {
		signature = b.Message.Signature
	}
	return o, b.Certificate, o.isOf(b.Envelope, signature, e)
}

var errOtherContent = errors.New("the evidence holds something else than what is to be verified")

// isOf checks that the signature, and the envelope where there is one, are those whose
// message the caller believes.
func (o *opened) isOf(envelope *dsse.Envelope, signature []byte, e policy.SignedEvidence) error {
	if !bytes.Equal(signature, e.Signatures[0]) || envelope != nil && !bytes.Equal(envelope.PAE(), e.Message) {
		return errOtherContent
	}
	return nil
}

// envelope reads the envelope of a layer.
func (o *opened) envelope(e policy.SignedEvidence) error {
	v, err := strictjson.Parse(e.Content)
	if err != nil {
		return err
	}
	envelope, err := dsse.Parse(v)
	if err != nil {
		return err
	}
	o.evidence.Envelope, o.evidence.EnvelopeText = envelope, e.Content
	return o.isOf(envelope, envelope.Signatures[0], e)
}

// verifyOnce verifies the evidence by the instance.
func (i *instance) verifyOnce(o *opened, e policy.SignedEvidence) (*sigstore.Verified, error) {
	return once(e, i, verifyEffort, func() (*sigstore.Verified, error) {
		return i.root.VerifyLeaf(o.leaf, &o.evidence, i.demands, e.Now)
	})
}

// clock is a policy.TimeMatcher.
type clock struct{ of *instance }

// TimeMatcher implements policy.TimeAuthority. Its settings are instance and root, as those
// of an identity. What the instance's timestamp authorities say counts, and what its
// transparency logs say in signed entry timestamps unless it requires timestamps.
func (a *Authority) TimeMatcher(settings map[string]any) (policy.TimeMatcher, error) {
	given, err := texts(settings)
	if err != nil {
		return nil, err
	}
	i, err := a.find(given[settingInstance])
	if err != nil {
		return nil, err
	}
	if pin := given[settingRoot]; pin != "" && pin != i.sum {
		return nil, fmt.Errorf("%w: the trust root of instance %q has the SHA-256 %s, want %.80q", ErrInvalid, i.name, i.sum, pin)
	}
	for name := range given {
		if name != settingInstance && name != settingRoot {
			return nil, fmt.Errorf("%w: %.100q is not a setting of timestamps", ErrInvalid, name)
		}
	}
	return clock{i}, nil
}

// ID implements policy.TimeMatcher.
func (c clock) ID() string { return idOf(c.of.name, nil) }

// Seen implements policy.TimeMatcher.
func (c clock) Seen(_ context.Context, e policy.SignedEvidence) (time.Time, error) {
	o, _, err := open(e)
	if err != nil {
		return time.Time{}, err
	}
	demands := c.of.demands
	demands.Logs, demands.CTLogs = 0, 0
	found, err := c.of.root.VerifyTimes(&o.evidence, demands, e.Now)
	if err != nil {
		return time.Time{}, err
	}
	return found.SignedAt, nil
}
