package sigstore

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"maps"
	"slices"
	"time"
)

// Kinds of what a root holds.
const (
	kindCertificates = "certificate authority"
	kindTimestamps   = "timestamp authority"
	kindLog          = "transparency log"
	kindCTLog        = "log of certificates"
)

// Trusted is a log or an authority of a root, for people.
type Trusted struct {
	Kind string
	// Name is the host of a log, the URI of an authority. ID is the SHA-256 of the key of a
	// log, or of the first certificate of an authority, in hex.
	Name, ID string
	// Start and End are when it is trusted; no certificate is valid longer. Zero End: none.
	Start, End time.Time
}

// Contents lists what the root holds.
func (r *Root) Contents() (all []Trusted) {
	for _, a := range r.authorities {
		all = append(all, a.contents(kindCertificates))
	}
	for _, l := range []struct {
		kind string
		logs map[string][]*log
	}{{kindLog, r.logs}, {kindCTLog, r.ctLogs}} {
		for _, id := range slices.Sorted(maps.Keys(l.logs)) {
			for _, one := range l.logs[id] {
				all = append(all, Trusted{l.kind, one.host, hex.EncodeToString([]byte(id)), one.trusted.start, one.trusted.end})
			}
		}
	}
	for _, a := range r.stampers {
		all = append(all, a.contents(kindTimestamps))
	}
	return all
}

func (a *authority) contents(kind string) Trusted {
	t := Trusted{kind, a.uri, "", a.trusted.start, a.trusted.end}
	certs := slices.Clone(a.certs)
	if a.signer != nil {
		certs = append([]*x509.Certificate{a.signer}, certs...)
	}
	for _, c := range certs {
		if t.End.IsZero() || c.NotAfter.Before(t.End) {
			t.End = c.NotAfter
		}
	}
	if len(certs) > 0 {
		sum := sha256.Sum256(certs[0].Raw)
		t.ID = hex.EncodeToString(sum[:])
	}
	return t
}
