package keyless_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/sign/keyless"
)

func signAny(s *keyless.Signer) error {
	message := []byte("app")
	_, _, err := s.SignWithMaterial(context.Background(), sign.Message{Bytes: message, SHA256: sha256.Sum256(message)})
	return err
}

func TestAttack_T21_CertificatesAreVerifiedBeforeUse(t *testing.T) {
	another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*world, *sigstoretest.Leaf)
		text   string
	}{
		"no SCT":             {func(_ *world, l *sigstoretest.Leaf) { l.WithoutSCT = true }, "0 certificate transparency logs"},
		"SCT of another":     {func(_ *world, l *sigstoretest.Leaf) { l.SCTOf = func(e []byte) []byte { e[40] ^= 1; return e } }, "0 certificate transparency logs"},
		"SCT by another log": {func(w *world, l *sigstoretest.Leaf) { l.CT = sigstoretest.New(w, sigstoretest.Options{}).CT }, "0 certificate transparency logs"},
		"another key":        {func(_ *world, l *sigstoretest.Leaf) { l.Key = another }, "for another key"},
		"another authority":  {func(w *world, l *sigstoretest.Leaf) { l.CA = sigstoretest.New(w, sigstoretest.Options{}).CA }, "certificate chain"},
		"not for code": {func(_ *world, l *sigstoretest.Leaf) {
			l.Change = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
		}, "not for signing code"},
		"two subjects": {func(_ *world, l *sigstoretest.Leaf) { l.Email = "jane@acme.example" }, "exactly one subject"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Certificate = func(l *sigstoretest.Leaf) { c.change(w, l) }
			w.refuses(w.options(2), keyless.ErrUntrusted, c.text)
			if n := w.Asked("POST /api/v2/log"); n != 0 {
				t.Errorf("%d entries were logged", n)
			}
		})
	}
}

func TestDetachedSCTsNeedWithoutCT(t *testing.T) {
	w := newWorld(t)
	w.Detached = func(der []byte) []byte { return w.DetachedSCT(w.CT, der) }
	w.refuses(w.options(2), keyless.ErrUntrusted, "Options.WithoutCT")
	o := w.options(2)
	o.WithoutCT = true
	if err := signAny(w.signer(o)); err != nil {
		t.Error(err)
	}
	other := sigstoretest.New(t, sigstoretest.Options{})
	w.Detached = func(der []byte) []byte { return w.DetachedSCT(other.CT, der) }
	w.refuses(o, keyless.ErrUntrusted, "no certificate transparency log")
	w.Detached = func(der []byte) []byte { return w.DetachedSCT(w.CT, append([]byte{1}, der...)) }
	w.refuses(o, keyless.ErrUntrusted, "no certificate transparency log")
	w.Detached = func([]byte) []byte { return []byte("{}") }
	w.refuses(o, keyless.ErrUntrusted, "of a certificate timestamp")
}

