package sigstore

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/simplesigning"
)

// ParseEntry reads a log entry in the JSON of bundles, as Rekor v2 answers with it.
func ParseEntry(text []byte) (*Entry, error) {
	v, err := strictjson.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	r := &bundleReader{}
	e := r.entry(v, 3)
	if r.err != nil {
		return nil, r.err
	}
	return &e, nil
}

// entryJSON is a log entry in the JSON of bundles, which writes numbers of 64 bits as text.
type entryJSON struct {
	LogIndex string `json:"logIndex"`
	LogID    struct {
		KeyID []byte `json:"keyId"`
	} `json:"logId"`
	KindVersion struct {
		Kind    string `json:"kind"`
		Version string `json:"version"`
	} `json:"kindVersion"`
	IntegratedTime string       `json:"integratedTime,omitempty"`
	Promise        *promiseJSON `json:"inclusionPromise,omitempty"`
	Proof          *proofJSON   `json:"inclusionProof,omitempty"`
	Body           []byte       `json:"canonicalizedBody"`
}

type promiseJSON struct {
	SignedEntryTimestamp []byte `json:"signedEntryTimestamp"`
}

type proofJSON struct {
	LogIndex   string   `json:"logIndex"`
	RootHash   []byte   `json:"rootHash"`
	TreeSize   string   `json:"treeSize"`
	Hashes     [][]byte `json:"hashes"`
	Checkpoint struct {
		Envelope string `json:"envelope"`
	} `json:"checkpoint"`
}

// Marshal writes the entry in the JSON of bundles.
func (e *Entry) Marshal() ([]byte, error) {
	w := entryJSON{LogIndex: strconv.FormatInt(e.LogIndex, 10), Body: e.Body}
	w.LogID.KeyID, w.KindVersion.Kind, w.KindVersion.Version = e.LogID, e.Kind, e.Version
	if e.IntegratedTime != 0 {
		w.IntegratedTime = strconv.FormatInt(e.IntegratedTime, 10)
	}
	if len(e.Promise) > 0 {
		w.Promise = &promiseJSON{e.Promise}
	}
	if p := e.Proof; p != nil {
		w.Proof = &proofJSON{LogIndex: strconv.FormatInt(p.LogIndex, 10), RootHash: p.RootHash, TreeSize: strconv.FormatInt(p.TreeSize, 10), Hashes: p.Hashes}
		w.Proof.Checkpoint.Envelope = p.Checkpoint
	}
	return json.Marshal(w)
}

// Annotations are those of a layer in which cosign keeps verification material. There is
// room for one entry, with a signed entry timestamp, and one timestamp: the first of each.
func Annotations(certificate []byte, chain [][]byte, entries []Entry, timestamps [][]byte) (map[string]string, error) {
	all := make(map[string]string)
	if certificate != nil {
		all[simplesigning.AnnotationCertificate] = pemOf(certificate)
	}
	var above strings.Builder
	for _, c := range chain {
		above.WriteString(pemOf(c))
	}
	if above.Len() > 0 {
		all[annotationChain] = above.String()
	}
	for _, e := range entries {
		if len(e.Promise) == 0 {
			continue
		}
		text, err := e.promise()
		if err != nil {
			return nil, err
		}
		all[annotationBundle] = string(text)
		break
	}
	if len(timestamps) > 0 {
		text, err := json.Marshal(struct{ SignedRFC3161Timestamp []byte }{timestamps[0]})
		if err != nil {
			return nil, err
		}
		all[annotationTimestamp] = string(text)
	}
	return all, nil
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// promise is the entry as cosign's annotation holds it.
func (e *Entry) promise() ([]byte, error) {
	type payload struct {
		Body           string `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	}
	return json.Marshal(struct {
		SignedEntryTimestamp []byte
		Payload              payload
	}{e.Promise, payload{base64.StdEncoding.EncodeToString(e.Body), e.IntegratedTime, e.LogIndex, hex.EncodeToString(e.LogID)}})
}
