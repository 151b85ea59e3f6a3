package sigstoretest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Services are an instance's services by HTTP: Fulcio, both kinds of Rekor, and the
// timestamp authority. A test makes its one defect by a hook.
type Services struct {
	*Instance
	URL string
	// Handle answers in place of a service where it returns true. Nil: none does.
	Handle func(w http.ResponseWriter, r *http.Request) bool
	// Certificate changes what is certified.
	Certificate func(*Leaf)
	// Detached puts the log's timestamp beside the certificate, made by the function.
	Detached func(der []byte) []byte
	// Entry changes the entry that a log answers with, in the JSON of bundles.
	Entry func(Object) Object
	// Stamped changes which digest is timestamped, and Stamp how.
	Stamped func(digest []byte) []byte
	Stamp   Stamp

	mu       sync.Mutex
	known    map[string]Object // entries of Rekor v1, by UUID
	requests []string
}

// Serve starts the services, until the test ends.
func (i *Instance) Serve() *Services {
	i.t.Helper()
	s := &Services{Instance: i, known: make(map[string]Object)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/signingCert", s.signingCert)
	mux.HandleFunc("POST /api/v1/log/entries", s.addV1)
	mux.HandleFunc("GET /api/v1/log/entries/{uuid}", s.getV1)
	mux.HandleFunc("POST /api/v2/log/entries", s.addV2)
	mux.HandleFunc("POST /api/v1/timestamp", s.timestamp)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		handle := s.Handle
		s.mu.Unlock()
		if handle != nil && handle(w, r) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	i.t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Requests are the methods and paths that were asked for so far.
func (s *Services) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// Asked counts the requests for a path.
func (s *Services) Asked(request string) (n int) {
	for _, r := range s.Requests() {
		if strings.HasPrefix(r, request) {
			n++
		}
	}
	return n
}

// ConfigJSON is the signing configuration with logs of the versions, to be changed.
func (s *Services) ConfigJSON(logVersions ...int) Object {
	service := func(path string, version int, operator string) Object {
		return Object{"url": s.URL + path, "majorApiVersion": version, "operator": operator, "validFor": validFor(s.start(), time.Time{})}
	}
	var logs []any
	for _, v := range logVersions {
		logs = append(logs, service("", v, "rekor"))
	}
	return Object{
		"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
		"caUrls":    []any{service("", 1, "fulcio")}, "oidcUrls": []any{service("/idp", 1, "idp")},
		"rekorTlogUrls": logs, "tsaUrls": []any{service("/api/v1/timestamp", 1, "tsa")},
		"rekorTlogConfig": Object{"selector": "ANY"}, "tsaConfig": Object{"selector": "ANY"},
	}
}

// Config is the text of ConfigJSON.
func (s *Services) Config(logVersions ...int) []byte { return s.Marshal(s.ConfigJSON(logVersions...)) }

// IDToken is an identity token with claims beside issuer, audience and times.
func (s *Services) IDToken(claims Object) string {
	all := Object{"iss": "https://issuer.example", "aud": "sigstore", "exp": s.Now.Add(10 * time.Minute).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	raw := base64.RawURLEncoding.EncodeToString
	return raw([]byte(`{"alg":"none"}`)) + "." + raw(s.Marshal(all)) + "." + raw([]byte("a signature"))
}

func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, _ := json.Marshal(Object{"code": status, "message": err.Error()})
	w.Write(text)
}

func (s *Services) reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(s.Marshal(v))
}

// public is a key that signs nothing.
type public struct{ key crypto.PublicKey }

func (p public) Public() crypto.PublicKey { return p.key }
func (p public) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("a public key signs nothing")
}

func (s *Services) signingCert(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		PublicKeyRequest struct {
			PublicKey         struct{ Algorithm, Content string }
			ProofOfPossession []byte
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	claims, err := claimsOf(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	leaf := Leaf{Issuer: claims["iss"].(string)}
	subject, _ := claims["sub"].(string)
	if email, _ := claims["email"].(string); email != "" {
		leaf.Email, subject = email, email
	} else {
		leaf.URI = subject
	}
	block, _ := pem.Decode([]byte(asked.PublicKeyRequest.PublicKey.Content))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if !ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), sum([]byte(subject)), asked.PublicKeyRequest.ProofOfPossession) {
		refuse(w, http.StatusBadRequest, errors.New("the proof of possession does not verify"))
		return
	}
	leaf.Key, leaf.WithoutSCT = public{key}, s.Detached != nil
	if s.Certificate != nil {
		s.Certificate(&leaf)
	}
	issued := s.Issue(leaf)
	chain := []string{string(issued.PEM())}
	for _, c := range s.CA.Chain {
		chain = append(chain, string((&Signer{Certificate: c}).PEM()))
	}
	answer := Object{"signedCertificateEmbeddedSct": Object{"chain": Object{"certificates": chain}}}
	if s.Detached != nil {
		answer = Object{"signedCertificateDetachedSct": Object{
			"chain": Object{"certificates": chain}, "signedCertificateTimestamp": b64(s.Detached(issued.Certificate.Raw)),
		}}
	}
	s.reply(w, http.StatusOK, answer)
}