func TestAttack_T21_LogsAnswerAboutTheSignature(t *testing.T) {
	other := func(w *world, log *sigstoretest.Log, kind string) sigstoretest.Object {
		another := w.Issue(sigstoretest.Leaf{URI: workflow, Issuer: issuer}).SignMessage([]byte("another"))
		return log.Add(w.Instance, strings.Fields(kind)[0], strings.Fields(kind)[1], another.Body(kind), sigstoretest.Record{})
	}
	proof := func(e sigstoretest.Object) sigstoretest.Object { return e["inclusionProof"].(sigstoretest.Object) }
	for name, change := range map[string]func(w *world, log *sigstoretest.Log, kind string, e sigstoretest.Object) sigstoretest.Object{
		"another entry": func(w *world, log *sigstoretest.Log, kind string, _ sigstoretest.Object) sigstoretest.Object {
			return other(w, log, kind)
		},
		"proof of another entry": func(w *world, log *sigstoretest.Log, kind string, e sigstoretest.Object) sigstoretest.Object {
			e["inclusionProof"] = other(w, log, kind)["inclusionProof"]
			e["logIndex"] = proof(e)["logIndex"]
			return e
		},
		"no proof": func(_ *world, _ *sigstoretest.Log, _ string, e sigstoretest.Object) sigstoretest.Object {
			proof(e)["hashes"] = []any{}
			return e
		},
		"checkpoint by another log": func(w *world, _ *sigstoretest.Log, _ string, e sigstoretest.Object) sigstoretest.Object {
			stranger := sigstoretest.New(w, sigstoretest.Options{})
			record := sigstoretest.Record{Key: stranger.Rekor2.Key}
			proof(e)["checkpoint"] = sigstoretest.Object{"envelope": w.Rekor2.Checkpoint(w.Instance, "7", make([]byte, 32), record)}
			return e
		},
		"a log that the root lacks": func(_ *world, _ *sigstoretest.Log, _ string, e sigstoretest.Object) sigstoretest.Object {
			e["logId"] = sigstoretest.Object{"keyId": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
			return e
		},
	} {
		for version, kind := range map[int]string{1: "hashedrekord 0.0.1", 2: "hashedrekord 0.0.2"} {
			t.Run(fmt.Sprint(name, " of Rekor v", version), func(t *testing.T) {
				w := newWorld(t)
				log := w.Rekor1
				if version == 2 {
					log = w.Rekor2
				}
				w.Entry = func(e sigstoretest.Object) sigstoretest.Object { return change(w, log, kind, e) }
				w.refuses(w.options(version), keyless.ErrUntrusted, "rekor")
			})
		}
	}
}

func TestAttack_T21_TimestampsAreOfTheSignature(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		text   string
	}{
		"another message":         {func(w *world) { w.Stamped = func(d []byte) []byte { d[0] ^= 1; return d } }, "of another signature"},
		"before the certificate":  {func(w *world) { w.Stamp.At = w.Now.Add(-time.Minute) }, "the certificate is valid"},
		"after the certificate":   {func(w *world) { w.Stamp.At = w.Now.Add(time.Hour) }, "the certificate is valid"},
		"another authority":       {func(w *world) { w.TSA = sigstoretest.New(w, sigstoretest.Options{}).TSA }, "timestamp authority"},
		"bound to another signer": {func(w *world) { w.Stamp.Bound = []byte("another") }, "another certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.options(2)
			c.change(w)
			w.refuses(o, keyless.ErrUntrusted, c.text)
		})
	}
}

func TestLogTimesMustBeWithinTheCertificate(t *testing.T) {
	w := newWorld(t)
	config := w.ConfigJSON(1)
	delete(config, "tsaUrls")
	o := w.options(1)
	o.SigningConfig = w.Marshal(config)
	if err := signAny(w.signer(o)); err != nil {
		t.Fatal(err)
	}
	w.Certificate = func(l *sigstoretest.Leaf) { l.Start = w.Now.Add(2 * time.Minute) }
	w.refuses(o, keyless.ErrUntrusted, "not within the certificate's validity")
}

func TestTokensThatCannotBeUsedAreNotSent(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		token, text string
	}{
		"expired":           {w.IDToken(sigstoretest.Object{"sub": workflow, "exp": w.now.Add(-2 * time.Minute).Unix()}), "has expired"},
		"without an end":    {w.IDToken(sigstoretest.Object{"sub": workflow, "exp": nil}), "when it expires"},
		"without a subject": {w.IDToken(nil), "no subject"},
		"not a token":       {"secret-that-is-not-a-token", "not a JSON web token"},
		"with a line break": {w.IDToken(sigstoretest.Object{"sub": workflow}) + "\nX-Evil: 1", "not a JSON web token"},
		"empty":             {"", "not a JSON web token"},
	} {
		o := w.options(2)
		o.Identity = keyless.Token(c.token)
		w.refuses(o, keyless.ErrIdentity, c.text)
		if len(w.Requests()) > 0 {
			t.Fatalf("%s: %v", name, w.Requests())
		}
	}
	o := w.options(2)
	o.Identity = func(context.Context) (string, error) { return "", errors.New("the agent is down") }
	w.refuses(o, keyless.ErrIdentity, "the agent is down")
}

