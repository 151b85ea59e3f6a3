package sigstore_test

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigkey"
	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

// K12, K13
func TestAttack_T17_TimesMustAllFitAndDiffer(t *testing.T) {
	each(t, map[string]func(*world){
		"a timestamp after the certificate": func(w *world) {
			b := w.signed()
			w.refuses(b.AddStamp(w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{At: w.Now.Add(11 * time.Minute)})), sigstore.ErrTime)
		},
		"a log's time before the certificate": func(w *world) {
			b := w.signer.SignMessage(artifact).Record(w.Rekor1, "hashedrekord 0.0.1", sigstoretest.Record{At: w.Now.Add(-time.Second)})
			w.refuses(b.Stamp(w.TSA), sigstore.ErrTime)
		},
		"a log's time after it, timestamps demanded": func(w *world) {
			w.demands.Timestamps = true
			b := w.signer.SignMessage(artifact).Record(w.Rekor1, "hashedrekord 0.0.1", sigstoretest.Record{At: w.Now.Add(11 * time.Minute)})
			w.refuses(b.Stamp(w.TSA), sigstore.ErrTime)
		},
		"one log twice": func(w *world) {
			w.demands.Logs = 2
			w.refuses(w.signed().Log(w.Rekor1, "hashedrekord 0.0.1"), sigstore.ErrLog)
		},
		"one log under two names": func(w *world) {
			again := *w.Rekor1
			again.BaseURL, again.ID = "https://again.example", make([]byte, 32)
			w.root = w.RootJSON()
			set(w.root, "tlogs", append(w.root["tlogs"].([]any), again.JSON()))
			w.demands.Logs, w.demands.Times = 2, 2
			w.refuses(w.signed().Log(&again, "hashedrekord 0.0.1"), sigstore.ErrLog)
		},
		"the times of one log": func(w *world) {
			w.demands.Times = 2
			w.refuses(w.signed().Record(w.Rekor1, "hashedrekord 0.0.1", sigstoretest.Record{At: w.Now.Add(3 * time.Minute)}), sigstore.ErrTime)
		},
		"one log entry twice": func(w *world) {
			b := w.signed()
			w.refuses(b.AddEntry(b.Entry(0)), sigstore.ErrMalformed)
		},
		"one authority twice": func(w *world) {
			w.demands.Times, w.demands.Timestamps = 2, true
			w.refuses(w.signed().Stamp(w.TSA).Stamp(w.TSA), sigstore.ErrTime)
		},
		"one authority under two names": func(w *world) {
			again := *w.TSA
			again.URI = "https://again.example"
			w.root = w.RootJSON()
			set(w.root, "timestampAuthorities", []any{w.TSA.JSON(), again.JSON()})
			w.demands.Times, w.demands.Timestamps = 2, true
			w.refuses(w.signed().Stamp(w.TSA).Stamp(w.TSA), sigstore.ErrTime)
		},
		"a log's time where timestamps are demanded": func(w *world) {
			w.demands.Timestamps = true
			w.refuses(w.signed(), sigstore.ErrTime)
		},
		"a time in the future": func(w *world) {
			w.judgedAt = w.Now.Add(-5 * time.Minute)
			w.refuses(w.signed(), sigstore.ErrTime)
		},
		"no time where none is demanded": func(w *world) {
			w.demands = sigstore.Demands{}
			w.refuses(w.signer.SignMessage(artifact), sigstore.ErrTime)
		},
	})
}

