package sigstorego

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

type object = sigstoretest.Object

const (
	workflow = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1"
	source   = "https://github.com/acme/app"
	issuer   = "https://token.actions.githubusercontent.com"
)

var artifact = []byte("an artifact\n")

// world is an instance, and a signer whose certificate it has issued.
type world struct {
	*sigstoretest.Instance
	t         *testing.T
	key       *ecdsa.PrivateKey
	signer    *sigstoretest.Signer
	statement []byte
}

// newWorld makes an instance whose keys and signatures are the same in each run.
func newWorld(t *testing.T, o sigstoretest.Options) *world {
	t.Helper()
	cryptotest.SetGlobalRandom(t, 1)
	w := &world{Instance: sigstoretest.New(t, o), t: t}
	var err error
	if w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.signer = w.Issue(w.leaf())
	w.statement = statementOf(subject("sha256", sha256Hex(artifact)))
	return w
}

// leaf is a workflow's certificate.
func (w *world) leaf() sigstoretest.Leaf {
	return sigstoretest.Leaf{URI: workflow, Issuer: issuer, Claims: map[int]string{12: source}, Key: w.key}
}

func subject(algorithm, digest string) string {
	return fmt.Sprintf(`{"name":"artifact","digest":{%q:%q}}`, algorithm, digest)
}

