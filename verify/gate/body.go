package gate

import (
	"io"
	"os"
	"sync"
)

// smallBuffer is the most that is held for a client while it takes its answer.
const smallBuffer = 32 << 10

// bodies are large answers that are on their way to clients. Each is in a file, once for
// all who take it: clients that are slow hold no memory.
type bodies struct {
	mu sync.Mutex
	by map[string]*body
}

// body is an answer by its digest.
type body struct {
	ready chan struct{} // closed once file or err is there
	file  *os.File
	err   error
	users int
}

// join returns the file of an answer, which is written where there is none. Who joins
// must leave.
func (b *bodies) join(dir, digest string, content []byte) (*os.File, func(), error) {
	b.mu.Lock()
	known := b.by[digest]
	first := known == nil
	if first {
		known = &body{ready: make(chan struct{})}
		if b.by == nil {
			b.by = make(map[string]*body)
		}
		b.by[digest] = known
	}
	known.users++
	b.mu.Unlock()
	if first {
		known.file, known.err = unnamed(dir)
		if known.err == nil {
			_, known.err = known.file.Write(content)
		}
		close(known.ready)
	}
	<-known.ready
	leave := func() { b.leave(digest, known) }
	if known.err != nil {
		leave()
		return nil, nil, known.err
	}
	return known.file, leave, nil
}

func (b *bodies) leave(digest string, known *body) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known.users--; known.users > 0 {
		return
	}
	delete(b.by, digest)
	if known.file != nil {
		_ = known.file.Close()           // it has no reader any more
		_ = os.Remove(known.file.Name()) // deleted before, mostly
	}
}

// unnamed makes a file that a crash does not leave behind, where an open file can be
// deleted.
func unnamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "hallmark-gate-*")
	if err == nil {
		_ = os.Remove(f.Name())
	}
	return f, err
}

// send writes a small answer, or one that is large from a file. The content must not be
// held by the caller any more.
func (x *exchange) send(digest string, content []byte) {
	if len(content) <= smallBuffer {
		_, _ = x.w.Write(content) // the client has gone
		return
	}
	size := int64(len(content))
	file, leave, err := x.g.bodies.join(x.g.c.TempDir, digest, content)
	if err != nil { // as with blobs, a disk that is full does not end pulls
		x.g.c.Logger.WarnContext(x.ctx, "a large answer cannot be put into a file", "error", err)
		_, _ = x.w.Write(content)
		return
	}
	defer leave()
	x.sendFile(file, size)
}

// sendFile writes what others may read at the same time.
func (x *exchange) sendFile(file io.ReaderAt, size int64) {
	buffer := x.g.buffers.Get().(*[]byte)
	defer x.g.buffers.Put(buffer)
	for at := int64(0); at < size; at += piece {
		x.deadline()
		part := io.NewSectionReader(file, at, min(piece, size-at))
		if _, err := io.CopyBuffer(struct{ io.Writer }{x.w}, struct{ io.Reader }{part}, *buffer); err != nil {
			x.abort()
		}
	}
}
