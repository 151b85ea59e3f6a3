// Package signer makes sure of signers: whose key each has, that each key signs
// once, and that what comes back is its signature over the message.
package signer

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/panics"
	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// ErrSigner says that a signer failed, or returned something other than its
// signature over the message.
var ErrSigner = errors.New("signer failed")

// ErrNone says that a signer is missing.
var ErrNone = errors.New("no signer given")

// Signer signs messages with one key, as sign.Signer does.
type Signer interface {
	Sign(ctx context.Context, message []byte) ([]byte, error)
	Public() crypto.PublicKey
}

// Chooser is a Signer that says by which algorithm of its key it signs.
type Chooser interface {
	SignerOpts() crypto.SignerOpts
}

// Checked is a signer with the identity of its key.
type Checked struct {
	Signer
	Key *sigkey.Key
}

// Check checks the signers' keys. A key that is given twice is kept once.
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

// Made reports whether a signature is one that the signer could have made now:
// of its key, and, as far as that can be known, by its algorithm.
func (s Checked) Made(m *sigkey.Message, sig []byte) bool {
	if c, ok := s.Signer.(Chooser); ok {
		return s.Key.VerifyAs(m, sig, c.SignerOpts()) == nil
	}
	return s.Key.Verify(m, sig) == nil
}

// SignChecked returns a signature that has been verified, or an error once the
// context has ended, even if the signer does not come back: hardware may block.
func (s Checked) SignChecked(ctx context.Context, message []byte) ([]byte, error) {
	return s.Await(ctx, &sigkey.Message{Bytes: message}, func() ([]byte, error) { return s.Sign(ctx, message) })
}

// Await is SignChecked for a signature over m that f makes.
func (s Checked) Await(ctx context.Context, m *sigkey.Message, f func() ([]byte, error)) ([]byte, error) {
	type answer struct {
		sig []byte
		err error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		a.err = panics.Caught(func() (err error) {
			a.sig, err = f()
			return err
		})
		done <- a
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a := <-done:
		if a.err != nil {
			return nil, fmt.Errorf("%w: key %s: %w", ErrSigner, s.Key.ID(), a.err)
		}
		if err := s.Key.Verify(m, a.sig); err != nil {
			return nil, fmt.Errorf("%w: key %s: what it returned is not its signature over the message", ErrSigner, s.Key.ID())
		}
		return a.sig, nil
	}
}