func TestAttack_T21_TokensAreInNoError(t *testing.T) {
	w := newWorld(t)
	token := w.IDToken(sigstoretest.Object{"sub": workflow})
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"echoed": func(rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(rw, `{"code":3,"message":"the token %s is not accepted"}`, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		},
		"echoed in part": func(rw http.ResponseWriter, _ *http.Request) {
			http.Error(rw, "claims "+strings.Split(token, ".")[1], http.StatusForbidden)
		},
		"redirected": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://127.0.0.1:1/?"+r.Header.Get("Authorization"), http.StatusTemporaryRedirect)
		},
		"not an answer": func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, token) },
	} {
		w.Handle = func(rw http.ResponseWriter, r *http.Request) bool {
			answer(rw, r)
			return true
		}
		err := signAny(w.signer(w.options(2)))
		if !errors.Is(err, keyless.ErrService) || strings.Contains(err.Error(), strings.Split(token, ".")[1]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAttack_T21_RedirectsAreNotFollowed(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.Handle = func(rw http.ResponseWriter, r *http.Request) bool {
		http.Redirect(rw, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}
	w.refuses(w.options(2), keyless.ErrService, "redirects")
	if len(other.Requests()) > 0 {
		t.Errorf("%v", other.Requests())
	}
}

func TestRetriesAreBoundedAndHeedRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		after  string
		asked  int
		wait   time.Duration
	}{
		"429":                {http.StatusTooManyRequests, "7", 4, 7 * time.Second},
		"503":                {http.StatusServiceUnavailable, "0", 4, 0},
		"503 for long":       {http.StatusServiceUnavailable, "3600", 1, -1},
		"500":                {http.StatusInternalServerError, "", 4, -1},
		"400 is an answer":   {http.StatusBadRequest, "", 1, -1},
		"403 is an answer":   {http.StatusForbidden, "1", 1, -1},
		"an absurd header":   {http.StatusServiceUnavailable, "99999999999999999999", 4, -1},
		"a date in the past": {http.StatusServiceUnavailable, "Mon, 01 Jan 2024 00:00:00 GMT", 4, 0},
	} {
		w := newWorld(t)
		w.Handle = func(rw http.ResponseWriter, r *http.Request) bool {
			if c.after != "" {
				rw.Header().Set("Retry-After", c.after)
			}
			rw.WriteHeader(c.status)
			return true
		}
		w.refuses(w.options(2), keyless.ErrService, fmt.Sprint(c.status))
		if n := len(w.Requests()); n != c.asked || len(w.waits) != c.asked-1 || c.wait >= 0 && w.waits[0] != c.wait {
			t.Errorf("%s: %d requests, waits %v", name, n, w.waits)
		}
	}
}

func TestServicesThatComeBackAreUsed(t *testing.T) {
	w := newWorld(t)
	seen := make(map[string]int)
	w.Handle = func(rw http.ResponseWriter, r *http.Request) bool {
		seen[r.URL.Path]++
		if seen[r.URL.Path] < 3 {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	}
	if err := signAny(w.signer(w.options(2))); err != nil {
		t.Error(err)
	}
}

func TestSlowServicesEndWithTheContext(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.Handle = func(http.ResponseWriter, *http.Request) bool {
		<-release
		return true
	}
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := sign.Blob(ctx, strings.NewReader("a file"), w.signer(w.options(2)))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestAttack_T21_AnswersAreBounded(t *testing.T) {
	w := newWorld(t)
	w.Handle = func(rw http.ResponseWriter, _ *http.Request) bool {
		chunk := make([]byte, 64<<10)
		for n := 0; n < 1024; n++ {
			if _, err := rw.Write(chunk); err != nil {
				return true
			}
		}
		return true
	}
	w.refuses(w.options(2), keyless.ErrService, "size limit")
}

// lost answers a request and then loses the answer.
func (w *world) lost(method string) func(http.ResponseWriter, *http.Request) bool {
	dropped := false
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if dropped || r.Header.Get("X-Again") != "" || r.Method+" "+r.URL.Path != method {
			return false
		}
		dropped = true
		again, err := http.NewRequest(r.Method, w.URL+r.URL.Path, r.Body)
		if err != nil {
			panic(err)
		}
		again.Header = r.Header.Clone()
		again.Header.Set("X-Again", "1")
		resp, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			panic(err)
		}
		resp.Body.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		panic(http.ErrAbortHandler)
	}
}

func TestAttack_T21_ConflictCountsOnceVerified(t *testing.T) {
	w := newWorld(t)
	w.Handle = w.lost("POST /api/v1/log/entries")
	if err := signAny(w.signer(w.options(1))); err != nil {
		t.Fatal(err)
	}
	if w.Asked("GET /api/v1/log/entries/") != 1 {
		t.Errorf("%v", w.Requests())
	}
}

func TestAttack_T21_ConflictWithAnotherEntry(t *testing.T) {
	w := newWorld(t)
	w.Handle = w.lost("POST /api/v1/log/entries")
	w.Entry = func(e sigstoretest.Object) sigstoretest.Object {
		other := w.Issue(sigstoretest.Leaf{URI: workflow, Issuer: issuer}).SignMessage([]byte("another"))
		return w.Rekor1.Add(w.Instance, "hashedrekord", "0.0.1", other.Body("hashedrekord 0.0.1"), sigstoretest.Record{})
	}
	w.refuses(w.options(1), keyless.ErrUntrusted, "rekor")
	for location, text := range map[string]string{"": "does not say where", "https://evil.example/entries/" + strings.Repeat("z", 64): "does not say where"} {
		w := newWorld(t)
		w.Handle = func(rw http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/v1/log/entries" {
				return false
			}
			rw.Header().Set("Location", location)
			rw.WriteHeader(http.StatusConflict)
			return true
		}
		w.refuses(w.options(1), keyless.ErrUntrusted, text)
	}
}

