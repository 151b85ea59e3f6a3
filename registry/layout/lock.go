package layout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/hallmark-oci/hallmark/internal/filelock"
	"github.com/hallmark-oci/hallmark/registry"
)

// writers are those who write to a layout, one after another.
type writers struct {
	dir     *directory
	turn    chan struct{} // holds one token: this process's turn to write
	timeout time.Duration
}

// lock waits for this writer's turn: among the goroutines that share the layout,
// then among processes.
func (w *writers) lock(ctx context.Context, op string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, errLocked)
	defer cancel()
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, w.dir.fail(op, lockFile, registry.ErrUnavailable, "", context.Cause(ctx))
	}
	f, err := w.lockAmongProcesses(ctx, op)
	if err != nil {
		<-w.turn
		return nil, err
	}
	return func() {
		_ = f.Close() // releases the lock; nothing was written to it
		<-w.turn
	}, nil
}

// errLocked is the cause of a lock that could not be had in time.
var errLocked = errors.New("other writers hold the lock for too long")

func (w *writers) lockAmongProcesses(ctx context.Context, op string) (*os.File, error) {
	if err := w.dir.makeDir(privateDir); err != nil {
		return nil, w.dir.fileError(op, privateDir, err)
	}
	if err := w.dir.checkPath(lockFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, w.dir.fileError(op, lockFile, err)
	}
	f, err := w.dir.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE|openNonblock, 0o644)
	if err != nil {
		return nil, w.dir.fileError(op, lockFile, err)
	}
	if err := w.waitForLock(ctx, op, f); err != nil {
		_ = f.Close() // nothing was written to it
		return nil, err
	}
	return f, nil
}

// waitForLock asks again and again: no system can wait for a lock and for a
// context at once.
func (w *writers) waitForLock(ctx context.Context, op string, f *os.File) error {
	const pause = 5 * time.Millisecond
	for {
		locked, err := filelock.Try(f)
		if err != nil {
			return w.dir.fail(op, lockFile, lockKind(err), "", err)
		}
		if locked {
			return nil
		}
		select {
		case <-ctx.Done():
			return w.dir.fail(op, lockFile, registry.ErrUnavailable, "", context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

func lockKind(err error) registry.Kind {
	if errors.Is(err, errors.ErrUnsupported) {
		return registry.ErrUnsupported
	}
	return registry.ErrUnavailable
}
