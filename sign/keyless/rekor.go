package keyless

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"path"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
)

// errDuplicate says that a log has the entry already and does not give it: a new
// signature makes another entry.
var errDuplicate = errors.New("the log has the entry already")

// logged has the signature recorded, by as many logs as are needed.
func (s *Signer) logged(ctx context.Context, from choice, w work) (entries []sigstore.Entry, err error) {
	return gather(from, func(log service) (sigstore.Entry, error) {
		if log.version == 2 {
			return s.logV2(ctx, log, w)
		}
		return s.logV1(ctx, log, w)
	})
}

// gather asks services in turn until as many have answered as are needed.
func gather[T any](from choice, ask func(service) (T, error)) (all []T, err error) {
	var failed []error
	for n, service := range from.services {
		if len(all) == from.need || len(all)+len(from.services)-n < from.need {
			break
		}
		got, err := ask(service)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		all = append(all, got)
	}
	if len(all) < from.need {
		return nil, errors.Join(failed...)
	}
	return all, nil
}

type wireVerifier struct {
	Certificate struct {
		RawBytes []byte `json:"rawBytes"`
	} `json:"x509Certificate"`
	KeyDetails string `json:"keyDetails"`
}

type wireHashed struct {
	Digest    []byte `json:"digest"`
	Signature struct {
		Content  []byte       `json:"content"`
		Verifier wireVerifier `json:"verifier"`
	} `json:"signature"`
}

// logV2 records a signature in Rekor v2 (rekor-tiles, rekor_service.proto), always as a
// hashedrekord: newer logs take nothing else, and it keeps the payload of an envelope out
// of the log.
func (s *Signer) logV2(ctx context.Context, log service, w work) (e sigstore.Entry, err error) {
	request := wireHashed{Digest: w.message.SHA256[:]}
	request.Signature.Content = w.signature
	request.Signature.Verifier.Certificate.RawBytes, request.Signature.Verifier.KeyDetails = w.by.der, "PKIX_ECDSA_P256_SHA_256"
	at := log.url + "/api/v2/log/entries"
	a, err := s.postEntry(ctx, at, map[string]any{"hashedRekordRequestV002": request})
	if err != nil {
		return e, err
	}
	if a.status == http.StatusConflict {
		return e, badAnswer("rekor", at, errDuplicate)
	}
	entry, err := sigstore.ParseEntry(a.body)
	if err == nil {
		err = s.checkEntry(entry, w)
	}
	if err != nil {
		return e, badAnswer("rekor", at, err)
	}
	return *entry, nil
}

// postEntry sends an entry to a log. The answer may be 409: the log has the entry already.
func (s *Signer) postEntry(ctx context.Context, at string, entry any) (*answer, error) {
	body, err := json.Marshal(entry)
	if err != nil {
		return nil, err
	}
	return s.client.do(ctx, call{
		service: "rekor", method: http.MethodPost, url: at, body: body, accept: []int{http.StatusConflict},
		header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
	})
}

// Entries that Rekor v1 is asked to make (rekor, pkg/types/{hashedrekord,dsse}/v0.0.1).
type (
	wireProposal struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       any    `json:"spec"`
	}
	wireHashedV1 struct {
		Data struct {
			Hash struct {
				Algorithm string `json:"algorithm"`
				Value     string `json:"value"`
			} `json:"hash"`
		} `json:"data"`
		Signature struct {
			Content   []byte `json:"content"`
			PublicKey struct {
				Content []byte `json:"content"`
			} `json:"publicKey"`
		} `json:"signature"`
	}
	wireEnvelopeV1 struct {
		Content struct {
			Envelope  string   `json:"envelope"`
			Verifiers [][]byte `json:"verifiers"`
		} `json:"proposedContent"`
	}
)

// proposal is the entry that Rekor v1 is asked to make.
func (w work) proposal() (wireProposal, error) {
	verifier := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.by.der})
	p := wireProposal{APIVersion: "0.0.1", Kind: "hashedrekord"}
	if w.message.PayloadType == "" {
		var spec wireHashedV1
		spec.Data.Hash.Algorithm, spec.Data.Hash.Value = "sha256", hex.EncodeToString(w.message.SHA256[:])
		spec.Signature.Content, spec.Signature.PublicKey.Content = w.signature, verifier
		p.Spec = spec
		return p, nil
	}
	// The log keeps a hash of this text, and cosign compares it with that of an .att layer.
	envelope := dsse.Envelope{PayloadType: w.message.PayloadType, Payload: w.message.Payload, Signatures: [][]byte{w.signature}}
	text, err := envelope.TextWithKeyID()
	if err != nil {
		return p, err
	}
	var spec wireEnvelopeV1
	spec.Content.Envelope, spec.Content.Verifiers = string(text.Bytes()), [][]byte{verifier}
	p.Kind, p.Spec = "dsse", spec
	return p, nil
}

