package sigstorego

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

func sha256Hex(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// bodyTrials are log entries whose body has one defect. The log has recorded them as they
// are.
func bodyTrials(t *testing.T) (all []trial) {
	t.Helper()
	w := newWorld(t, sigstoretest.Options{})
	for _, k := range kinds {
		b := w.signs(k)
		name, version, _ := strings.Cut(k.name, " ")
		mutants(t, b.Body(k.name), func(what string, body []byte) {
			l := w.logOf(k.name)
			again := *b
			again.JSON = copied(w, b)
			again.AddEntry(l.Add(w.Instance, name, version, body, sigstoretest.Record{})).Stamp(w.TSA)
			all = append(all, w.trial(k.String()+": logged body"+what, &again))
		})
	}
	return all
}

// copied is the JSON of a bundle, apart from it.
func copied(w *world, b *sigstoretest.Bundle) object {
	w.t.Helper()
	return parsed(w.t, b.Text())
}

// certificateTrials are certificates with one defect, by the instance's authority.
func certificateTrials(t *testing.T) (all []trial) {
	t.Helper()
	w := newWorld(t, sigstoretest.Options{})
	for _, c := range w.leaves() {
		l := w.leaf()
		c.change(&l)
		s, err := w.TryIssue(l)
		if err != nil {
			t.Logf("%s: not read by crypto/x509: %v", c.what, err)
			continue
		}
		all = append(all, w.trial("certificate: "+c.what, w.logged(s.SignMessage(artifact), "hashedrekord 0.0.1")))
	}
	flips(w.signer.Certificate.Raw, 60, func(what string, der []byte) {
		b := w.message()
		b.Material()["certificate"] = object{"rawBytes": base64.StdEncoding.EncodeToString(der)}
		all = append(all, w.trial("certificate: "+what, w.logged(b, "hashedrekord 0.0.1")))
	})
	return append(all, sctTrials(w)...)
}

type leafChange struct {
	what   string
	change func(*sigstoretest.Leaf)
}

// template changes the certificate's template.
func template(what string, change func(*x509.Certificate)) leafChange {
	return leafChange{what, func(l *sigstoretest.Leaf) { l.Change = change }}
}

func utf8String(text string) []byte { return sigstoretest.DER(0x0c, []byte(text)) }

func (w *world) leaves() []leafChange {
	other := newWorldBeside(w)
	key := func(what string, make func() (crypto.Signer, error)) leafChange {
		return leafChange{"a key of " + what, func(l *sigstoretest.Leaf) {
			signer, err := make()
			if err != nil {
				w.t.Fatal(err)
			}
			l.Key = signer
		}}
	}
	day := 24 * time.Hour
	return []leafChange{
		{"as it is", func(*sigstoretest.Leaf) {}},
		// What it says of the signer.
		{"another URI", func(l *sigstoretest.Leaf) { l.URI = strings.Replace(workflow, "acme", "evil", 1) }},
		{"a URI with more behind", func(l *sigstoretest.Leaf) { l.URI += "0" }},
		{"a URI in another case", func(l *sigstoretest.Leaf) { l.URI = strings.ToUpper(workflow) }},
		{"an email in place of the URI", func(l *sigstoretest.Leaf) { l.URI, l.Email = "", workflow }},
		{"a username in place of the URI", func(l *sigstoretest.Leaf) { l.URI, l.Username = "", workflow }},
		{"no name", func(l *sigstoretest.Leaf) { l.URI = "" }},
		{"an email beside", func(l *sigstoretest.Leaf) { l.Email = "jane@acme.example" }},
		{"a username beside", func(l *sigstoretest.Leaf) { l.Username = "jane" }},
		{"the URI twice", func(l *sigstoretest.Leaf) { l.Names = [][]byte{sigstoretest.DER(0x86, []byte(workflow))} }},
		{"another URI before", func(l *sigstoretest.Leaf) {
			l.Names = [][]byte{sigstoretest.DER(0x86, []byte("https://evil.example/"))}
		}},
		{"a DNS name beside", func(l *sigstoretest.Leaf) { l.Names = [][]byte{sigstoretest.DER(0x82, []byte("acme.example"))} }},
		{"an IP address beside", func(l *sigstoretest.Leaf) { l.Names = [][]byte{sigstoretest.DER(0x87, net.IPv4(127, 0, 0, 1).To4())} }},
		template("a subject", func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "jane"} }),
		// Who vouches for the signer.
		{"another issuer", func(l *sigstoretest.Leaf) { l.Issuer = "https://evil.example" }},
		{"no issuer", func(l *sigstoretest.Leaf) { l.Issuer = "" }},
		{"the older issuer", func(l *sigstoretest.Leaf) { l.Issuer, l.OlderIssuer = "", issuer }},
		{"both issuers", func(l *sigstoretest.Leaf) { l.OlderIssuer = issuer }},
		{"an older issuer that is another", func(l *sigstoretest.Leaf) { l.OlderIssuer = "https://evil.example" }},
		{"a newer issuer that is another", func(l *sigstoretest.Leaf) { l.Issuer, l.OlderIssuer = "https://evil.example", issuer }},
		{"an older issuer in DER", func(l *sigstoretest.Leaf) { l.Issuer, l.OlderIssuer = "", string(utf8String(issuer)) }},
		{"a newer issuer that is bare text", raw(8, []byte(issuer), true)},
		{"a newer issuer of another type", raw(8, sigstoretest.DER(0x16, []byte(issuer)), true)},
		{"a newer issuer with more behind", raw(8, append(utf8String(issuer), 0), true)},
		// What else it says.
		{"another source", func(l *sigstoretest.Leaf) { l.Claims[12] = "https://github.com/evil/app" }},
		{"a source that is bare text", rawClaim(12, []byte(source))},
		{"a source of another type", rawClaim(12, sigstoretest.DER(0x16, []byte(source)))},
		{"a source with a control character", func(l *sigstoretest.Leaf) { l.Claims[13] = "a\x00b" }},
		{"an extension of Fulcio's that is unknown", raw(99, utf8String("x"), false)},
		{"an unknown extension", func(l *sigstoretest.Leaf) {
			l.Raw = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: []byte{5, 0}}}
		}},
		{"an unknown critical extension", func(l *sigstoretest.Leaf) {
			l.Raw = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}},
		// What it may be used for.
		template("no key usage", func(c *x509.Certificate) { c.KeyUsage = 0 }),
		template("key usage for certificates", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }),
		template("key usage for encryption", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }),
		template("no extended key usage", func(c *x509.Certificate) { c.ExtKeyUsage = nil }),
		template("any extended key usage", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }),
		template("extended key usage of servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
		template("extended key usage of servers beside", func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) }),
		template("an authority's", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }),
		template("basic constraints", func(c *x509.Certificate) { c.BasicConstraintsValid = true }),
		template("name constraints", func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"acme.example"}, true
		}),
		template("a URI of x509's own", func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "evil.example"}} }),
		template("the serial number one", func(c *x509.Certificate) { c.SerialNumber = big.NewInt(1) }),
		// When.
		{"issued later", func(l *sigstoretest.Leaf) { l.Start = w.Now.Add(2 * time.Minute) }},
		{"issued at the time", func(l *sigstoretest.Leaf) { l.Start = w.Now.Add(time.Minute) }},
		{"ended at the time", func(l *sigstoretest.Leaf) { l.Start = w.Now.Add(-9 * time.Minute) }},
		{"ended before", func(l *sigstoretest.Leaf) { l.Start = w.Now.Add(-9*time.Minute - time.Second) }},
		template("valid for a year", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(365 * day) }),
		template("ends before it starts", func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(-time.Hour) }),
		// By whom.
		{"by the root", func(l *sigstoretest.Leaf) { l.By = 1 }},
		{"by another authority", func(l *sigstoretest.Leaf) { l.CA = other.CA }},
		{"by the timestamp authority", func(l *sigstoretest.Leaf) { l.CA, l.By = w.TSA, 1 }},
		// With which key.
		key("P-384", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }),
		key("P-521", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) }),
		key("P-224", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P224(), rand.Reader) }),
		key("RSA 2048", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }),
		key("Ed25519", func() (crypto.Signer, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err }),
		// Which logs have seen it.
		{"no log has seen", func(l *sigstoretest.Leaf) { l.WithoutSCT = true }},
		{"another log has seen", func(l *sigstoretest.Leaf) { l.CT = other.CT }},
		{"seen under another's ID", func(l *sigstoretest.Leaf) { c := *other.CT; c.ID = w.CT.ID; l.CT = &c }},
		{"seen before the log was trusted", func(l *sigstoretest.Leaf) { l.SCTTime = w.Now.Add(-366 * day) }},
		{"seen a day before", func(l *sigstoretest.Leaf) { l.SCTTime = w.Now.Add(-day) }},
		{"seen a day later", func(l *sigstoretest.Leaf) { l.SCTTime = w.Now.Add(day) }},
		{"seen in years", func(l *sigstoretest.Leaf) { l.SCTTime = w.Now.Add(9999 * day) }},
		{"seen as another", func(l *sigstoretest.Leaf) {
			l.SCTOf = func(entry []byte) []byte { entry = bytes.Clone(entry); entry[len(entry)-3] ^= 1; return entry }
		}},
		{"seen by another issuer", func(l *sigstoretest.Leaf) {
			l.SCTOf = func(entry []byte) []byte { entry = bytes.Clone(entry); entry[5] ^= 1; return entry }
		}},
	}
}

