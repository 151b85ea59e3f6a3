package sigstore

import (
	"bytes"
	"crypto"
	"errors"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

// openedPerCheck is how many bytes of evidence are read in about the time of one check of
// a P-256 signature.
const openedPerCheck = 8 << 10

// openEffort is what reading the evidence takes, in checks of a P-256 signature.
func openEffort(e policy.SignedEvidence) int {
	size := len(e.Content)
	for _, text := range e.Annotations {
		size += len(text)
	}
	return 1 + size/openedPerCheck
}

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
	return once(e, openKey{}, openEffort(e), func() (*opened, error) {
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

var errManySubjects = errors.New("it has several signatures, and a certificate makes one")

// open reads the evidence, and the certificate that it offers, if it does.
func open(e policy.SignedEvidence) (*opened, []byte, error) {
	if len(e.Signatures) != 1 {
		return nil, nil, errManySubjects
	}
	o := &opened{evidence: sigstore.Evidence{Message: messageOf(e), Signature: e.Signatures[0]}}
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

// messageOf is what the signature covers, or its digests.
func messageOf(e policy.SignedEvidence) *sigkey.Message {
	if e.Message != nil || e.Sum == nil {
		return &sigkey.Message{Bytes: e.Message}
	}
	sum := func(h crypto.Hash) []byte {
		digest, _ := e.Sum(h)
		return digest
	}
	return sigkey.Hashed(sum(crypto.SHA256), sum(crypto.SHA384), sum(crypto.SHA512))
}

func (o *opened) bundle(e policy.SignedEvidence) (*opened, []byte, error) {
	b, err := sigstore.ParseBundle(e.Content)
	if err != nil {
		return nil, nil, err
	}
	o.evidence.Entries, o.evidence.Timestamps = b.Entries, b.Timestamps
	o.evidence.Envelope, o.evidence.EnvelopeText = b.Envelope, b.EnvelopeText
	if b.Envelope != nil {
		return o, b.Certificate, isOf(b.Envelope, b.Envelope.Signatures[0], e)
	}
	o.evidence.Claimed = b.Message
	return o, b.Certificate, isOf(nil, b.Message.Signature, e)
}

var errOtherContent = errors.New("the evidence holds something else than what is to be verified")

// isOf checks that the signature, and the envelope where there is one, are those whose
// message the caller believes.
func isOf(envelope *dsse.Envelope, signature []byte, e policy.SignedEvidence) error {
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
	for _, s := range envelope.Signatures {
		if bytes.Equal(s, e.Signatures[0]) {
			return isOf(envelope, s, e)
		}
	}
	return errOtherContent
}

var errNoCertificate = errors.New("it offers no certificate")
