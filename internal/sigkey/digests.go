package sigkey

import (
	"crypto/sha256"
	"crypto/sha512"
	"io"
)

// HashAll reads r to its end and returns the message and its size. It computes all
// hashes that keys need. A message of at most keep bytes is kept for pure Ed25519,
// which needs the bytes. Of a longer one, only the hashes and the start are kept.
func HashAll(r io.Reader, keep int64) (*Message, int64, error) {
	s256, s384, s512 := sha256.New(), sha512.New384(), sha512.New()
	kept := &head{limit: keep}
	n, err := io.Copy(io.MultiWriter(s256, s384, s512, kept), r)
	if err != nil {
		return nil, n, err
	}
	m := Hashed(s256.Sum(nil), s384.Sum(nil), s512.Sum(nil))
	m.start = kept.start
	if n <= keep {
		m.Bytes, m.hashed = kept.data, false
	}
	return m, n, nil
}

const startBytes = 16

// head keeps what is written to it, as long as that is within the limit.
type head struct {
	data  []byte
	start []byte
	limit int64
}

func (h *head) Write(p []byte) (int, error) {
	if room := startBytes - len(h.start); room > 0 {
		h.start = append(h.start, p[:min(room, len(p))]...)
	}
	if int64(len(h.data)+len(p)) > h.limit {
		h.data, h.limit = nil, -1
	} else {
		h.data = append(h.data, p...)
	}
	return len(p), nil
}
