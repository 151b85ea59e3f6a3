package steps

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// toInToto returns a key in the form of in-toto-golang, with in-toto's key ID: the
// SHA-256 of a canonical form of the key (specification 4.2.1). Other tools find
// keys by this ID. Verify does not use it.
func toInToto(key *sigkey.Key) (in_toto.Key, error) {
	var k in_toto.Key
	if err := k.LoadKeyReaderDefaults(bytes.NewReader(key.PEM())); err != nil {
		return k, fmt.Errorf("%w: in-toto cannot use the key: %w", sigkey.ErrKey, err)
	}
	return k, nil
}

// algorithm returns how in-toto verifies signatures of a key.
func algorithm(key *sigkey.Key) crypto.SignerOpts {
	switch key.Public().(type) {
	case *rsa.PublicKey:
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	case ed25519.PublicKey:
		return crypto.Hash(0)
	}
	return sigkey.NaturalHash(key.Public())
}

// distinct returns the keys by key ID, so no key counts twice.
func distinct(keys []crypto.PublicKey) (map[string]*sigkey.Key, error) {
	byID := make(map[string]*sigkey.Key, len(keys))
	for _, public := range keys {
		key, err := sigkey.New(public)
		if err != nil {
			return nil, err
		}
		byID[key.ID()] = key
	}
	return byID, nil
}
