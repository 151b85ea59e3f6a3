package keyless

import (
	"context"
	"time"
)

// SetWait replaces how a Signer waits before it asks again.
func (s *Signer) SetWait(wait func(context.Context, time.Duration) error) { s.client.wait = wait }

// DeviceLoginWaiting is DeviceLogin that waits by a function.
func DeviceLoginWaiting(o LoginOptions, wait func(context.Context, time.Duration) error) TokenSource {
	return func(ctx context.Context) (string, error) {
		l, err := newLogin(ctx, o)
		if err != nil {
			return "", err
		}
		l.client.wait = wait
		return l.device(ctx)
	}
}