// DetachedSCT is a log's timestamp of a certificate, beside it.
func (s *Services) DetachedSCT(l *Log, der []byte) []byte {
	millis := s.Now.UnixMilli()
	signed := []byte{0, 0}
	for shift := 56; shift >= 0; shift -= 8 {
		signed = append(signed, byte(millis>>shift))
	}
	signed = append(signed, 0, 0, byte(len(der)>>16), byte(len(der)>>8), byte(len(der)))
	signature := l.sign(s.Instance, append(append(signed, der...), 0, 0))
	framed := append([]byte{4, 3, byte(len(signature) >> 8), byte(len(signature))}, signature...)
	return s.Marshal(Object{"sct_version": 0, "id": b64(l.ID), "timestamp": millis, "extensions": "", "signature": b64(framed)})
}

func claimsOf(token string) (Object, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a token")
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, err
	}
	var claims Object
	return claims, json.Unmarshal(text, &claims)
}

// addV1 records what Rekor v1 is asked to, in canonical form.
func (s *Services) addV1(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		APIVersion, Kind string
		Spec             struct {
			Data, Signature Object
			ProposedContent struct {
				Envelope  string
				Verifiers [][]byte
			}
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	spec := Object{"data": asked.Spec.Data, "signature": asked.Spec.Signature}
	if content := asked.Spec.ProposedContent; asked.Kind == "dsse" {
		var envelope struct {
			Payload    []byte
			Signatures []struct{ Sig []byte }
		}
		if err := json.Unmarshal([]byte(content.Envelope), &envelope); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		spec = Object{
			"envelopeHash": hash(crypto.SHA256, []byte(content.Envelope)), "payloadHash": hash(crypto.SHA256, envelope.Payload),
			"signatures": []any{Object{"signature": b64(envelope.Signatures[0].Sig), "verifier": b64(content.Verifiers[0])}},
		}
	}
	body := s.Marshal(Object{"apiVersion": asked.APIVersion, "kind": asked.Kind, "spec": spec})
	uuid := hex.EncodeToString(sum(body))
	if _, known := s.known[uuid]; known {
		w.Header().Set("Location", "/api/v1/log/entries/"+uuid)
		refuse(w, http.StatusConflict, fmt.Errorf("an equivalent entry already exists in the transparency log with UUID %s", uuid))
		return
	}
	s.known[uuid] = s.entry(s.Rekor1.Add(s.Instance, asked.Kind, asked.APIVersion, body, Record{}))
	s.reply(w, http.StatusCreated, Object{uuid: s.v1(s.known[uuid])})
}

func (s *Services) entry(e Object) Object {
	if s.Entry != nil {
		return s.Entry(e)
	}
	return e
}

func (s *Services) getV1(w http.ResponseWriter, r *http.Request) {
	uuid := r.PathValue("uuid")
	e, known := s.known[uuid]
	if !known {
		refuse(w, http.StatusNotFound, errors.New("no such entry"))
		return
	}
	s.reply(w, http.StatusOK, Object{uuid: s.v1(e)})
}

// v1 is an entry of bundles as Rekor v1 writes it.
func (s *Services) v1(e Object) Object {
	unhex := func(v any) string {
		data, err := base64.StdEncoding.DecodeString(v.(string))
		s.check(err)
		return hex.EncodeToString(data)
	}
	number := func(v any) int64 {
		n, err := strconv.ParseInt(v.(string), 10, 64)
		s.check(err)
		return n
	}
	proof := e["inclusionProof"].(Object)
	var hashes []string
	for _, h := range proof["hashes"].([]any) {
		hashes = append(hashes, unhex(h))
	}
	return Object{
		"body": e["canonicalizedBody"], "integratedTime": number(e["integratedTime"]), "logID": unhex(e["logId"].(Object)["keyId"]), "logIndex": number(e["logIndex"]),
		"verification": Object{
			"signedEntryTimestamp": e["inclusionPromise"].(Object)["signedEntryTimestamp"],
			"inclusionProof": Object{
				"checkpoint": proof["checkpoint"].(Object)["envelope"], "hashes": hashes, "logIndex": number(proof["logIndex"]),
				"rootHash": unhex(proof["rootHash"]), "treeSize": number(proof["treeSize"]),
			},
		},
	}
}

// addV2 records what Rekor v2 is asked to, which is a hashedrekord as newer ones want it.
func (s *Services) addV2(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		HashedRekordRequestV002 *struct {
			Digest    string
			Signature Object
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.HashedRekordRequestV002 == nil {
		refuse(w, http.StatusBadRequest, errors.New("invalid type, must be hashedrekord"))
		return
	}
	body := s.Marshal(Object{"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": Object{"hashedRekordV002": Object{
		"data": Object{"algorithm": "SHA2_256", "digest": asked.HashedRekordRequestV002.Digest}, "signature": asked.HashedRekordRequestV002.Signature,
	}}})
	s.reply(w, http.StatusCreated, s.entry(s.Rekor2.Add(s.Instance, "hashedrekord", "0.0.2", body, Record{})))
}

func (s *Services) timestamp(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var asked struct {
		Version int
		Imprint struct {
			Algorithm asn1.RawValue
			Digest    []byte
		}
		Certificates bool `asn1:"optional"`
	}
	if err == nil {
		_, err = asn1.Unmarshal(body, &asked)
	}
	if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
		refuse(w, http.StatusBadRequest, errors.New("not a request for a timestamp"))
		return
	}
	digest := asked.Imprint.Digest
	if s.Stamped != nil {
		digest = s.Stamped(bytes.Clone(digest))
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.WriteHeader(http.StatusCreated)
	w.Write(s.TSA.StampDigest(s.Instance, digest, s.Stamp))
}
