package verify_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/wire/dsse"
	"github.com/hallmark-oci/hallmark/internal/wire/intoto"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

const (
	hello    = "hello"
	helloSum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	// filesBy ends a policy; helloSubject is a statement's subject.
	filesBy      = "files: [{signature: {by: release}}]\n"
	helloSubject = `{"digest":{"sha256":"` + helloSum + `"}}`
)

// judgedFile judges the file hello by a policy text.
func judgedFile(t *testing.T, text string, people []person, bundles ...[]byte) (*verify.BlobResult, error) {
	t.Helper()
	v, err := verify.New(loaded(t, text, people...), verify.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return v.Blob(context.Background(), strings.NewReader(hello), bundles...)
}

// signedFile is the bundle that by makes of hello: of its bytes, and of a statement
// about it.
func signedFile(t *testing.T, by person) map[string][]byte {
	t.Helper()
	bytewise, err := sign.Blob(context.Background(), strings.NewReader(hello), by)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"bytes":     bytewise,
		"statement": bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, helloSubject), by).Payload,
	}
}

func TestAKeyThatDoesNotCountNowCountsForNoFile(t *testing.T) {
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	a, b := people[0], people[1]
	for label, c := range map[string]struct {
		key    string
		by     person
		reason verify.Reason // empty: allowed
	}{
		"in time":          {"{file: a.pub, notBefore: 2026-05-01T00:00:00Z, notAfter: 2026-12-01T00:00:00Z}", a, ""},
		"expired":          {"{file: a.pub, notAfter: 2026-05-31T23:59:59Z}", a, verify.ReasonExpiredKey},
		"not yet valid":    {"{file: a.pub, notBefore: 2026-12-01T00:00:01Z}", a, verify.ReasonKeyNotYetValid},
		"revoked":          {"{file: a.pub, revoked: 2026-01-01T00:00:00Z}", a, verify.ReasonRevokedKey},
		"in another role":  {"{file: a.pub}", b, verify.ReasonWrongRole},
		"not in any, ever": {"{file: a.pub}", newPerson(t), verify.ReasonUntrustedKey},
	} {
		for kind, bundle := range signedFile(t, c.by) {
			t.Run(label+", "+kind, func(t *testing.T) {
				res, err := judgedFile(t, strings.Replace(policyText, "{file: a.pub}", c.key, 1)+filesBy, people, bundle)
				if c.reason != "" {
					blobDenied(t, res, err, verify.ReasonNoTrustedSignature, c.reason)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestWhatIsNoSignatureOfAFileIsToldForWhatItIs(t *testing.T) {
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	certificate := func(bundle []byte) []byte {
		return bytes.Replace(bundle, []byte(`"publicKey":{"hint":""}`), []byte(`"certificate":{"rawBytes":"AQI="}`), 1)
	}
	bytewise := overBytes([]byte(hello), []byte("made by no key"), "")
	stated := func(payloadType, payload string) []byte {
		return bundleItem(t, payloadType, payload, people[0]).Payload
	}
	good := stated(dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, helloSubject))
	for label, c := range map[string]struct {
		bundle []byte
		reason verify.Reason
	}{
		"no JSON":                      {[]byte("garbage"), verify.ReasonMalformed},
		"another document":             {[]byte("{}"), verify.ReasonMalformed},
		"by a certificate":             {certificate(bytewise), verify.ReasonCertificate},
		"a statement by a certificate": {certificate(good), verify.ReasonCertificate},
		"a signature of no key":        {bytewise, verify.ReasonUntrustedKey},
		"a payload of another type":    {stated("application/vnd.example+json", statement(intoto.PredicateSignature, helloSubject)), verify.ReasonWrongType},
		"signed, and no statement":     {stated(dsse.PayloadTypeInToto, "garbage"), verify.ReasonMalformed},
		"signed, and an attestation":   {stated(dsse.PayloadTypeInToto, statement("https://slsa.dev/provenance/v1", helloSubject)), verify.ReasonWrongType},
	} {
		res, err := judgedFile(t, policyText+filesBy, people, c.bundle)
		t.Log(label)
		blobDenied(t, res, err, verify.ReasonNoTrustedSignature, c.reason)
	}
	if _, err := judgedFile(t, policyText+filesBy, people, good); err != nil {
		t.Error(err)
	}
}

func TestAFileIsKnownByEveryDigestThatItsStatementNames(t *testing.T) {
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	sum512, sum384 := fmt.Sprintf("%x", sha512.Sum512([]byte(hello))), fmt.Sprintf("%x", sha512.Sum384([]byte(hello)))
	for digests, counts := range map[string]bool{
		`"sha512":"` + sum512 + `"`:                                               true,
		`"sha384":"` + sum384 + `"`:                                               true,
		`"sha256":"` + helloSum + `","gitCommit":"` + someCommit + `"`:            true,
		`"sha256":"` + helloSum + `","sha512":"` + strings.Repeat("0", 128) + `"`: false,
		`"gitCommit":"` + someCommit + `"`:                                        false,
	} {
		text := statement(intoto.PredicateSignature, `{"digest":{`+digests+`}}`)
		res, err := judgedFile(t, policyText+filesBy, people, bundleItem(t, dsse.PayloadTypeInToto, text, people[0]).Payload)
		t.Log(digests)
		if !counts {
			blobDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonWrongSubject)
		} else if err != nil {
			t.Error(err)
		}
	}
}

func TestAnnotationsThatFilesNeedMustBeSigned(t *testing.T) {
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	text := policyText + "files: [{signature: {by: release, annotations: {env: prod}}}]\n"
	with := func(annotations string) []byte {
		subject := `{"digest":{"sha256":"` + helloSum + `"},"annotations":` + annotations + `}`
		return bundleItem(t, dsse.PayloadTypeInToto, statement(intoto.PredicateSignature, subject), people[0]).Payload
	}
	for label, bundle := range map[string][]byte{
		"over the bytes": signedFile(t, people[0])["bytes"],
		"none":           with(`{}`),
		"another value":  with(`{"env":"test"}`),
		"another name":   with(`{"Env":"prod"}`),
	} {
		res, err := judgedFile(t, text, people, bundle)
		t.Log(label)
		blobDenied(t, res, err, verify.ReasonNoTrustedSignature, verify.ReasonAnnotations)
	}
	res, err := judgedFile(t, text, people, with(`{"env":"prod","more":"x"}`))
	if err != nil || len(res.Keys) != 1 || res.Keys[0].Annotations["more"] != "x" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestWhatIsGivenForAFileIsBounded(t *testing.T) {
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	garbage := slices.Repeat([][]byte{[]byte("{}")}, 1001)
	res, err := judgedFile(t, policyText+filesBy, people, garbage[:1000]...)
	blobDenied(t, res, err, verify.ReasonNoTrustedSignature, slices.Repeat([]verify.Reason{verify.ReasonMalformed}, 1000)...)
	res, err = judgedFile(t, policyText+filesBy, people, garbage...)
	blobDenied(t, res, err, verify.ReasonTooMuchEvidence, slices.Repeat([]verify.Reason{verify.ReasonMalformed}, 1000)...)
	res, err = judgedFile(t, policyText+filesBy, people, []byte("{}"), make([]byte, 32<<20+1))
	blobDenied(t, res, err, verify.ReasonTooMuchEvidence, verify.ReasonMalformed)
}

// Checks with a key of P-521 count 32 times: no more than 625 signatures are
// checked, whether they name the key or not.
func TestChecksOfAFilesSignaturesAreBounded(t *testing.T) {
	slow, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sigkey.New(slow.Public())
	if err != nil {
		t.Fatal(err)
	}
	by := personWith(t, slow)
	stated := fmt.Appendf(nil, `{"mediaType":%q,"verificationMaterial":{"publicKey":{}},"dsseEnvelope":{"payloadType":%q,"payload":%q,"signatures":[{"sig":"AQI="}]}}`,
		bundleType, dsse.PayloadTypeInToto, base64.StdEncoding.EncodeToString([]byte(statement(intoto.PredicateSignature, helloSubject))))
	for label, bundle := range map[string][]byte{
		"of bytes, for no key":     overBytes([]byte(hello), []byte("made by no key"), ""),
		"of bytes, for that key":   overBytes([]byte(hello), []byte("made by no key"), key.Hint()),
		"of a statement, for none": stated,
	} {
		v, err := verify.New(policy.Signatures{Keys: []policy.PublicKey{by.key}, Threshold: 1}.Policy(), verify.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Blob(context.Background(), strings.NewReader(hello), slices.Repeat([][]byte{bundle}, 627)...)
		var denied *verify.Error
		if !errors.As(err, &denied) || denied.Reason != verify.ReasonTooMuchEvidence || len(denied.Evidence) != 626 {
			t.Fatalf("%s: %v", label, err)
		}
		if at, next := denied.Evidence[624].Reason, denied.Evidence[625].Reason; at != verify.ReasonUntrustedKey || next != verify.ReasonTooMuchEvidence {
			t.Errorf("%s: %s at the bound, and %s past it", label, at, next)
		}
	}
}

func TestAPolicyThatSaysNothingAboutFilesAllowsNone(t *testing.T) {
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	res, err := judgedFile(t, policyText, people, signedFile(t, people[0])["bytes"])
	blobDenied(t, res, err, verify.ReasonNoRule)
}

// ending is a reader whose end is that of a context, too.
type ending struct {
	*strings.Reader
	end context.CancelFunc
}

func (e ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if err != nil {
		e.end()
	}
	return n, err
}

func TestACallerWhoGivesUpOnceTheFileIsReadGetsNoDecision(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	bundle := signedFile(t, w.trusted)["bytes"]
	res, err := w.verifier(policy.Signatures{}).Blob(ctx, ending{strings.NewReader(hello), cancel}, bundle)
	var denied *verify.Error
	if res != nil || !errors.Is(err, context.Canceled) || errors.As(err, &denied) {
		t.Errorf("%v, %v; want context.Canceled", res, err)
	}
}

func TestDecisionsAboutFilesAreReadByPeopleAndPrograms(t *testing.T) {
	people := []person{newPerson(t), newPerson(t), newPerson(t)}
	garbage := []byte("{}")
	_, err := judgedFile(t, policyText+filesBy, people, garbage, garbage, signedFile(t, people[1])["bytes"])
	want := "file sha256:" + helloSum + ": denied: no signature given for it counts (no-trusted-signature); evidence seen: 2 malformed, 1 wrong-role"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	res, err := judgedFile(t, policyText+filesBy, people, signedFile(t, people[0])["bytes"])
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(res)
	if want := fmt.Sprintf(`{"status":"verified","sha256":%q,"size":5,"policy":%q,"judgedAt":%q,"requirements":[{"requirement":"files[0]","title":"signature by release","by":"release","keys":[{"id":%[4]q,"name":"a"}]}],"keys":[{"id":%[4]q,"name":"a"}],"evidence":[{"format":"bundle","keyId":%[4]q,"requirement":"files[0]","reason":"counted"}]}`,
		helloSum, res.PolicyDigest, now.UTC().Format(time.RFC3339), people[0].key.ID()); err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

// An authority that knows of bytes alone would take a file whose digest alone is known for
// the empty file.
func TestAttack_T16_AuthoritiesThatNeedTheBytesAreNotShownADigest(t *testing.T) {
	ca, jane, a := newHouseCA(t), newPerson(t), newPerson(t)
	linked := map[string]policy.Authority{"house": ca}
	p, err := policy.Load(written(t, identityPolicy+"files: [{signature: {by: release}}]\n", a), policy.ParseOptions{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.New(p, verify.Options{Authorities: linked})
	if err != nil {
		t.Fatal(err)
	}
	signed := func(content []byte) []byte {
		sig, err := jane.Sign(t.Context(), content)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, `{"mediaType":%q,"verificationMaterial":{"certificate":{"rawBytes":%q}},"messageSignature":{"signature":%q}}`, bundleType,
			base64.StdEncoding.EncodeToString(ca.issue(t, jane, "jane@house.example", time.Now().Add(time.Hour))), base64.StdEncoding.EncodeToString(sig))
	}
	if _, err := v.Blob(t.Context(), strings.NewReader(hello), signed([]byte(hello))); err != nil {
		t.Error(err)
	}
	for name, bundle := range map[string][]byte{"of the file": signed([]byte(hello)), "of the empty file": signed(nil)} {
		res, err := v.BlobDigest(t.Context(), "sha256:"+helloSum, bundle)
		var denied *verify.Error
		if res != nil || !errors.As(err, &denied) || denied.Evidence[0].Reason != verify.ReasonCertificate || !strings.Contains(denied.Evidence[0].Detail, "needs the content") {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}