// raw adds an extension of Fulcio's, in place of the issuer or beside it.
func raw(n int, value []byte, inPlace bool) func(*sigstoretest.Leaf) {
	return func(l *sigstoretest.Leaf) {
		if inPlace {
			l.Issuer = ""
		}
		l.Raw = append(l.Raw, pkix.Extension{Id: sigstoretest.FulcioOID(n), Value: value})
	}
}

// rawClaim is an extension in place of a claim.
func rawClaim(n int, value []byte) func(*sigstoretest.Leaf) {
	return func(l *sigstoretest.Leaf) {
		delete(l.Claims, n)
		l.Raw = append(l.Raw, pkix.Extension{Id: sigstoretest.FulcioOID(n), Value: value})
	}
}

// newWorldBeside is another instance, which the first one's root does not know.
func newWorldBeside(w *world) *sigstoretest.Instance {
	w.t.Helper()
	return sigstoretest.New(w.t, sigstoretest.Options{Now: w.Now})
}

var sctOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// sctTrials are certificates with a list of timestamps that has one defect.
func sctTrials(w *world) (all []trial) {
	w.t.Helper()
	fixed := w.leaf()
	fixed.Change = func(c *x509.Certificate) { c.SerialNumber = big.NewInt(4711) }
	good := w.Issue(fixed)
	var list []byte
	for _, e := range good.Certificate.Extensions {
		if e.Id.Equal(sctOID) {
			list = e.Value
		}
	}
	with := func(what string, value []byte) {
		l := fixed
		l.WithoutSCT, l.Raw = true, []pkix.Extension{{Id: sctOID, Value: value}}
		s, err := w.TryIssue(l)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, w.trial("SCT: "+what, w.logged(s.SignMessage(artifact), "hashedrekord 0.0.1")))
	}
	with("as it is", list)
	flips(list, len(list), with)
	one := list[6:] // behind the headers of octet string, list and timestamp
	wrap := func(scts ...[]byte) []byte {
		var inner []byte
		for _, s := range scts {
			inner = append(inner, byte(len(s)>>8), byte(len(s)))
			inner = append(inner, s...)
		}
		return sigstoretest.DER(0x04, []byte{byte(len(inner) >> 8), byte(len(inner))}, inner)
	}
	if !bytes.Equal(wrap(one), list) {
		w.t.Fatalf("the list has another form: %x", list)
	}
	bad := bytes.Clone(one)
	bad[len(bad)-1] ^= 1
	unknown := bytes.Clone(one)
	unknown[1] ^= 1
	version2 := append([]byte{1}, one[1:]...)
	with("twice", wrap(one, one))
	with("a bad one before", wrap(bad, one))
	with("a bad one behind", wrap(one, bad))
	with("one of an unknown log before", wrap(unknown, one))
	with("one of version 2 before", wrap(version2, one))
	with("one of version 2 alone", wrap(version2))
	with("an empty one", wrap(nil))
	with("none", wrap())
	with("seventeen", wrap(one, one, one, one, one, one, one, one, one, one, one, one, one, one, one, one, one))
	with("with more behind the list", append(bytes.Clone(list), 0))
	with("with more behind the timestamp", wrap(append(bytes.Clone(one), 0)))
	with("empty", nil)
	return all
}

