// Package signer checks signers and the signatures that they return.
//
//   - [Check] takes each key once.
//   - [Checked.SignChecked] returns a signature only if the signer's key made it over
//     the message.
package signer

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// ErrSigner is wrapped if a signer fails, or returns something other than its
// signature over the message.
var ErrSigner = errors.New("signer failed")

// ErrNone is returned if a signer is missing.
var ErrNone = errors.New("no signer given")

// Signer signs messages with one key, as sign.Signer does.
type Signer interface {
	Sign(ctx context.Context, message []byte) ([]byte, error)
	Public() crypto.PublicKey
}

// Chooser is a Signer that tells which algorithm of its key it uses.
type Chooser interface {
	// SignerOpts returns the options by which crypto.Signer selects the algorithm.
	SignerOpts() crypto.SignerOpts
}

// Checked is a signer with its public key.
type Checked struct {
	Signer
	Key *sigkey.Key
}

// Check checks the signers' public keys. It drops a signer whose key is there
// already.
func Check[S Signer](signers []S) ([]Checked, error) {
	if len(signers) == 0 {
		return nil, ErrNone
	}
	var checked []Checked
	seen := make(map[string]bool)
	for _, s := range signers {
		if any(s) == nil {
			return nil, fmt.Errorf("%w: one of them is nil", ErrNone)
		}
		key, err := sigkey.New(s.Public())
		if err != nil {
			return nil, err
		}
		if !seen[key.ID()] {
			seen[key.ID()] = true
			checked = append(checked, Checked{s, key})
		}
	}
	return checked, nil
}

// Made reports whether the signer could have made a signature over m now: with its
// key and, if it is a Chooser, with its algorithm.
func (s Checked) Made(m *sigkey.Message, sig []byte) bool {
	if c, ok := s.Signer.(Chooser); ok {
		return s.Key.VerifyAs(m, sig, c.SignerOpts()) == nil
	}
	return s.Key.Verify(m, sig) == nil
}

// SignChecked returns a signature that has been verified, in the encoding that every
// verifier reads. It returns the context's error when the context ends, even if the
// signer blocks, as hardware may.
func (s Checked) SignChecked(ctx context.Context, message []byte) ([]byte, error) {
	return s.SignedBy(ctx, &sigkey.Message{Bytes: message}, func() ([]byte, error) { return s.Sign(ctx, message) })
}

// SignedBy is SignChecked for the signature over m that f returns.
func (s Checked) SignedBy(ctx context.Context, m *sigkey.Message, f func() ([]byte, error)) ([]byte, error) {
	sig, err := await(ctx, s, f)
	if err != nil {
		return nil, err
	}
	return s.checked(m, sig)
}

// checked returns a signature, in the encoding that every verifier reads, if the
// signer's key has made it.
func (s Checked) checked(m *sigkey.Message, sig []byte) ([]byte, error) {
	if err := s.Key.Verify(m, sig); err != nil {
		return nil, fmt.Errorf("%w: key %s: it returned something other than its signature over the message", ErrSigner, s.Key.ID())
	}
	return s.Key.Canonical(sig), nil
}

// await returns what f returns, or the context's error as soon as it ends.
func await[T any](ctx context.Context, s Checked, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		a.err = panics.Caught(func() (err error) {
			a.value, err = f()
			return err
		})
		done <- a
	}()
	var none T
	select {
	case <-ctx.Done():
		return none, ctx.Err()
	case a := <-done:
		switch {
		case a.err == nil:
			return a.value, nil
		case s.GivesMaterial(): // its key may be a new one each time
			return none, fmt.Errorf("%w: %w", ErrSigner, a.err)
		}
		return none, fmt.Errorf("%w: key %s: %w", ErrSigner, s.Key.ID(), a.err)
	}
}
