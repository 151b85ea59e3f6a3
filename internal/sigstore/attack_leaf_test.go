package sigstore_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

// leaf reads a certificate of the instance.
func (w *world) leaf(change func(*sigstoretest.Leaf)) (*sigstore.Leaf, error) {
	w.t.Helper()
	l := leafOf()
	change(&l)
	return sigstore.ParseLeaf(w.Issue(l).Certificate.Raw)
}

// K7, K8
func TestAttack_T13_SubjectIsOneOfItsType(t *testing.T) {
	email, uri := sigstoretest.DER(0x81, []byte("jane@acme.example")), sigstoretest.DER(0x86, []byte(workflow))
	otherName := func(id asn1.ObjectIdentifier, value []byte) []byte {
		der, err := asn1.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		return sigstoretest.DER(0xa0, der, sigstoretest.DER(0xa0, value))
	}
	text := sigstoretest.DER(0x0c, []byte("jane"))
	for name, c := range map[string]struct {
		names [][]byte
		kind  string // empty: refused
	}{
		"email":                       {[][]byte{email}, sigstore.SubjectEmail},
		"uri":                         {[][]byte{uri}, sigstore.SubjectURI},
		"username":                    {[][]byte{otherName(sigstoretest.FulcioOID(7), text)}, sigstore.SubjectUsername},
		"none":                        {nil, ""},
		"two":                         {[][]byte{email, uri}, ""},
		"the same twice":              {[][]byte{uri, uri}, ""},
		"a host":                      {[][]byte{sigstoretest.DER(0x82, []byte("acme.example"))}, ""},
		"an address":                  {[][]byte{sigstoretest.DER(0x87, []byte{127, 0, 0, 1})}, ""},
		"empty":                       {[][]byte{sigstoretest.DER(0x81)}, ""},
		"with a control character":    {[][]byte{sigstoretest.DER(0x81, []byte("jane@acme.example\x00.evil.example"))}, ""},
		"another other name":          {[][]byte{otherName(sigstoretest.FulcioOID(8), text)}, ""},
		"a username of another kind":  {[][]byte{otherName(sigstoretest.FulcioOID(7), sigstoretest.DER(0x13, []byte("jane")))}, ""},
		"a username beside an email":  {[][]byte{otherName(sigstoretest.FulcioOID(7), text), email}, ""},
		"a username with more inside": {[][]byte{otherName(sigstoretest.FulcioOID(7), append(text, text...))}, ""},
	} {
		l, err := newWorld(t).leaf(func(l *sigstoretest.Leaf) { l.URI, l.Names = "", c.names })
		switch {
		case c.kind == "" && (l != nil || !errors.Is(err, sigstore.ErrMalformed)):
			t.Errorf("%s: %+v, %v; want ErrMalformed", name, l, err)
		case c.kind != "" && (err != nil || l.SubjectType != c.kind):
			t.Errorf("%s: %+v, %v; want a %s", name, l, err, c.kind)
		}
	}
}

// K9, K24
func TestAttack_T15_IssuerHasOneMeaning(t *testing.T) {
	w := newWorld(t)
	raw := func(n int, value []byte) pkix.Extension {
		return pkix.Extension{Id: sigstoretest.FulcioOID(n), Value: value}
	}
	for name, c := range map[string]struct {
		change func(*sigstoretest.Leaf)
		issuer string
		bad    bool
	}{
		"newer":         {func(*sigstoretest.Leaf) {}, issuer, false},
		"older":         {func(l *sigstoretest.Leaf) { l.Issuer, l.OlderIssuer = "", issuer }, issuer, false},
		"both":          {func(l *sigstoretest.Leaf) { l.OlderIssuer = issuer }, issuer, false},
		"none":          {func(l *sigstoretest.Leaf) { l.Issuer = "" }, "", false},
		"they differ":   {func(l *sigstoretest.Leaf) { l.OlderIssuer = "https://evil.example" }, "", true},
		"newer is bare": {func(l *sigstoretest.Leaf) { l.Issuer, l.Raw = "", []pkix.Extension{raw(8, []byte(issuer))} }, "", true},
		"newer has more": {func(l *sigstoretest.Leaf) {
			l.Issuer, l.Raw = "", []pkix.Extension{raw(8, append(sigstoretest.DER(0x0c, []byte(issuer)), 0))}
		}, "", true},
		"newer is empty": {func(l *sigstoretest.Leaf) { l.Issuer, l.Raw = "", []pkix.Extension{raw(8, nil)} }, "", true},
		"older is DER": {func(l *sigstoretest.Leaf) {
			l.Issuer, l.Raw = "", []pkix.Extension{raw(1, sigstoretest.DER(0x0c, []byte(issuer)))}
		}, "", true},
		"repeated":        {func(l *sigstoretest.Leaf) { l.Raw = []pkix.Extension{raw(8, sigstoretest.DER(0x0c, []byte(issuer)))} }, "", true},
		"a claim is bare": {func(l *sigstoretest.Leaf) { l.Raw = []pkix.Extension{raw(12, []byte("https://github.com/acme/app"))} }, "", true},
		"unknown critical": {func(l *sigstoretest.Leaf) {
			l.Raw = []pkix.Extension{{Id: sigstoretest.FulcioOID(99), Critical: true, Value: []byte{5, 0}}}
		}, "", true},
	} {
		l := leafOf()
		c.change(&l)
		signer, err := w.TryIssue(l)
		if err != nil {
			t.Logf("%s: not even Go makes it: %v", name, err)
			continue
		}
		parsed, err := sigstore.ParseLeaf(signer.Certificate.Raw)
		if c.bad != (err != nil) || err == nil && parsed.Issuer != c.issuer {
			t.Errorf("%s: %+v, %v", name, parsed, err)
		}
	}
}

func TestClaimsOfACertificateAreRead(t *testing.T) {
	l, err := newWorld(t).leaf(func(l *sigstoretest.Leaf) {
		l.Claims = map[int]string{12: "https://github.com/acme/app", 14: "refs/heads/main", 20: "push"}
	})
	if err != nil || l.Claims["sourceRepository"] != "https://github.com/acme/app" || l.Claims["sourceRef"] != "refs/heads/main" || l.Claims["buildTrigger"] != "push" || len(l.Claims) != 3 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestGarbageIsNoCertificate(t *testing.T) {
	for name, der := range map[string][]byte{"nothing": nil, "text": []byte("text"), "large": make([]byte, 1<<20)} {
		if l, err := sigstore.ParseLeaf(der); l != nil || !errors.Is(err, sigstore.ErrMalformed) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
	}
}