// checkpointTrials are checkpoints with one defect, signed as they are.
func checkpointTrials(t *testing.T) (all []trial) {
	t.Helper()
	w := newWorld(t, sigstoretest.Options{})
	for _, kind := range []string{"hashedrekord 0.0.1", "hashedrekord 0.0.2"} {
		l := w.logOf(kind)
		b := w.logged(w.message(), kind)
		proof := b.Entry(0)["inclusionProof"].(object)
		held := proof["checkpoint"].(object)
		note := held["envelope"].(string)
		text, signature, _ := strings.Cut(note, "\n\n")
		lines := strings.Split(text, "\n")
		signed := func(what, text, name string, key crypto.Signer, hint []byte) {
			held["envelope"] = text + "\n" + noteSignature(t, text, name, key, hint)
			all = append(all, w.trial(kind+": checkpoint "+what, b))
			held["envelope"] = note
		}
		own := func(what string, lines ...string) {
			signed(what, strings.Join(lines, "\n")+"\n", l.Host(), l.Key, l.ID)
		}
		body := strings.Join(lines, "\n") + "\n"
		own("as it is", lines...)
		own("of another origin", "evil.example", lines[1], lines[2])
		own("of a longer origin", lines[0]+"/x", lines[1], lines[2])
		own("with a tree's number", l.Host()+" - 1", lines[1], lines[2])
		own("without a tree's number", l.Host(), lines[1], lines[2])
		own("without origin", "", lines[1], lines[2])
		own("of another size", lines[0], "99", lines[2])
		own("of size 0", lines[0], "0", lines[2])
		own("of a size with a zero before", lines[0], "0"+lines[1], lines[2])
		own("of a size with a sign", lines[0], "+"+lines[1], lines[2])
		own("of another root", lines[0], lines[1], base64.StdEncoding.EncodeToString(make([]byte, 32)))
		own("of a root without padding", lines[0], lines[1], strings.TrimRight(lines[2], "="))
		own("of a short root", lines[0], lines[1], "AAAA")
		own("with more lines", append(lines, "more", "and more")...)
		own("with an empty line", append(lines, "", "more")...)
		own("of two lines", lines[0], lines[1])
		own("of one line", lines[0])
		signed("under another name", body, "evil.example", l.Key, l.ID)
		signed("under a longer name", body, l.Host()+".evil.example", l.Key, l.ID)
		signed("under another hint", body, l.Host(), l.Key, make([]byte, 4))
		signed("by another key", body, l.Host(), w.CT.Key, l.ID)
		signed("without a final line break", strings.TrimSuffix(body, "\n"), l.Host(), l.Key, l.ID)
		plain := func(what, envelope string) {
			held["envelope"] = envelope
			all = append(all, w.trial(kind+": checkpoint "+what, b))
			held["envelope"] = note
		}
		foreign := noteSignature(t, body, "witness.example", w.CT.Key, []byte{1, 2, 3, 4})
		plain("with a witness before", body+"\n"+foreign[1:]+signature)
		plain("with a witness behind", note+foreign[1:])
		plain("with a bad signature of the log before", body+noteSignature(t, body, l.Host(), w.CT.Key, l.ID)+signature)
		plain("with a bad signature of the log behind", note+noteSignature(t, body, l.Host(), w.CT.Key, l.ID)[1:])
		plain("with its signature twice", note+signature)
		plain("with a line that is no signature", note+"x\n")
		plain("with a dash in place of the em dash", strings.Replace(note, "\u2014", "-", 1))
		plain("without signatures", body+"\n")
		plain("without a line break at the end", strings.TrimSuffix(note, "\n"))
		plain("with CRLF", strings.ReplaceAll(note, "\n", "\r\n"))
		plain("empty", "")
		flips([]byte(note), 40, func(what string, text []byte) { plain(what, strings.ToValidUTF8(string(text), "?")) })
	}
	return all
}

