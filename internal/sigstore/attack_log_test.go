package sigstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// K10
func TestAttack_T16_EntryOfSomethingElse(t *testing.T) {
	kinds := map[string]func(w *world) *sigstoretest.Bundle{
		"hashedrekord 0.0.1": func(w *world) *sigstoretest.Bundle { return w.signer.SignMessage(artifact) },
		"hashedrekord 0.0.2": func(w *world) *sigstoretest.Bundle { return w.signer.SignMessage(artifact) },
		"dsse 0.0.1":         func(w *world) *sigstoretest.Bundle { return w.signer.SignStatement(statement) },
		"dsse 0.0.2":         func(w *world) *sigstoretest.Bundle { return w.signer.SignStatement(statement) },
		"intoto 0.0.1":       func(w *world) *sigstoretest.Bundle { return w.signer.SignStatement(statement) },
		"intoto 0.0.2":       func(w *world) *sigstoretest.Bundle { return w.signer.SignStatement(statement) },
	}
	for kind, signed := range kinds {
		record := func(w *world, b, of *sigstoretest.Bundle) *sigstoretest.Bundle {
			l := w.Rekor1
			if kind == "hashedrekord 0.0.2" || kind == "dsse 0.0.2" {
				l = w.Rekor2
			}
			name, version, _ := strings.Cut(kind, " ")
			return b.AddEntry(l.Add(w.Instance, name, version, of.Body(kind), sigstoretest.Record{})).Stamp(w.TSA)
		}
		each(t, map[string]func(*world){
			kind + ", as it is": func(w *world) {
				b := signed(w)
				w.accepts(record(w, b, b))
			},
			kind + ", digest": func(w *world) {
				b := signed(w)
				of := *b
				of.Message, of.Payload = []byte("another"), []byte("another")
				w.refuses(record(w, b, &of), sigstore.ErrMismatch)
			},
			kind + ", signature": func(w *world) { w.refuses(record(w, signed(w), signed(w)), sigstore.ErrMismatch) },
			kind + ", certificate": func(w *world) {
				b := signed(w)
				w.refuses(record(w, b, b.By(w.Issue(leafOf()))), sigstore.ErrMismatch)
			},
		})
	}
}

// K11, K17, K20
func TestAttack_T16_EntryWithoutTime(t *testing.T) {
	each(t, map[string]func(*world){
		"integrated time without SET": func(w *world) {
			b := w.signed()
			delete(b.Entry(0), "inclusionPromise")
			w.refuses(b, sigstore.ErrTime)
		},
		"integrated time with an empty SET": func(w *world) {
			b := w.signed()
			b.Entry(0)["inclusionPromise"] = sigstoretest.Object{"signedEntryTimestamp": ""}
			w.refuses(b, sigstore.ErrTime)
		},
		"integrated time changed": func(w *world) {
			b := w.signed()
			b.Entry(0)["integratedTime"] = "1780315261"
			w.refuses(b, sigstore.ErrLog)
		},
		"Rekor v2 without a timestamp": func(w *world) {
			b := w.signer.SignMessage(artifact).Log(w.Rekor2, "hashedrekord 0.0.2")
			w.refuses(b, sigstore.ErrTime)
			if _, err := w.judge(b); !strings.Contains(err.Error(), "RFC 3161 is needed") {
				t.Errorf("it does not say what is needed: %v", err)
			}
		},
		"Rekor v2 with a SET": func(w *world) {
			b := w.signedV2()
			b.Entry(0)["inclusionPromise"] = sigstoretest.Object{"signedEntryTimestamp": "AAAA"}
			w.refuses(b, sigstore.ErrLog)
		},
		"log retired before the timestamp": func(w *world) {
			w.Rekor2.End = w.Now.Add(2*time.Minute - time.Second)
			w.refuses(w.signedV2(), sigstore.ErrLog)
		},
		"log that begins after the timestamp": func(w *world) {
			w.Rekor2.Start = w.Now.Add(2*time.Minute + time.Second)
			w.refuses(w.signedV2(), sigstore.ErrLog)
		},
		"neither SET nor proof": func(w *world) {
			b := w.signed().Stamp(w.TSA)
			delete(b.Entry(0), "inclusionPromise")
			delete(b.Entry(0), "inclusionProof")
			w.refuses(b, sigstore.ErrMalformed)
		},
		"no log": func(w *world) {
			b := w.signed()
			b.Log(w.Rekor2, "hashedrekord 0.0.2")
			b.Entry(1)["logId"] = sigstoretest.Object{}
			w.refuses(b, sigstore.ErrMalformed)
		},
		"no entry": func(w *world) { w.refuses(w.signer.SignMessage(artifact).Stamp(w.TSA), sigstore.ErrLog) },
		"entry of another log": func(w *world) {
			b := w.signer.SignMessage(artifact).Log(w.NewLog("https://rekor.example", newKey(t), false), "hashedrekord 0.0.1")
			w.refuses(b.Stamp(w.TSA), sigstore.ErrLog)
		},
		"SET by another key under the log's ID": func(w *world) {
			other := w.NewLog("https://rekor.example", newKey(t), false)
			other.ID = w.Rekor1.ID
			w.refuses(w.signer.SignMessage(artifact).Log(other, "hashedrekord 0.0.1"), sigstore.ErrLog)
		},
	})
}

