package main

import (
	"crypto"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hallmark-oci/hallmark/internal/keyfile"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
)

var errUnsupported = errors.New("not supported")

// request is what the suite asks for.
type request struct {
	bundle, key, identity, issuer, root string
	artifact                            string
}

func run(args []string) error {
	if len(args) == 0 || args[0] != "verify-bundle" {
		return errUnsupported
	}
	var q request
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&q.bundle, "bundle", "", "")
	flags.StringVar(&q.key, "key", "", "")
	flags.StringVar(&q.identity, "certificate-identity", "", "")
	flags.StringVar(&q.issuer, "certificate-oidc-issuer", "", "")
	flags.StringVar(&q.root, "trusted-root", "", "")
	if err := flags.Parse(args[1:]); err != nil {
		return fmt.Errorf("%w: %w", errUnsupported, err)
	}
	if flags.NArg() != 1 || q.root == "" {
		return fmt.Errorf("%w: want --trusted-root and one artifact", errUnsupported)
	}
	q.artifact = flags.Arg(0)
	return q.verify()
}

// strictest is what the public instance is asked for.
var strictest = sigstore.Demands{Logs: 1, CTLogs: 1, Times: 1}

func (q request) verify() error {
	text, err := os.ReadFile(q.root)
	if err != nil {
		return err
	}
	root, err := sigstore.ParseRoot(text)
	if err != nil {
		return err
	}
	if text, err = os.ReadFile(q.bundle); err != nil {
		return err
	}
	b, err := sigstore.ParseBundle(text)
	if err != nil {
		return err
	}
	e, err := q.evidence(b)
	if err != nil {
		return err
	}
	if q.key != "" {
		return q.verifyKey(root, b, e)
	}
	if b.Certificate == nil {
		return errors.New("the bundle has no certificate")
	}
	leaf, err := sigstore.ParseLeaf(b.Certificate)
	switch {
	case err != nil:
		return err
	case q.identity == "" || q.issuer == "" || leaf.Subject != q.identity || leaf.Issuer != q.issuer:
		return fmt.Errorf("signed by %q of %q, want %q of %q", leaf.Subject, leaf.Issuer, q.identity, q.issuer)
	}
	_, err = root.VerifyLeaf(leaf, e, strictest, time.Now())
	return err
}

func (q request) verifyKey(root *sigstore.Root, b *sigstore.Bundle, e *sigstore.Evidence) error {
	if b.Certificate != nil {
		return errors.New("the bundle has a certificate, not a key")
	}
	text, err := os.ReadFile(q.key)
	if err != nil {
		return err
	}
	key, err := keyfile.ParsePublic(text)
	if err != nil {
		return err
	}
	_, err = root.VerifyKey(key, e, strictest, time.Now())
	return err
}

// evidence is what the bundle's signature covers, which must be about the artifact.
func (q request) evidence(b *sigstore.Bundle) (*sigstore.Evidence, error) {
	message, err := q.open()
	if err != nil {
		return nil, err
	}
	e := &sigstore.Evidence{Entries: b.Entries, Timestamps: b.Timestamps}
	if b.Envelope != nil {
		e.Message, e.Signature = &sigkey.Message{Bytes: b.Envelope.PAE()}, b.Envelope.Signatures[0]
		e.Envelope, e.EnvelopeText = b.Envelope, b.EnvelopeText
		return e, isAbout(b.Envelope, message)
	}
	e.Message, e.Signature, e.Claimed = message, b.Message.Signature, b.Message
	return e, nil
}

// open reads the artifact, or its digest.
func (q request) open() (*sigkey.Message, error) {
	algorithm, text, isDigest := strings.Cut(q.artifact, ":")
	digest, err := hex.DecodeString(text)
	switch {
	case !isDigest || algorithm != "sha256" && algorithm != "sha512":
		data, err := os.ReadFile(q.artifact)
		return &sigkey.Message{Bytes: data}, err
	case err != nil || len(digest) != hashes[algorithm].Size():
		return nil, errors.New("a digest of another length")
	case algorithm == "sha256":
		return sigkey.Hashed(digest, nil, nil), nil
	}
	return sigkey.Hashed(nil, nil, digest), nil
}

var hashes = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// isAbout checks that a statement is about an artifact.
func isAbout(e *dsse.Envelope, artifact *sigkey.Message) error {
	if e.PayloadType != dsse.PayloadTypeInToto {
		return fmt.Errorf("payload of type %q", e.PayloadType)
	}
	s, err := intoto.Parse(e.Payload)
	if err != nil {
		return err
	}
	subject, err := s.Match(func(algorithm string) (string, bool, error) {
		h, known := hashes[algorithm]
		if !known {
			return "", false, nil
		}
		digest := artifact.Sum(h)
		return hex.EncodeToString(digest), digest != nil, nil
	})
	if err == nil && subject == nil {
		err = errors.New("the statement is about another artifact")
	}
	return err
}