// noteSignature is the end of a signed note, with the empty line before it.
func noteSignature(t *testing.T, text, name string, key crypto.Signer, hint []byte) string {
	t.Helper()
	message, o := []byte(text), crypto.SignerOpts(crypto.Hash(0))
	if _, hashes := key.(*ecdsa.PrivateKey); hashes {
		sum := sha256.Sum256(message)
		message, o = sum[:], crypto.SHA256
	}
	signature, err := key.Sign(rand.Reader, message, o)
	if err != nil {
		t.Fatal(err)
	}
	return "\n\u2014 " + name + " " + base64.StdEncoding.EncodeToString(append(bytes.Clone(hint[:4]), signature...)) + "\n"
}

// timeTrials are times with one defect: of timestamps, entries and certificates.
func timeTrials(t *testing.T) (all []trial) {
	t.Helper()
	w := newWorld(t, sigstoretest.Options{})
	minutes := func(n int) time.Time { return w.Now.Add(time.Duration(n) * time.Minute) }
	stamped := func(what string, a *sigstoretest.Authority, s sigstoretest.Stamp) {
		b := w.message().Log(w.logOf("hashedrekord 0.0.2"), "hashedrekord 0.0.2")
		b.AddStamp(a.Stamp(w.Instance, b.Signature, s))
		all = append(all, w.trial("timestamp: "+what, b))
	}
	other := newWorldBeside(w)
	stamped("as it is", w.TSA, sigstoretest.Stamp{})
	stamped("in BER", w.TSA, sigstoretest.Stamp{BER: true})
	stamped("bound to another certificate", w.TSA, sigstoretest.Stamp{Bound: other.TSA.Chain[0].Raw})
	stamped("of another authority", other.TSA, sigstoretest.Stamp{})
	for what, at := range map[string]time.Time{
		"before the certificate": minutes(-1), "at the certificate's start": minutes(0), "at the certificate's end": minutes(10),
		"after the certificate": minutes(11), "before the authority": w.Now.Add(-366 * 24 * time.Hour), "after the authority": w.Now.Add(6 * 365 * 24 * time.Hour),
	} {
		stamped(what, w.TSA, sigstoretest.Stamp{At: at})
	}
	for what, s := range map[string]func(b *sigstoretest.Bundle) [][]byte{
		"of another signature": func(b *sigstoretest.Bundle) [][]byte {
			return [][]byte{w.TSA.Stamp(w.Instance, []byte("another"), sigstoretest.Stamp{})}
		},
		"of the message": func(b *sigstoretest.Bundle) [][]byte {
			return [][]byte{w.TSA.Stamp(w.Instance, b.Message, sigstoretest.Stamp{})}
		},
		"twice": func(b *sigstoretest.Bundle) [][]byte {
			s := w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{})
			return [][]byte{s, s}
		},
		"and one of another signature": func(b *sigstoretest.Bundle) [][]byte {
			return [][]byte{w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{}), w.TSA.Stamp(w.Instance, []byte("another"), sigstoretest.Stamp{})}
		},
		"and one outside of the certificate": func(b *sigstoretest.Bundle) [][]byte {
			return [][]byte{w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{}), w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{At: minutes(30)})}
		},
		"and one of another authority": func(b *sigstoretest.Bundle) [][]byte {
			return [][]byte{w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{}), other.TSA.Stamp(other, b.Signature, sigstoretest.Stamp{})}
		},
		"and garbage": func(b *sigstoretest.Bundle) [][]byte {
			return [][]byte{w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{}), []byte("garbage")}
		},
		"is garbage": func(*sigstoretest.Bundle) [][]byte { return [][]byte{[]byte("garbage")} },
		"none":       func(*sigstoretest.Bundle) [][]byte { return nil },
	} {
		b := w.message().Log(w.logOf("hashedrekord 0.0.2"), "hashedrekord 0.0.2")
		for _, stamp := range s(b) {
			b.AddStamp(stamp)
		}
		all = append(all, w.trial("timestamp: "+what, b))
	}
	b := w.message().Log(w.logOf("hashedrekord 0.0.2"), "hashedrekord 0.0.2")
	flips(w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{}), 150, func(what string, stamp []byte) {
		again := *b
		again.JSON = copied(w, b)
		all = append(all, w.trial("timestamp: "+what, again.AddStamp(stamp)))
	})
	for what, at := range map[string]time.Time{
		"before the certificate": minutes(-1), "at the certificate's start": minutes(0), "at the certificate's end": minutes(10), "after the certificate": minutes(11),
		"before the log": w.Now.Add(-366 * 24 * time.Hour), "in the future": time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		all = append(all, w.trial("integrated time: "+what, w.message().Record(w.logOf("hashedrekord 0.0.1"), "hashedrekord 0.0.1", sigstoretest.Record{At: at})))
	}
	return all
}