func TestConflictOfRekorV2IsSignedAgain(t *testing.T) {
	w := newWorld(t)
	conflicts := 0
	w.Handle = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v2/log/entries" || conflicts == 2 {
			return false
		}
		conflicts++
		rw.WriteHeader(http.StatusConflict)
		return true
	}
	if err := signAny(w.signer(w.options(2))); err != nil || conflicts != 2 {
		t.Errorf("%d conflicts: %v", conflicts, err)
	}
	conflicts = -100
	w.refuses(w.options(2), keyless.ErrService, "has the entry already")
}

// answers makes one service answer with a text, from its own answer.
func (w *world) answers(path string, change func(string) string) {
	w.Handle = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path || r.Header.Get("X-Again") != "" {
			return false
		}
		again, err := http.NewRequest(r.Method, w.URL+r.URL.Path, r.Body)
		if err != nil {
			panic(err)
		}
		again.Header = r.Header.Clone()
		again.Header.Set("X-Again", "1")
		resp, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			panic(err)
		}
		defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(err)
		}
		rw.WriteHeader(resp.StatusCode)
		io.WriteString(rw, change(string(text)))
		return true
	}
}

func TestAttack_T21_MalformedAnswersAreRefused(t *testing.T) {
	becomes := func(text string) func(string) string { return func(string) string { return text } }
	swap := func(from, to string) func(string) string {
		return func(text string) string {
			if !strings.Contains(text, from) {
				panic(text)
			}
			return strings.Replace(text, from, to, 1)
		}
	}
	const fulcio, rekor1, rekor2, tsa = "/api/v2/signingCert", "/api/v1/log/entries", "/api/v2/log/entries", "/api/v1/timestamp"
	for name, c := range map[string]struct {
		path   string
		change func(string) string
		text   string
	}{
		"fulcio: not JSON":             {fulcio, becomes("certificate"), "malformed JSON"},
		"fulcio: no certificates":      {fulcio, becomes("{}"), "0 certificates"},
		"fulcio: too many":             {fulcio, becomes(`{"signedCertificateEmbeddedSct":{"chain":{"certificates":["","","","","","","","","","",""]}}}`), "11 certificates"},
		"fulcio: not PEM":              {fulcio, becomes(`{"signedCertificateEmbeddedSct":{"chain":{"certificates":["x"]}}}`), "not PEM"},
		"fulcio: not a certificate":    {fulcio, becomes(`{"signedCertificateEmbeddedSct":{"chain":{"certificates":["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]}}}`), "certificate"},
		"fulcio: a member twice":       {fulcio, swap(`{"signed`, `{"signedCertificateEmbeddedSct":{},"signed`), "malformed JSON"},
		"rekor v2: not JSON":           {rekor2, becomes("entry"), "malformed"},
		"rekor v2: no entry":           {rekor2, becomes("{}"), "malformed"},
		"rekor v2: an unknown member":  {rekor2, swap(`{"canonicalizedBody"`, `{"more":1,"canonicalizedBody"`), "unknown member"},
		"rekor v1: not JSON":           {rekor1, becomes("entry"), "malformed"},
		"rekor v1: no entry":           {rekor1, becomes("{}"), "exactly one entry"},
		"rekor v1: two entries":        {rekor1, becomes(`{"a":{},"b":{}}`), "exactly one entry"},
		"rekor v1: another type":       {rekor1, becomes(`{"a":{"logIndex":"7"}}`), "logIndex"},
		"rekor v1: logID":              {rekor1, swap(`"logID":"`, `"logID":"x`), "logID is not"},
		"rekor v1: rootHash":           {rekor1, swap(`"rootHash":"`, `"rootHash":"x`), "rootHash is not"},
		"rekor v1: hashes":             {rekor1, swap(`"hashes":["`, `"hashes":["x`), "a hash is not"},
		"rekor v1: too many hashes":    {rekor1, swap(`"hashes":[`, `"hashes":[`+strings.Repeat(`"00",`, 64)), "the limit is 64"},
		"rekor v1: no promise":         {rekor1, swap(`"signedEntryTimestamp":"`, `"signedEntryTimestamps":"`), "no signed entry timestamp"},
		"timestamp: not a timestamp":   {tsa, becomes("time"), "malformed"},
		"timestamp: refused by status": {tsa, becomes("0\x03\x02\x01\x02"), "timestamp"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.answers(c.path, c.change)
			version := 2
			if c.path == rekor1 {
				version = 1
			}
			w.refuses(w.options(version), keyless.ErrUntrusted, c.text)
		})
	}
}