// K14, K15, K16, K27
func TestAttack_T17_TrustAtTheTimeCounts(t *testing.T) {
	hour := time.Hour
	each(t, map[string]func(*world){
		"the authority's window, not another's": func(w *world) {
			other := sigstoretest.New(w.t, sigstoretest.Options{}).TSA
			other.End = w.Now.Add(-hour)
			w.root = w.RootJSON()
			set(w.root, "timestampAuthorities", []any{w.TSA.JSON(), other.JSON()})
			b := w.signer.SignMessage(artifact).Log(w.Rekor2, "hashedrekord 0.0.2")
			w.refuses(b.Stamp(other), sigstore.ErrTime)
		},
		"the issuer's window, not another's": func(w *world) {
			other := w.NewAuthority("https://other.example", 1, nil)
			other.End = w.Now.Add(-hour)
			w.root = w.RootJSON()
			set(w.root, "certificateAuthorities", []any{w.CA.JSON(), other.JSON()})
			l := leafOf()
			l.CA = other
			w.signer = w.Issue(l)
			w.refuses(w.signed(), sigstore.ErrChain)
		},
		"the issuer's second window": func(w *world) {
			again := *w.CA
			w.CA.End, again.Start = w.Now.Add(-hour), w.Now.Add(-time.Minute)
			w.root = w.RootJSON()
			set(w.root, "certificateAuthorities", []any{w.CA.JSON(), again.JSON()})
			w.accepts(w.signed())
		},
		"issuing certificate expired": func(w *world) {
			w.CA.Replace(w.Instance, 0, func(c *x509.Certificate) { c.NotAfter = w.Now.Add(-hour) })
			w.refuses(w.signed(), sigstore.ErrChain)
		},
		"issuing certificate expired in between": func(w *world) {
			w.CA.Replace(w.Instance, 0, func(c *x509.Certificate) { c.NotAfter = w.Now.Add(30 * time.Second) })
			w.refuses(w.signed(), sigstore.ErrChain)
		},
		"root certificate expired": func(w *world) {
			w.CA.Replace(w.Instance, 1, func(c *x509.Certificate) { c.NotAfter = w.Now.Add(-hour) })
			w.refuses(w.signed(), sigstore.ErrChain)
		},
		"timestamp authority expired since": func(w *world) {
			w.judgedAt = w.Now.AddDate(20, 0, 0)
			w.accepts(w.signedV2())
		},
		"timestamp authority expired then": func(w *world) {
			w.TSA.Replace(w.Instance, 0, func(c *x509.Certificate) { c.NotAfter = w.Now })
			w.refuses(w.signedV2(), sigstore.ErrTime)
		},
		"the authority's chain expired then": func(w *world) {
			w.TSA.Replace(w.Instance, 2, func(c *x509.Certificate) { c.NotAfter = w.Now })
			w.refuses(w.signedV2(), sigstore.ErrTime)
		},
		"log retired at the very time": func(w *world) {
			w.Rekor1.End = w.Now.Add(time.Minute)
			w.accepts(w.signed())
		},
		"log retired before": func(w *world) {
			w.Rekor1.End = w.Now.Add(time.Minute - time.Second)
			w.refuses(w.signed(), sigstore.ErrLog)
		},
		"authority retired at the very time": func(w *world) {
			w.TSA.End = w.Now.Add(2 * time.Minute)
			w.accepts(w.signedV2())
		},
		"authority retired before": func(w *world) {
			w.TSA.End = w.Now.Add(2*time.Minute - time.Second)
			w.refuses(w.signedV2(), sigstore.ErrTime)
		},
		"certificate authority retired before": func(w *world) {
			w.CA.End = w.Now.Add(time.Minute - time.Second)
			w.refuses(w.signed(), sigstore.ErrChain)
		},
	})
}

func TestAttack_T17_TimestampsOfSomethingElse(t *testing.T) {
	stamped := func(w *world, text []byte) {
		w.t.Helper()
		w.refuses(w.signer.SignMessage(artifact).Log(w.Rekor2, "hashedrekord 0.0.2").AddStamp(text), sigstore.ErrTime)
	}
	signed := func(change func(w *world, b *sigstoretest.Bundle, s *sigstoretest.Stamp)) func(*world) {
		return func(w *world) {
			b, s := w.signer.SignMessage(artifact).Log(w.Rekor2, "hashedrekord 0.0.2"), sigstoretest.Stamp{}
			change(w, b, &s)
			w.refuses(b.AddStamp(w.TSA.Stamp(w.Instance, b.Signature, s)), sigstore.ErrTime)
		}
	}
	each(t, map[string]func(*world){
		"another signature": func(w *world) { stamped(w, w.TSA.Stamp(w.Instance, []byte("another"), sigstoretest.Stamp{})) },
		"another authority": func(w *world) {
			b := w.signer.SignMessage(artifact).Log(w.Rekor2, "hashedrekord 0.0.2")
			w.refuses(b.Stamp(sigstoretest.New(w.t, sigstoretest.Options{}).TSA), sigstore.ErrTime)
		},
		"another certificate": signed(func(w *world, _ *sigstoretest.Bundle, s *sigstoretest.Stamp) { s.Bound = w.CA.Chain[0].Raw }),
		"another key":         signed(func(w *world, _ *sigstoretest.Bundle, _ *sigstoretest.Stamp) { w.TSA.Keys[0] = newKey(t) }),
		"an attribute twice": signed(func(_ *world, _ *sigstoretest.Bundle, s *sigstoretest.Stamp) {
			s.Attributes = [][]byte{sigstoretest.DER(0x30, []byte{6, 9, 42, 134, 72, 134, 247, 13, 1, 9, 4}, sigstoretest.DER(0x31, sigstoretest.DER(4, make([]byte, 32))))}
		}),
		"an algorithm that is none": func(w *world) {
			b := w.signer.SignMessage(artifact).Log(w.Rekor2, "hashedrekord 0.0.2")
			stamp := w.TSA.Stamp(w.Instance, b.Signature, sigstoretest.Stamp{})
			w.refuses(b.AddStamp(bytes.Replace(stamp, []byte{0x31, 0x0d, 0x30}, []byte{0x31, 0x0d, 0x20}, 1)), sigstore.ErrTime)
		},
		"nothing":      func(w *world) { stamped(w, nil) },
		"garbage":      func(w *world) { stamped(w, []byte("garbage")) },
		"deep garbage": func(w *world) { stamped(w, deep(200)) },
	})
}