// entryTrials are entries that are true, about something else, or at the wrong place.
func entryTrials(t *testing.T) (all []trial) {
	t.Helper()
	w := newWorld(t, sigstoretest.Options{})
	other, stranger := newWorldBeside(w), w.Issue(sigstoretest.Leaf{URI: workflow, Issuer: issuer})
	for _, k := range kinds {
		l := w.logOf(k.name)
		add := func(what string, b *sigstoretest.Bundle) { all = append(all, w.trial(k.String()+": entry "+what, b)) }
		name, version, _ := strings.Cut(k.name, " ")
		elsewhere := stranger.SignMessage(artifact)
		if !k.message {
			elsewhere = stranger.SignStatement(w.statement)
		}
		add("of another signature", w.signs(k).AddEntry(l.Add(w.Instance, name, version, elsewhere.Body(k.name), sigstoretest.Record{})).Stamp(w.TSA))
		b := w.signs(k)
		add("with another certificate", b.AddEntry(l.Add(w.Instance, name, version, b.By(stranger).Body(k.name), sigstoretest.Record{})).Stamp(w.TSA))
		add("of another log", w.signs(k).Log(other.Rekor1, k.name).Stamp(w.TSA))
		b = w.signs(k).Log(l, k.name).Stamp(w.TSA)
		add("twice", b.AddEntry(b.Entry(0)))
		add("and one of another log", w.signs(k).Log(l, k.name).Log(other.Rekor1, k.name).Stamp(w.TSA))
		b = w.signs(k).Log(l, k.name)
		add("and one of another signature", b.AddEntry(l.Add(w.Instance, name, version, elsewhere.Body(k.name), sigstoretest.Record{})).Stamp(w.TSA))
		moved := *l
		moved.V2 = !l.V2
		add("as the other version of Rekor would make it", w.signs(k).Log(&moved, k.name).Stamp(w.TSA))
	}
	return all
}

