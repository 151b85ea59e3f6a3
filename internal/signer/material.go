package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/wire/bundle"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
)

// Message is what a MaterialSigner signs, and what it needs to have it recorded.
type Message struct {
	// Bytes is the message. Nil: a large file, whose digest is known.
	Bytes []byte
	// SHA256 is the digest of the message.
	SHA256 [sha256.Size]byte
	// PayloadType and Payload are those of the envelope whose encoding the message is.
	// Empty: it is a file, or a simple signing payload.
	PayloadType string
	Payload     []byte
	// Annotations says that the material goes into the annotations of a layer.
	Annotations bool
}

// Material is verification material of one signature.
type Material struct {
	// Certificate is the signer's, in DER, and Chain those above it without the root.
	Certificate []byte
	Chain       [][]byte
	// Entries are entries of transparency logs, each in the JSON of bundles.
	Entries [][]byte
	// Timestamps are time-stamp responses by RFC 3161.
	Timestamps [][]byte
}

// MaterialSigner is a Signer whose signatures have material.
type MaterialSigner interface {
	Signer
	SignWithMaterial(ctx context.Context, m Message) (signature []byte, material *Material, err error)
}

// Signed is a signature that has been verified, with its material.
type Signed struct {
	Signature []byte
	// Hint says which key has signed.
	Hint string
	// Material is empty where the signer gives none.
	Material Material
}

// Bundle is the material as bundles hold it.
func (s *Signed) Bundle() bundle.Material {
	return bundle.Material{Hint: s.Hint, Certificate: s.Material.Certificate, Entries: s.Material.Entries, Timestamps: s.Material.Timestamps}
}

// Annotations are the material as layers hold it.
func (s *Signed) Annotations() (map[string]string, error) {
	m := &s.Material
	var entries []sigstore.Entry
	for _, text := range m.Entries {
		e, err := sigstore.ParseEntry(text)
		if err != nil {
			return nil, err
		}
		entries = append(entries, *e)
	}
	return sigstore.Annotations(m.Certificate, m.Chain, entries, m.Timestamps)
}

// SignEnvelope signs an envelope. annotations says where its material goes.
func (s Checked) SignEnvelope(ctx context.Context, e *dsse.Envelope, annotations bool) (Signed, error) {
	return s.sign(ctx, &sigkey.Message{Bytes: e.PAE()}, Message{PayloadType: e.PayloadType, Payload: e.Payload, Annotations: annotations})
}

// SignPayload signs a simple signing payload.
func (s Checked) SignPayload(ctx context.Context, payload []byte) (Signed, error) {
	return s.sign(ctx, &sigkey.Message{Bytes: payload}, Message{Annotations: true})
}

// GivesMaterial reports whether the signer is a MaterialSigner, which takes messages of any
// size.
func (s Checked) GivesMaterial() bool {
	_, is := s.Signer.(MaterialSigner)
	return is
}

// SignBlob signs the bytes of a file; m has its digests at least.
func (s Checked) SignBlob(ctx context.Context, m *sigkey.Message) (Signed, error) {
	return s.sign(ctx, m, Message{})
}

func (s Checked) sign(ctx context.Context, m *sigkey.Message, wanted Message) (Signed, error) {
	with, is := s.Signer.(MaterialSigner)
	if !is {
		sig, err := s.SignChecked(ctx, m.Bytes)
		return Signed{Signature: sig, Hint: s.Key.Hint()}, err
	}
	wanted.Bytes = m.Bytes
	copy(wanted.SHA256[:], m.Sum(crypto.SHA256))
	type answer struct {
		sig      []byte
		material *Material
	}
	given, err := await(ctx, s, func() (a answer, err error) {
		a.sig, a.material, err = with.SignWithMaterial(ctx, wanted)
		return a, err
	})
	if err != nil {
		return Signed{}, err
	}
	sig, err := s.checked(m, given.sig)
	if err != nil {
		return Signed{}, err
	}
	if !bytes.Equal(sig, given.sig) && given.material != nil {
		return Signed{}, fmt.Errorf("%w: key %s: its signature is not in the usual encoding, which its material is about", ErrSigner, s.Key.ID())
	}
	signed := Signed{Signature: sig, Hint: s.Key.Hint()}
	if given.material != nil {
		signed.Material = *given.material
	}
	if err := signed.check(s.Key, wanted.Annotations); err != nil {
		return Signed{}, fmt.Errorf("%w: key %s: verification material: %w", ErrSigner, s.Key.ID(), err)
	}
	return signed, nil
}

// check checks that readers can read the material, and that its certificate is the key's.
func (s *Signed) check(key *sigkey.Key, annotations bool) error {
	m := &s.Material
	if m.Certificate != nil {
		c, err := x509.ParseCertificate(m.Certificate)
		if err != nil {
			return err
		}
		if certified, err := sigkey.New(c.PublicKey); err != nil || certified.ID() != key.ID() {
			return errors.New("its certificate is for another key")
		}
	}
	h := crypto.SHA256
	text, err := bundle.NewMessage(s.Bundle(), h, make([]byte, h.Size()), s.Signature)
	if err != nil {
		return err
	}
	if _, err := sigstore.ParseBundle(text); err != nil || !annotations {
		return err
	}
	_, err = s.Annotations()
	return err
}
