package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"github.com/hallmark-oci/hallmark/internal/dev/bench/work"
)

var errSignature = errors.New("bad signature")

// rawMessage is as long as the signed part of a bundle is.
var rawMessage = make([]byte, 400)

// rawECDSA is the floor: the hash and the signature, and nothing else.
func rawECDSA(_ context.Context, t work.Task) (done, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(rawMessage)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, [][]byte{sig}, func(_ context.Context, sig []byte) error {
			sum := sha256.Sum256(rawMessage)
			if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) {
				return errSignature
			}
			return nil
		})
	}, nil
}

func rawEd25519(_ context.Context, t work.Task) (done, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	sig := ed25519.Sign(private, rawMessage)
	return func(ctx context.Context) (int, error) {
		return work.Each(ctx, t, [][]byte{sig}, func(_ context.Context, sig []byte) error {
			if !ed25519.Verify(public, rawMessage, sig) {
				return errSignature
			}
			return nil
		})
	}, nil
}