// contentTrials are messages and statements with one defect, signed as they are.
func contentTrials(t *testing.T) (all []trial) {
	t.Helper()
	w := newWorld(t, sigstoretest.Options{})
	sum, long := sha256Hex(artifact), sha512.Sum512(artifact)
	hash512 := hex.EncodeToString(long[:])
	for _, c := range []struct{ what, payload string }{
		{"as it is", string(w.statement)},
		{"of another artifact", string(statementOf(subject("sha256", sha256Hex([]byte("another")))))},
		{"of two artifacts", string(statementOf(subject("sha256", sha256Hex([]byte("another"))), subject("sha256", sum)))},
		{"of none", string(statementOf())},
		{"by SHA-512", string(statementOf(subject("sha512", hash512)))},
		{"by an unknown algorithm", string(statementOf(subject("md4", sum)))},
		{"by two algorithms, one wrong", string(statementOf(fmt.Sprintf(`{"digest":{"sha256":%q,"sha512":%q}}`, sum, sum+sum)))},
		{"in upper case", string(statementOf(subject("sha256", strings.ToUpper(sum))))},
		{"of a short digest", string(statementOf(subject("sha256", sum[:32])))},
		{"of an empty digest", string(statementOf(subject("sha256", "")))},
		{"of another type", strings.Replace(string(w.statement), "Statement/v1", "Statement/v2", 1)},
		{"of the older type", strings.Replace(string(w.statement), "Statement/v1", "Statement/v0.1", 1)},
		{"without a type", strings.Replace(string(w.statement), `"_type":"https://in-toto.io/Statement/v1",`, "", 1)},
		{"without a predicate", strings.Replace(string(w.statement), `,"predicate":{}`, "", 1)},
		{"with a member more", strings.Replace(string(w.statement), `{"_type"`, `{"more":1,"_type"`, 1)},
		{"with a member twice", strings.Replace(string(w.statement), `{"_type"`, `{"subject":[],"_type"`, 1)},
		{"with a member in another case", strings.Replace(string(w.statement), `"subject"`, `"Subject"`, 1)},
		{"that is not JSON", "text"},
		{"that is empty", ""},
		{"with more behind", string(w.statement) + "x"},
	} {
		for _, kind := range []string{"dsse 0.0.1", "hashedrekord 0.0.2"} {
			all = append(all, w.trial(kind+": statement "+c.what, w.logged(w.signer.SignStatement([]byte(c.payload)), kind)))
		}
	}
	for what, change := range map[string]func(object){
		"another payload type":      func(e object) { e["payloadType"] = "text/plain" },
		"a keyid":                   func(e object) { e["signatures"].([]any)[0].(object)["keyid"] = "key" },
		"another signature before":  func(e object) { e["signatures"] = append([]any{object{"sig": "AAAA"}}, e["signatures"].([]any)...) },
		"another signature behind":  func(e object) { e["signatures"] = append(e["signatures"].([]any), object{"sig": "AAAA"}) },
		"its signature twice":       func(e object) { e["signatures"] = append(e["signatures"].([]any), e["signatures"].([]any)[0]) },
		"a member more":             func(e object) { e["more"] = 1 },
		"a member more beside sig":  func(e object) { e["signatures"].([]any)[0].(object)["more"] = 1 },
		"an empty signature beside": func(e object) { e["signatures"] = append(e["signatures"].([]any), object{"sig": ""}) },
	} {
		b := w.envelope()
		change(b.JSON["dsseEnvelope"].(object))
		all = append(all, w.trial("envelope with "+what, w.logged(b, "hashedrekord 0.0.2")))
	}
	all = append(all, w.trial("an entry of Rekor v2 of type dsse", w.logged(w.envelope(), "dsse 0.0.2")))
	all = append(all, digestTrials(w)...)
	return all
}

