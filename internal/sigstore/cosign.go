package sigstore

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

// Annotations of a layer in which cosign keeps verification material.
//
// Source: cosign pkg/oci/static and pkg/cosign/bundle.
const (
	annotationChain     = "dev.sigstore.cosign/chain"
	annotationBundle    = "dev.sigstore.cosign/bundle"
	annotationTimestamp = "dev.sigstore.cosign/rfc3161timestamp"
)

// ParseAnnotations reads the material in the annotations of a layer as cosign writes them.
func ParseAnnotations(annotations map[string]string) (*Material, error) {
	r, m := &reader{}, &Material{}
	if text := annotations[simplesigning.AnnotationCertificate]; text != "" {
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" {
			r.fail("the annotation %s is not a certificate in PEM", simplesigning.AnnotationCertificate)
		} else {
			m.Certificate = block.Bytes
		}
	}
	if text := annotations[annotationBundle]; text != "" {
		m.Entries = append(m.Entries, r.promised(text))
	}
	if text := annotations[annotationTimestamp]; text != "" {
		v := r.parse(text, annotationTimestamp)
		if r.object(v, annotationTimestamp, "SignedRFC3161Timestamp") {
			m.Timestamps = append(m.Timestamps, r.bytes(v.Get("SignedRFC3161Timestamp"), "SignedRFC3161Timestamp"))
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}

func (r *reader) parse(text, what string) strictjson.Value {
	v, err := strictjson.Parse([]byte(text))
	if err != nil {
		r.fail("%s: %w", what, err)
	}
	return v
}

// promised reads an entry of Rekor v1 with its signed entry timestamp.
func (r *reader) promised(text string) (e Entry) {
	v := r.parse(text, annotationBundle)
	payload := v.Get("Payload")
	if !r.object(v, annotationBundle, "SignedEntryTimestamp", "Payload") ||
		!r.object(payload, "Payload", "body", "integratedTime", "logIndex", "logID") {
		return e
	}
	e.IntegratedTime, e.LogIndex = r.natural(payload.Get("integratedTime"), "integratedTime"), r.natural(payload.Get("logIndex"), "logIndex")
	var err error
	if e.LogID, err = hex.DecodeString(r.text(payload.Get("logID"), "logID")); err != nil {
		r.fail("logID is not hexadecimal")
	}
	if e.Body, err = base64.StdEncoding.Strict().DecodeString(r.text(payload.Get("body"), "body")); err != nil {
		r.fail("body is not base64")
	}
	if e.Promise = r.bytes(v.Get("SignedEntryTimestamp"), "SignedEntryTimestamp"); len(e.Promise) == 0 {
		r.fail("%s without SignedEntryTimestamp", annotationBundle)
	}
	return e
}
