package sigstore

import (
	"crypto/x509"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
)

// parsedPerCheck is how many bytes of JSON or DER are read in about the time of one check
// of a P-256 signature. BenchmarkEffort measures all of this.
const parsedPerCheck = 8 << 10

// efforts are the most that parts of a verification take with the keys of a root, in
// checks of a P-256 signature.
type efforts struct {
	chain, sct, entry, timestamp int
}

// effortsOf finds what the keys of a root cost.
func effortsOf(r *Root) (e efforts) {
	for _, a := range r.authorities {
		e.chain = max(e.chain, effortOf(a.certs...))
	}
	for _, l := range r.ctLogs {
		e.sct = max(e.sct, l[0].key.Effort())
	}
	for _, l := range r.logs {
		e.entry = max(e.entry, 2*l[0].key.Effort()) // of the entry, and of the checkpoint
	}
	for _, a := range r.stampers {
		issued := effortOf(a.certs...)
		if a.signer == nil {
			e.timestamp = max(e.timestamp, 2*issued) // its certificate comes with it
		} else {
			e.timestamp = max(e.timestamp, effortOf(a.signer))
		}
	}
	return e
}

func effortOf(certs ...*x509.Certificate) (most int) {
	for _, c := range certs {
		if key, err := sigkey.New(c.PublicKey); err == nil {
			most = max(most, key.Effort())
		}
	}
	return most
}

// LeafEffort is about what VerifyLeaf takes, in checks of a P-256 signature.
func (r *Root) LeafEffort(leaf *Leaf, e *Evidence) int {
	return r.effort.chain + 2*r.effort.sct + leaf.Key.Toll(e.Message, [][]byte{e.Signature}) + r.TimesEffort(e)
}

// TimesEffort is about what VerifyTimes takes, in checks of a P-256 signature. It grows
// with the log entries and timestamps, and their sizes.
func (r *Root) TimesEffort(e *Evidence) int {
	effort, size := 1, 0
	for _, entry := range e.Entries {
		if len(r.logs[string(entry.LogID)]) == 0 {
			continue // it is not looked at
		}
		effort += r.effort.entry + 1
		size += len(entry.Body)
		if entry.Proof != nil {
			size += len(entry.Proof.Checkpoint)
		}
	}
	for _, text := range e.Timestamps {
		effort += r.effort.timestamp + 1
		size += len(text)
	}
	return effort + size/parsedPerCheck
}
