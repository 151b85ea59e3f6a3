package sigstore_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

// others are values in place of one.
func others(v any) []any {
	all := []any{nil, 7, "", []any{}, sigstoretest.Object{}, "?"}
	if text, is := v.(string); is && text != "" {
		all = append(all, text+"A", strings.TrimRight(text, "=")+"===", text[:len(text)/2])
		if data, err := base64.StdEncoding.DecodeString(text); err == nil && len(data) > 0 {
			data[len(data)/2] ^= 1
			all = append(all, base64.StdEncoding.EncodeToString(data), base64.StdEncoding.EncodeToString(data[:len(data)-1]))
		}
	}
	return all
}

// mutate calls f for each document with one value changed, one member left out or one
// more. path leads to it.
func mutate(v any, path string, set func(any), f func(path string)) {
	original := fmt.Sprint(v)
	for _, other := range others(v) {
		if path != "" && fmt.Sprint(other) != original {
			set(other)
			f(path)
		}
	}
	set(v)
	switch x := v.(type) {
	case sigstoretest.Object:
		x["more"] = 1
		f(path + " has more")
		delete(x, "more")
		for name, member := range x {
			delete(x, name)
			f(path + "." + name + " left out")
			x[name] = member
			mutate(member, path+"."+name, func(o any) { x[name] = o }, f)
		}
	case []any:
		for i, element := range x {
			mutate(element, path+"[]", func(o any) { x[i] = o }, f)
		}
	}
}

// copied is a document of its own.
func copied(t *testing.T, text []byte) (doc sigstoretest.Object) {
	t.Helper()
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestAttack_T16_EveryChangeOfABundleIsRefused(t *testing.T) {
	w := newWorld(t)
	for name, b := range map[string]*sigstoretest.Bundle{
		"v1 message": w.signed(), "v2 message": w.signedV2(),
		"v1 statement": w.signer.SignStatement(statement).Log(w.Rekor1, "intoto 0.0.2"),
		"v2 statement": w.signer.SignStatement(statement).Log(w.Rekor2, "dsse 0.0.2").Stamp(w.TSA),
		"v0.1":         w.signed().Chain("0.1"),
	} {
		b.JSON = copied(t, b.Text())
		w.accepts(b)
		mutate(b.JSON, "", func(any) {}, func(path string) {
			if strings.Contains(path, "timestampVerificationData") && !strings.HasPrefix(name, "v2") {
				return // it is empty, and may be left out
			}
			if name == "v0.1" && (strings.HasSuffix(path, "inclusionProof") || strings.HasSuffix(path, "inclusionProof left out")) {
				return // that version may do without
			}
			if found, err := w.judge(b); err == nil {
				t.Errorf("%s: %s changed: %+v", name, path, found)
			}
		})
		w.accepts(b)
	}
}

// A log records bodies without understanding them; so must they be about the evidence.
func TestAttack_T16_EveryChangeOfALoggedBodyIsRefused(t *testing.T) {
	// Of a text that bundles do not keep, and the name of what a key is.
	unread := []string{".envelopeHash", ".content.hash", ".keyDetails", ".payloadType", ".payloadHash left out", ".payloadHash"}
	w := newWorld(t)
	for _, kind := range []string{"hashedrekord 0.0.1", "hashedrekord 0.0.2", "dsse 0.0.1", "dsse 0.0.2", "intoto 0.0.1", "intoto 0.0.2"} {
		name, version, _ := strings.Cut(kind, " ")
		log, b := w.Rekor1, w.signer.SignStatement(statement)
		if strings.HasSuffix(kind, "d 0.0.2") || kind == "dsse 0.0.2" {
			log = w.Rekor2
		}
		body := copied(t, b.Body(kind))
		record := func() error {
			again := *b
			again.JSON = copied(t, b.Text())
			again.AddEntry(log.Add(w.Instance, name, version, w.Marshal(body), sigstoretest.Record{})).Stamp(w.TSA)
			_, err := w.judge(&again)
			return err
		}
		if err := record(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		mutate(body, "", func(any) {}, func(path string) {
			for _, end := range unread {
				if strings.Contains(path, end) && !(strings.HasPrefix(end, ".payloadHash") && kind != "intoto 0.0.1") {
					return
				}
			}
			if len(log.Entries()) > 60 {
				log.Forget()
			}
			if record() == nil {
				t.Errorf("%s: %s changed", kind, path)
			}
		})
	}
}