// digestTrials are digests that a bundle claims of the artifact.
func digestTrials(w *world) (all []trial) {
	w.t.Helper()
	long := sha512.Sum512(artifact)
	sum := sha256.Sum256(artifact)
	for what, digest := range map[string]any{
		"by SHA-512":            object{"algorithm": "SHA2_512", "digest": base64.StdEncoding.EncodeToString(long[:])},
		"by a name for another": object{"algorithm": "SHA2_512", "digest": base64.StdEncoding.EncodeToString(sum[:])},
		"that is zero":          object{"algorithm": "SHA2_256", "digest": base64.StdEncoding.EncodeToString(make([]byte, 32))},
		"without algorithm":     object{"digest": base64.StdEncoding.EncodeToString(sum[:])},
		"by SHA-3":              object{"algorithm": "SHA3_256", "digest": base64.StdEncoding.EncodeToString(sum[:])},
	} {
		b := w.message()
		b.JSON["messageSignature"].(object)["messageDigest"] = digest
		all = append(all, w.trial("message digest "+what, w.logged(b, "hashedrekord 0.0.2")))
	}
	for what, text := range map[string][]byte{"another artifact": []byte("another"), "no artifact": nil} {
		tr := w.trial("message of "+what, w.logged(w.message(), "hashedrekord 0.0.2"))
		tr.artifact = text
		all = append(all, tr)
	}
	return all
}