// deep is BER of so many levels.
func deep(levels int) []byte {
	out := make([]byte, 0, 2*levels)
	for range levels {
		out = append(out, 0x30, 0x80)
	}
	return out
}

// K21
func TestAttack_T18_CertificatesThatNoLogHasSeen(t *testing.T) {
	issued := func(change func(w *world, l *sigstoretest.Leaf)) func(*world) {
		return func(w *world) {
			l := leafOf()
			change(w, &l)
			w.signer = w.Issue(l)
			w.refuses(w.signed(), sigstore.ErrChain)
		}
	}
	each(t, map[string]func(*world){
		"missing":     issued(func(_ *world, l *sigstoretest.Leaf) { l.WithoutSCT = true }),
		"another log": issued(func(w *world, l *sigstoretest.Leaf) { l.CT = w.NewLog("https://ct.example", newKey(t), false) }),
		"another key under the log's ID": issued(func(w *world, l *sigstoretest.Leaf) {
			l.CT = w.NewLog("https://ct.example", newKey(t), false)
			l.CT.ID = w.CT.ID
		}),
		"another certificate": issued(func(_ *world, l *sigstoretest.Leaf) {
			l.SCTOf = func(entry []byte) []byte { entry[len(entry)-1] ^= 1; return entry }
		}),
		"another issuer": issued(func(_ *world, l *sigstoretest.Leaf) {
			l.SCTOf = func(entry []byte) []byte { entry[2] ^= 1; return entry }
		}),
		"before the log was trusted": issued(func(w *world, l *sigstoretest.Leaf) { l.SCTTime = w.Now.AddDate(-2, 0, 0) }),
		"after the log was trusted":  issued(func(w *world, _ *sigstoretest.Leaf) { w.CT.End = w.Now.Add(-time.Second) }),
		"one log for two": func(w *world) {
			w.demands.CTLogs = 2
			w.refuses(w.signed(), sigstore.ErrChain)
		},
		"missing where none is demanded": func(w *world) {
			l := leafOf()
			l.WithoutSCT, w.demands.CTLogs = true, 0
			w.signer = w.Issue(l)
			w.accepts(w.signed())
		},
	})
}

func TestCertificatesOfOthersAreRefused(t *testing.T) {
	each(t, map[string]func(*world){
		"another root": func(w *world) {
			w.signer = sigstoretest.New(w.t, sigstoretest.Options{}).Issue(leafOf())
			w.refuses(w.signed(), sigstore.ErrChain)
		},
		"another root of the same names": func(w *world) {
			l := leafOf()
			l.CA = w.NewAuthority(w.CA.URI, 1, nil)
			w.signer = w.Issue(l)
			w.refuses(w.signed(), sigstore.ErrChain)
		},
		"another key": func(w *world) {
			b := w.signer.SignMessage(artifact)
			b.Signature = b.By(w.signer).Signature
			w.signer.Key = newKey(w.t)
			w.refuses(w.signed(), sigkey.ErrSignature)
		},
		"not for signing code": func(w *world) {
			l := leafOf()
			l.Change = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
			w.signer = w.Issue(l)
			w.refuses(w.signed(), sigstore.ErrMalformed)
		},
		"an authority itself": func(w *world) {
			l := leafOf()
			l.Change = func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }
			w.signer = w.Issue(l)
			w.refuses(w.signed(), sigstore.ErrMalformed)
		},
	})
}