func statementOf(subjects ...string) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[%s],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`, strings.Join(subjects, ","))
}

// trial is a bundle by the workflow about the artifact.
func (w *world) trial(what string, b *sigstoretest.Bundle) trial {
	w.t.Helper()
	return trial{what: what, root: w.Root(), bundle: b.Text(), artifact: artifact}.signedBy(w.t, map[string]any{"issuer": issuer, "uri": workflow})
}

func (w *world) message() *sigstoretest.Bundle  { return w.signer.SignMessage(artifact) }
func (w *world) envelope() *sigstoretest.Bundle { return w.signer.SignStatement(w.statement) }

// logged is a bundle that the log of an entry's kind has, with a timestamp where the log
// says no time.
func (w *world) logged(b *sigstoretest.Bundle, kind string) *sigstoretest.Bundle {
	w.t.Helper()
	if l := w.logOf(kind); l != w.Rekor2 {
		return b.Log(l, kind)
	}
	return b.Log(w.Rekor2, kind).Stamp(w.TSA)
}

// logOf is the log that takes entries of a kind. It is small again.
func (w *world) logOf(kind string) *sigstoretest.Log {
	l := w.Rekor1
	if kind == "hashedrekord 0.0.2" || kind == "dsse 0.0.2" {
		l = w.Rekor2
	}
	l.Forget()
	return l
}

// kind is a type of log entries, and what they are about.
type kind struct {
	name    string
	message bool
}

var kinds = []kind{{"hashedrekord 0.0.1", true}, {"hashedrekord 0.0.2", true}, {"hashedrekord 0.0.2", false}, {"dsse 0.0.1", false}, {"intoto 0.0.2", false}}

func (k kind) String() string {
	if k.message {
		return k.name + " of a message"
	}
	return k.name + " of an envelope"
}

// signs signs what entries of the kind are about.
func (w *world) signs(k kind) *sigstoretest.Bundle {
	w.t.Helper()
	if k.message {
		return w.message()
	}
	return w.envelope()
}

// good are bundles of every form.
func good(t *testing.T) (all []trial) {
	t.Helper()
	w := newWorld(t, sigstoretest.Options{})
	for _, k := range kinds {
		all = append(all, w.trial(k.String(), w.logged(w.signs(k), k.name)).valid())
	}
	promised := w.logged(w.message(), "hashedrekord 0.0.1").Chain("0.1")
	delete(promised.Entry(0), "inclusionProof")
	email := w.Issue(sigstoretest.Leaf{Email: "jane@acme.example", Issuer: issuer, Key: w.key}).SignMessage(artifact).Log(w.logOf(""), "hashedrekord 0.0.1")
	all = append(all,
		w.trial("version 0.1, a promise alone", promised).valid(),
		w.trial("version 0.2", w.logged(w.message(), "hashedrekord 0.0.1").Chain("0.2", w.CA.Chain[0])).valid(),
		w.trial("version 0.3, stamped too", w.logged(w.message(), "hashedrekord 0.0.1").Stamp(w.TSA)).valid(),
		w.trial("two logs", w.message().Log(w.logOf("hashedrekord 0.0.1"), "hashedrekord 0.0.1").Log(w.logOf("hashedrekord 0.0.2"), "hashedrekord 0.0.2").Stamp(w.TSA)).valid(),
		w.trial("an email", email).signedBy(t, map[string]any{"issuer": issuer, "email": "jane@acme.example"}).valid(),
	)
	bare := newWorld(t, sigstoretest.Options{WithoutStamper: true})
	l := bare.leaf()
	l.WithoutSCT = true
	github := bare.trial("as GitHub's", bare.Issue(l).SignStatement(bare.statement).Stamp(bare.TSA)).valid()
	root := bare.RootJSON()
	delete(root, "tlogs")
	delete(root, "ctlogs")
	github.root, github.withoutLogs = bare.Marshal(root), true
	return append(all, github)
}

// generatedTrials are bundles of every form, and their mutants.
func generatedTrials(t *testing.T) (all []trial) {
	t.Helper()
	for _, g := range good(t) {
		all = append(all, g)
		mutants(t, g.bundle, func(what string, text []byte) { all = append(all, g.of(what, text)) })
		all = append(all, encodings(t, g)...)
	}
	return all
}

// encodings are bundles that say the same in another way, or nearly.
func encodings(t *testing.T, g trial) (all []trial) {
	t.Helper()
	var indented bytes.Buffer
	if err := json.Indent(&indented, g.bundle, "", "  "); err != nil {
		t.Fatal(err)
	}
	text := string(g.bundle)
	add := func(what, changed string) {
		if changed == text {
			return // there is nothing to change in this bundle
		}
		all = append(all, g.of("written as "+what, []byte(changed)))
	}
	replace := func(what, old, other string) { add(what, strings.Replace(text, old, other, 1)) }
	add("indented", indented.String())
	add("with spaces around", " \n"+text+"\n ")
	add("two documents", text+text)
	add("a document and text", text+"x")
	add("with a byte order mark", "\ufeff"+text)
	add("a list", "["+text+"]")
	add("cut off", text[:len(text)-1])
	add("with a comma too many", strings.TrimSuffix(text, "}")+",}")
	replace("escaped names", `"mediaType"`, `"\u006dediaType"`)
	replace("escaped slashes", "application/vnd", `application\/vnd`)
	replace("a member in another case", `"verificationMaterial"`, `"VerificationMaterial"`)
	replace("names of Protocol Buffers", `"verificationMaterial"`, `"verification_material"`)
	replace("names of Protocol Buffers in an entry", `"canonicalizedBody"`, `"canonicalized_body"`)
	replace("a member twice", `{"`, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","`)
	replace("null beside", `{"`, `{"messageSignature":null,"dsseEnvelope":null,"`)
	replace("a number without quotes", `"logIndex":"5"`, `"logIndex":5`)
	replace("a number with a fraction", `"logIndex":"5"`, `"logIndex":5.0`)
	replace("a number with an exponent", `"logIndex":"5"`, `"logIndex":5e0`)
	replace("a number with a zero before", `"logIndex":"5"`, `"logIndex":"05"`)
	replace("a number with a sign", `"logIndex":"5"`, `"logIndex":"+5"`)
	replace("a number with a space", `"logIndex":"5"`, `"logIndex":" 5"`)
	replace("a number of an algorithm", `"algorithm":"SHA2_256"`, `"algorithm":1`)
	replace("the name of an algorithm in lower case", `"algorithm":"SHA2_256"`, `"algorithm":"sha2_256"`)
	all = append(all, base64Spellings(t, g)...)
	return all
}

// base64Spellings writes a certificate's base64 in other ways.
func base64Spellings(t *testing.T, g trial) (all []trial) {
	t.Helper()
	var doc object
	if err := json.Unmarshal(g.bundle, &doc); err != nil {
		t.Fatal(err)
	}
	certificate, is := doc["verificationMaterial"].(object)["certificate"].(object)
	if !is {
		return nil // an older version
	}
	standard := certificate["rawBytes"].(string)
	der, err := base64.StdEncoding.DecodeString(standard)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"URL-safe": base64.URLEncoding.EncodeToString(der), "without padding": base64.RawStdEncoding.EncodeToString(der),
		"with a line break": standard[:64] + "\n" + standard[64:], "with a space": standard[:64] + " " + standard[64:], "with more padding": standard + "=",
	} {
		if text == standard {
			continue
		}
		certificate["rawBytes"] = text
		changed, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, g.of("base64 "+what, changed))
	}
	return all
}

// parsed is a JSON object.
func parsed(t *testing.T, text []byte) (o object) {
	t.Helper()
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return o
}
