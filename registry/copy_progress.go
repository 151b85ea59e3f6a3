package registry

import (
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// progress counts, and tells one listener, by one call at a time.
type progress struct {
	report func(CopyEvent)

	mu          sync.Mutex
	done, total CopyCount
	told        int64 // of done.Bytes, at the last event
}

// tellEvery is how many bytes are sent between two events about them.
const tellEvery = 1 << 20

// expect counts what has to be dealt with.
func (p *progress) expect(d v1.Descriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total.Items++
	p.total.Bytes += d.Size
}

// sent counts bytes of a blob on their way; a negative number takes back those of
// an attempt that failed.
func (p *progress) sent(d v1.Descriptor, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Bytes += n
	if p.done.Bytes-p.told >= tellEvery {
		p.tell(CopyEvent{Action: CopyStarted, Content: d})
	}
}

// end counts something as dealt with that was not sent in parts.
func (p *progress) end(action CopyAction, d v1.Descriptor, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Items++
	p.done.Bytes += d.Size
	p.tell(CopyEvent{Action: action, Content: d, Detail: detail})
}

// endSent counts a blob as dealt with whose bytes have been counted.
func (p *progress) endSent(d v1.Descriptor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Items++
	p.tell(CopyEvent{Action: CopyDone, Content: d})
}

// note tells of something that is not counted.
func (p *progress) note(action CopyAction, d v1.Descriptor, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(CopyEvent{Action: action, Content: d, Detail: detail})
}

// tell is called with mu held: the calls come one by one.
func (p *progress) tell(e CopyEvent) {
	e.Done, e.Total = p.done, p.total
	p.told = p.done.Bytes
	if p.report != nil {
		p.report(e)
	}
}