// K18, K19
func TestAttack_T16_CheckpointOfAnother(t *testing.T) {
	recorded := func(r sigstoretest.Record) func(*world) {
		return func(w *world) {
			w.refuses(w.signer.SignMessage(artifact).Record(w.Rekor2, "hashedrekord 0.0.2", r).Stamp(w.TSA), sigstore.ErrLog)
		}
	}
	cosigned := []string{"\u2014 witness.example " + base64.StdEncoding.EncodeToString(make([]byte, 76))}
	each(t, map[string]func(*world){
		"origin and name":      recorded(sigstoretest.Record{Origin: "evil.example", Name: "evil.example"}),
		"origin":               recorded(sigstoretest.Record{Origin: "evil.example"}),
		"name":                 recorded(sigstoretest.Record{Name: "evil.example"}),
		"origin with a number": recorded(sigstoretest.Record{Origin: "log2026.rekor.example - 4711"}),
		"key":                  recorded(sigstoretest.Record{Key: newKey(t)}),
		"name, of Rekor v1": func(w *world) {
			w.refuses(w.signer.SignMessage(artifact).Record(w.Rekor1, "hashedrekord 0.0.1", sigstoretest.Record{Name: "evil.example"}), sigstore.ErrLog)
		},
		"key, of Rekor v1": func(w *world) {
			w.refuses(w.signer.SignMessage(artifact).Record(w.Rekor1, "hashedrekord 0.0.1", sigstoretest.Record{Key: newKey(t)}), sigstore.ErrLog)
		},
		"more cosignatures are no harm": func(w *world) {
			b := w.signer.SignMessage(artifact).Record(w.Rekor2, "hashedrekord 0.0.2", sigstoretest.Record{More: cosigned})
			w.accepts(b.Stamp(w.TSA))
		},
		"a bad signature under its name before": func(w *world) {
			bad := append(slices.Clone(w.Rekor2.ID[:4]), make([]byte, 64)...)
			more := []string{"\u2014 log2026.rekor.example " + base64.StdEncoding.EncodeToString(bad)}
			b := w.signer.SignMessage(artifact).Record(w.Rekor2, "hashedrekord 0.0.2", sigstoretest.Record{More: more})
			w.refuses(b.Stamp(w.TSA), sigstore.ErrLog)
		},
		"of cosignatures there are too many": func(w *world) {
			more := strings.Split(strings.Repeat(cosigned[0]+"\n", 64)+cosigned[0], "\n")
			b := w.signer.SignMessage(artifact).Record(w.Rekor2, "hashedrekord 0.0.2", sigstoretest.Record{More: more})
			w.refuses(b.Stamp(w.TSA), sigstore.ErrMalformed)
		},
	})
}

// What a bundle says beside what is signed must not contradict it.
func TestAttack_T16_EntryContradictsItself(t *testing.T) {
	entry := func(change func(e sigstoretest.Object)) func(*world) {
		return func(w *world) {
			b := w.signedV2()
			change(b.Entry(0))
			w.refuses(b, sigstore.ErrLog)
		}
	}
	proof := func(name string, value any) func(*world) {
		return entry(func(e sigstoretest.Object) { set(e["inclusionProof"], name, value) })
	}
	other := base64.StdEncoding.EncodeToString(make([]byte, 32))
	each(t, map[string]func(*world){
		"kind":               entry(func(e sigstoretest.Object) { set(e["kindVersion"], "kind", "dsse") }),
		"version":            entry(func(e sigstoretest.Object) { set(e["kindVersion"], "version", "0.0.1") }),
		"root hash":          proof("rootHash", other),
		"no root hash":       proof("rootHash", nil),
		"tree size":          proof("treeSize", "8"),
		"log index":          entry(func(e sigstoretest.Object) { e["logIndex"] = "4" }),
		"index of the proof": entry(func(e sigstoretest.Object) { e["logIndex"] = "4"; set(e["inclusionProof"], "logIndex", "4") }),
		"no hashes":          proof("hashes", []any{}),
		"a hash more": entry(func(e sigstoretest.Object) {
			p := e["inclusionProof"].(sigstoretest.Object)
			p["hashes"] = append(p["hashes"].([]any), other)
		}),
		"a hash of another length": entry(func(e sigstoretest.Object) {
			set(e["inclusionProof"], "hashes", []any{other, other, "AAAA"})
		}),
		"body with a space": entry(func(e sigstoretest.Object) {
			body, _ := base64.StdEncoding.DecodeString(e["canonicalizedBody"].(string))
			e["canonicalizedBody"] = base64.StdEncoding.EncodeToString(append(body, ' '))
		}),
		"body with another member": entry(func(e sigstoretest.Object) {
			body, _ := base64.StdEncoding.DecodeString(e["canonicalizedBody"].(string))
			var v sigstoretest.Object
			if err := json.Unmarshal(body, &v); err != nil {
				t.Error(err)
			}
			v["more"] = 1
			text, _ := json.Marshal(v)
			e["canonicalizedBody"] = base64.StdEncoding.EncodeToString(text)
		}),
	})
}