func TestAttack_T21_DetachedSCTsAreRead(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON": "timestamp", "another version": `{"sct_version":1}`, "not base64": `{"sct_version":0,"id":"!"}`, "no signature": `{"sct_version":0}`,
	} {
		w := newWorld(t)
		w.Detached = func([]byte) []byte { return []byte(text) }
		o := w.options(2)
		o.WithoutCT = true
		w.refuses(o, keyless.ErrUntrusted, "malformed")
		if len(w.Requests()) != 1 {
			t.Errorf("%s: %v", name, w.Requests())
		}
	}
}

func TestMessagesAreWhatTheirDigestSays(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.signer(w.options(2)).SignWithMaterial(t.Context(), sign.Message{Bytes: []byte("app"), SHA256: sha256.Sum256([]byte("other"))})
	if !errors.Is(err, sign.ErrOptions) || len(w.Requests()) > 0 {
		t.Errorf("%v, %v", err, w.Requests())
	}
}

func TestAttack_T21_SecretsInTransportErrors(t *testing.T) {
	w := newWorld(t)
	o := w.options(2)
	o.Transport = failing{}
	err := signAny(w.signer(o))
	if !errors.Is(err, keyless.ErrService) || !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "eyJ") || !strings.Contains(err.Error(), "[secret]") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := w.signer(o)
	s.SetWait(func(context.Context, time.Duration) error {
		cancel()
		return ctx.Err()
	})
	if _, err := s.Identity(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// failing is a transport whose errors show what they were to send.
type failing struct{}

func (failing) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("sending %q: %w", r.Header.Get("Authorization"), io.ErrUnexpectedEOF)
}
