package gate

import (
	"container/list"
	"io/fs"
)

// shelf is a part of what a store keeps, with an order of its own. There are two:
// whoever can attach evidence, and pull it, could otherwise drive all images out.
type shelf struct {
	order *list.List // of *stored, the last used in front
	used  int64
}

// evidencePart of a store is the most that evidence has of it.
const evidencePart = 4

// The owner's right to write tells after a restart what is evidence. Where files have no
// such rights, what was evidence counts as an image's from then on.
const (
	imageMode    fs.FileMode = 0o600
	evidenceMode fs.FileMode = 0o400
)

func isEvidenceFile(info fs.FileInfo) bool { return info.Mode().Perm()&0o200 == 0 }

// fits reports whether content of a size can be kept.
func (s *Store) fits(size int64, evidence bool) bool {
	if evidence {
		return size <= s.o.MaxBytes/evidencePart
	}
	return size <= s.o.MaxBytes
}

func (s *Store) shelf(evidence bool) *shelf {
	if evidence {
		return &s.evidence
	}
	return &s.images
}

// add counts a file, and deletes others where there are too many.
func (s *Store) add(f stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(f.hex)
	s.place(&f)
	s.makeRoom()
}

// place puts a file to the front of its shelf.
func (s *Store) place(f *stored) {
	on := s.shelf(f.evidence)
	s.byHex[f.hex] = on.order.PushFront(f)
	on.used += f.size
}

func (s *Store) forget(hex string) {
	if e, ok := s.byHex[hex]; ok {
		f := e.Value.(*stored)
		from := s.shelf(f.evidence)
		from.used -= f.size
		from.order.Remove(e)
		delete(s.byHex, hex)
	}
}

// makeRoom deletes what was used longest ago: evidence that has more than its part,
// then what is too much in all. The last image stays.
func (s *Store) makeRoom() {
	for s.evidence.used > s.o.MaxBytes/evidencePart {
		s.evict(&s.evidence)
	}
	for s.images.used+s.evidence.used > s.o.MaxBytes {
		from := &s.images
		if from.order.Len() <= 1 {
			from = &s.evidence
		}
		if from.order.Len() == 0 {
			return
		}
		s.evict(from)
	}
}

func (s *Store) evict(from *shelf) {
	oldest := from.order.Back().Value.(*stored).hex
	s.forget(oldest)
	_ = s.root.Remove(s.name(oldest)) // what stays is found at the next start
}

// use notes that content is used: as an image's, or as anything. What is evidence and an
// image's is the image's from then on.
func (s *Store) use(hex string, image bool) (stored, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byHex[hex]
	if !ok {
		return stored{}, false
	}
	f := e.Value.(*stored)
	if image && f.evidence {
		s.forget(hex)
		f.evidence = false
		s.place(f)
		s.makeRoom()
		if file, _, err := s.file(hex); err == nil {
			_ = file.Chmod(imageMode) // where it has none, it is evidence after a restart
			_ = file.Close()          // it was not written to
		}
		return *f, true
	}
	s.shelf(f.evidence).order.MoveToFront(e)
	return *f, true
}

// seen notes what a file was when it was hashed.
func (s *Store) seen(hex string, now fingerprint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.byHex[hex]; ok {
		f := e.Value.(*stored)
		s.shelf(f.evidence).used += now.size - f.size
		f.size, f.seen = now.size, now
		s.makeRoom()
	}
}