// rootTrials are trust roots with one defect.
func rootTrials(t *testing.T) (all []trial) {
	t.Helper()
	w := newWorld(t, sigstoretest.Options{})
	good := w.trial("trust root", w.logged(w.message(), "hashedrekord 0.0.2"))
	mutants(t, w.Root(), func(what string, text []byte) {
		tr := good.of(what, good.bundle)
		tr.root = text
		all = append(all, tr)
	})
	for what, change := range map[string]func(root object){
		"the log ended before":                  func(r object) { ends(r["tlogs"].([]any)[1].(object)["publicKey"], w.Now.Add(-time.Hour)) },
		"the log ended at the time":             func(r object) { ends(r["tlogs"].([]any)[1].(object)["publicKey"], w.Now.Add(2*time.Minute)) },
		"the log began later":                   func(r object) { begins(r["tlogs"].([]any)[1].(object)["publicKey"], w.Now.Add(time.Hour)) },
		"the log of certificates ended before":  func(r object) { ends(r["ctlogs"].([]any)[0].(object)["publicKey"], w.Now.Add(-time.Hour)) },
		"the log of certificates ended then":    func(r object) { ends(r["ctlogs"].([]any)[0].(object)["publicKey"], w.Now) },
		"the authority ended before":            func(r object) { ends(r["certificateAuthorities"].([]any)[0], w.Now.Add(-time.Hour)) },
		"the authority ended at the time":       func(r object) { ends(r["certificateAuthorities"].([]any)[0], w.Now.Add(2*time.Minute)) },
		"the authority began later":             func(r object) { begins(r["certificateAuthorities"].([]any)[0], w.Now.Add(time.Hour)) },
		"the timestamp authority ended before":  func(r object) { ends(r["timestampAuthorities"].([]any)[0], w.Now.Add(-time.Hour)) },
		"the timestamp authority ended then":    func(r object) { ends(r["timestampAuthorities"].([]any)[0], w.Now.Add(2*time.Minute)) },
		"the timestamp authority began later":   func(r object) { begins(r["timestampAuthorities"].([]any)[0], w.Now.Add(time.Hour)) },
		"the log twice":                         func(r object) { r["tlogs"] = append(r["tlogs"].([]any), r["tlogs"].([]any)[1]) },
		"the authority's chain turned around":   func(r object) { turn(r["certificateAuthorities"].([]any)[0]) },
		"the timestamp authority's turned":      func(r object) { turn(r["timestampAuthorities"].([]any)[0]) },
		"the authority's issuing one alone":     func(r object) { keep(r["certificateAuthorities"].([]any)[0], 0, 1) },
		"the authority's root alone":            func(r object) { keep(r["certificateAuthorities"].([]any)[0], 1, 2) },
		"the timestamp authority's without own": func(r object) { keep(r["timestampAuthorities"].([]any)[0], 1, 3) },
	} {
		root := parsed(t, w.Root())
		change(root)
		tr := good.of(what, good.bundle)
		tr.root = w.Marshal(root)
		all = append(all, tr)
	}
	return all
}

func validity(of any) object { return of.(object)["validFor"].(object) }

func ends(of any, at time.Time)   { validity(of)["end"] = at.Format(time.RFC3339) }
func begins(of any, at time.Time) { validity(of)["start"] = at.Format(time.RFC3339) }

func turn(authority any) {
	chain := authority.(object)["certChain"].(object)
	var turned []any
	for _, c := range chain["certificates"].([]any) {
		turned = append([]any{c}, turned...)
	}
	chain["certificates"] = turned
}

// keep keeps some certificates of an authority's chain.
func keep(authority any, from, to int) {
	chain := authority.(object)["certChain"].(object)
	chain["certificates"] = chain["certificates"].([]any)[from:to]
}
