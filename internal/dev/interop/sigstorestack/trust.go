package sigstorestack

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Trust is what clients trust. A test copies it, makes one defect, and writes it.
type Trust struct {
	CA, TSA            Authority
	CT, Rekor1, Rekor2 Log
}

// Authority issues certificates or timestamps.
type Authority struct {
	URL string
	// Chain is the issuing certificate and those above it.
	Chain []*x509.Certificate
	// Start and End are those of the trust. Zero End: none.
	Start, End time.Time
}

// Log is a transparency log.
type Log struct {
	URL string
	Key crypto.PublicKey
	// V2 is true of Rekor v2, whose ID is by C2SP signed-note. False: the ID is that of
	// the key.
	V2 bool
	// Start and End are those of the trust. Zero End: none.
	Start, End time.Time
}

type object = map[string]any

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// Root is the text of trusted_root.json.
func (t *Trust) Root() ([]byte, error) {
	var logs []object
	for _, l := range []*Log{&t.Rekor2, &t.Rekor1, &t.CT} {
		text, err := l.json()
		if err != nil {
			return nil, err
		}
		logs = append(logs, text)
	}
	return json.MarshalIndent(object{
		"mediaType":              "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs":                  logs[:2],
		"ctlogs":                 logs[2:],
		"certificateAuthorities": []object{t.CA.json()},
		"timestampAuthorities":   []object{t.TSA.json()},
	}, "", " ")
}

// SigningConfig is the text of signing_config.json, for Rekor of the version, 1 or 2.
func (s *Stack) SigningConfig(rekor int) ([]byte, error) {
	t := &s.Trust
	log := t.Rekor2
	if rekor == 1 {
		log = t.Rekor1
	}
	service := func(url string, version int) []object {
		return []object{{"url": url, "majorApiVersion": version, "validFor": validFor(t.CA.Start, time.Time{}), "operator": "hallmark.test"}}
	}
	return json.MarshalIndent(object{
		"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
		"caUrls":    service(t.CA.URL, 1), "oidcUrls": service(s.People.URL, 1),
		"rekorTlogUrls": service(log.URL, rekor), "rekorTlogConfig": object{"selector": "ANY"},
		"tsaUrls": service(t.TSA.URL, 1), "tsaConfig": object{"selector": "ANY"},
	}, "", " ")
}

func validFor(start, end time.Time) object {
	o := object{"start": start.UTC().Format(time.RFC3339)}
	if !end.IsZero() {
		o["end"] = end.UTC().Format(time.RFC3339)
	}
	return o
}

func (a *Authority) json() object {
	var certificates []object
	for _, c := range a.Chain {
		certificates = append(certificates, object{"rawBytes": b64(c.Raw)})
	}
	top := a.Chain[len(a.Chain)-1].Subject
	return object{
		"subject": object{"organization": "hallmark.test", "commonName": top.CommonName}, "uri": a.URL,
		"certChain": object{"certificates": certificates}, "validFor": validFor(a.Start, a.End),
	}
}

func (l *Log) json() (object, error) {
	der, err := x509.MarshalPKIXPublicKey(l.Key)
	if err != nil {
		return nil, err
	}
	details, id := "PKIX_ECDSA_P256_SHA_256", sha256.Sum256(der)
	if key, is := l.Key.(ed25519.PublicKey); is {
		details = "PKIX_ED25519"
		if l.V2 {
			id = sha256.Sum256(slices.Concat([]byte(origin+"\n\x01"), key))
		}
	}
	return object{
		"baseUrl": l.URL, "hashAlgorithm": "SHA2_256", "logId": object{"keyId": b64(id[:])},
		"publicKey": object{"rawBytes": b64(der), "keyDetails": details, "validFor": validFor(l.Start, l.End)},
	}, nil
}

// portOf is the port of a URL that this package has made.
func portOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		panic(fmt.Sprintf("a URL of ours: %v", err))
	}
	return u.Port()
}