// logV1 records a signature in Rekor v1 (rekor, openapi.yaml, createLogEntry). A log that
// has the entry already, as after an answer that was lost, is asked for it.
func (s *Signer) logV1(ctx context.Context, log service, w work) (e sigstore.Entry, err error) {
	p, err := w.proposal()
	if err != nil {
		return e, err
	}
	at := log.url + "/api/v1/log/entries"
	a, err := s.postEntry(ctx, at, p)
	if err != nil {
		return e, err
	}
	if a.status == http.StatusConflict {
		id := path.Base(a.header.Get("Location"))
		if _, err := hex.DecodeString(id); err != nil || len(id) < 64 || len(id) > 96 {
			return e, badAnswer("rekor", at, errors.New("it has the entry already, and does not say where"))
		}
		at += "/" + id
		if a, err = s.client.do(ctx, call{service: "rekor", method: http.MethodGet, url: at, header: http.Header{"Accept": {"application/json"}}}); err != nil {
			return e, err
		}
	}
	if e, err = readEntryV1(a, p); err == nil {
		err = s.checkEntry(&e, w)
	}
	if err != nil {
		return e, badAnswer("rekor", at, err)
	}
	return e, nil
}

// wireEntryV1 is an entry of Rekor v1.
type wireEntryV1 struct {
	Body           []byte `json:"body"`
	IntegratedTime int64  `json:"integratedTime"`
	LogID          string `json:"logID"`
	LogIndex       int64  `json:"logIndex"`
	Verification   struct {
		Promise []byte `json:"signedEntryTimestamp"`
		Proof   struct {
			Checkpoint string   `json:"checkpoint"`
			Hashes     []string `json:"hashes"`
			LogIndex   int64    `json:"logIndex"`
			RootHash   string   `json:"rootHash"`
			TreeSize   int64    `json:"treeSize"`
		} `json:"inclusionProof"`
	} `json:"verification"`
}

// readEntryV1 reads the one entry of an answer, whose member is its UUID.
func readEntryV1(a *answer, p wireProposal) (e sigstore.Entry, err error) {
	v, err := strictjson.Parse(a.body)
	if err != nil {
		return e, err
	}
	if v.Len() != 1 {
		return e, errors.New("want exactly one entry")
	}
	var w wireEntryV1
	for _, entry := range v.Members() {
		if err := strictjson.Decode(entry, &w, strictjson.DecodeOptions{}); err != nil {
			return e, err
		}
	}
	in := w.Verification.Proof
	proof := &sigstore.Proof{LogIndex: in.LogIndex, TreeSize: in.TreeSize, Checkpoint: in.Checkpoint}
	e = sigstore.Entry{
		LogIndex: w.LogIndex, Kind: p.Kind, Version: p.APIVersion, IntegratedTime: w.IntegratedTime,
		Promise: w.Verification.Promise, Proof: proof, Body: w.Body,
	}
	if e.LogID, err = hex.DecodeString(w.LogID); err != nil {
		return e, errors.New("logID is not hexadecimal")
	}
	if proof.RootHash, err = hex.DecodeString(in.RootHash); err != nil {
		return e, errors.New("rootHash is not hexadecimal")
	}
	if len(in.Hashes) > sigstore.MaxProofHashes {
		return e, fmt.Errorf("%d hashes in an inclusion proof, the limit is %d", len(in.Hashes), sigstore.MaxProofHashes)
	}
	for _, text := range in.Hashes {
		h, err := hex.DecodeString(text)
		if err != nil {
			return e, errors.New("a hash is not hexadecimal")
		}
		proof.Hashes = append(proof.Hashes, h)
	}
	if len(e.Promise) == 0 {
		return e, errors.New("the entry has no signed entry timestamp")
	}
	return e, nil
}
