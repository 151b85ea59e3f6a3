package sigstore_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/internal/sigstore"
	"github.com/hallmark-oci/hallmark/internal/sigstore/sigstoretest"
)

// published is a trust root.
func published(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../dev/conformance/testdata/roots", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestPublishedRootsAreRead(t *testing.T) {
	for name, want := range map[string][4]int{
		"public-good.json": {2, 2, 2, 1}, "staging.json": {5, 5, 2, 2}, "github.json": {0, 0, 6, 6},
	} {
		r, err := sigstore.ParseRoot(published(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := [4]int{r.Logs(), r.CTLogs(), r.Authorities(), r.TimestampAuthorities()}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestRootsOnLinesAndInTrustConfigurationsAreRead(t *testing.T) {
	compact := func(name string) []byte { return bytes.Join(bytes.Fields(published(t, name)), nil) }
	lines := bytes.Join([][]byte{compact("public-good.json"), compact("github.json"), nil}, []byte("\n"))
	roots, err := sigstore.ParseRoots(lines)
	if err != nil || len(roots) != 2 || !roots[1].HasAuthority("fulcio.githubapp.com") || roots[0].HasAuthority("fulcio.githubapp.com") {
		t.Errorf("%d roots, %v", len(roots), err)
	}
	config := `{"mediaType":"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json","trustedRoot":` + string(compact("staging.json")) + `,"signingConfig":{}}`
	if roots, err = sigstore.ParseRoots([]byte(config)); err != nil || len(roots) != 1 || roots[0].Logs() != 5 {
		t.Errorf("%d roots, %v", len(roots), err)
	}
	if roots, err = sigstore.ParseRoots(append(lines, "{}"...)); err == nil {
		t.Errorf("%d roots, and one is empty", len(roots))
	}
}

// K28
func TestAttack_T17_RootsThatMeanTooMuchAreRefused(t *testing.T) {
	first := func(o sigstoretest.Object, list string) sigstoretest.Object {
		return o[list].([]any)[0].(sigstoretest.Object)
	}
	each := map[string]func(w *world, o sigstoretest.Object){
		"a log without start": func(_ *world, o sigstoretest.Object) {
			delete(first(o, "tlogs")["publicKey"].(sigstoretest.Object)["validFor"].(sigstoretest.Object), "start")
		},
		"a log without window": func(_ *world, o sigstoretest.Object) {
			delete(first(o, "ctlogs")["publicKey"].(sigstoretest.Object), "validFor")
		},
		"an authority without start": func(_ *world, o sigstoretest.Object) {
			delete(first(o, "certificateAuthorities")["validFor"].(sigstoretest.Object), "start")
		},
		"a timestamp authority without window": func(_ *world, o sigstoretest.Object) { delete(first(o, "timestampAuthorities"), "validFor") },
		"a time that is none": func(_ *world, o sigstoretest.Object) {
			set(first(o, "certificateAuthorities")["validFor"], "end", "2026-13-01")
		},
		"an unknown member":  func(_ *world, o sigstoretest.Object) { o["more"] = 1 },
		"another media type": func(_ *world, o sigstoretest.Object) { o["mediaType"] = "application/json" },
		"another hash":       func(_ *world, o sigstoretest.Object) { first(o, "tlogs")["hashAlgorithm"] = "SHA2_512" },
		"an unknown key":     func(_ *world, o sigstoretest.Object) { set(first(o, "tlogs")["publicKey"], "keyDetails", "PKIX_DSA") },
		"a key that is none": func(_ *world, o sigstoretest.Object) { set(first(o, "tlogs")["publicKey"], "rawBytes", "AAAA") },
		"a log without ID":   func(_ *world, o sigstoretest.Object) { delete(first(o, "tlogs"), "logId") },
		"a log without URL":  func(_ *world, o sigstoretest.Object) { delete(first(o, "tlogs"), "baseUrl") },
		"two logs of one ID": func(w *world, o sigstoretest.Object) {
			other := w.NewLog("https://other.example", newKey(w.t), false)
			other.ID = w.Rekor1.ID
			o["tlogs"] = append(o["tlogs"].([]any), other.JSON())
		},
		"an authority of an unknown name": func(_ *world, o sigstoretest.Object) {
			set(first(o, "certificateAuthorities")["subject"], "more", "x")
		},
		"no certificates": func(_ *world, o sigstoretest.Object) {
			set(first(o, "certificateAuthorities")["certChain"], "certificates", []any{})
		},
		"a chain in another order": func(_ *world, o sigstoretest.Object) {
			chain := first(o, "certificateAuthorities")["certChain"].(sigstoretest.Object)
			list := chain["certificates"].([]any)
			chain["certificates"] = []any{list[1], list[0]}
		},
		"a certificate that issues none": func(w *world, o sigstoretest.Object) {
			w.CA.Chain[0] = w.Issue(leafOf()).Certificate
			o["certificateAuthorities"] = []any{w.CA.JSON()}
		},
		"name constraints": func(w *world, o sigstoretest.Object) {
			w.CA.Replace(w.Instance, 1, func(c *x509.Certificate) { c.PermittedURIDomains = []string{"acme.example"} })
			o["certificateAuthorities"] = []any{w.CA.JSON()}
		},
		"another use": func(w *world, o sigstoretest.Object) {
			w.CA.Replace(w.Instance, 0, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
			o["certificateAuthorities"] = []any{w.CA.JSON()}
		},
		"a chain that is too long": func(w *world, o sigstoretest.Object) {
			w.CA.Replace(w.Instance, 1, func(c *x509.Certificate) { c.MaxPathLenZero = true })
			o["certificateAuthorities"] = []any{w.CA.JSON()}
		},
		"timestamps by an authority": func(w *world, o sigstoretest.Object) {
			w.TSA.Replace(w.Instance, 0, func(c *x509.Certificate) { c.ExtraExtensions = nil })
			o["timestampAuthorities"] = []any{w.TSA.JSON()}
		},
		"nothing": func(_ *world, o sigstoretest.Object) {
			for name := range o {
				if name != "mediaType" {
					delete(o, name)
				}
			}
		},
	}
	for name, change := range each {
		w := newWorld(t)
		o := w.RootJSON()
		change(w, o)
		if r, err := sigstore.ParseRoot(w.Marshal(o)); r != nil || !errors.Is(err, sigstore.ErrRoot) {
			t.Errorf("%s: %v, %v; want ErrRoot", name, r, err)
		}
	}
	w := newWorld(t)
	text := string(w.Root())
	for name, bad := range map[string]string{
		"a repeated member":    strings.Replace(text, `"tlogs":`, `"tlogs":[],"tlogs":`, 1),
		"a case-folded member": strings.Replace(text, `"tlogs":`, `"tLogs":`, 1),
		"too large":            text + strings.Repeat(" ", sigstore.MaxRootSize),
		"text":                 "text",
	} {
		if r, err := sigstore.ParseRoot([]byte(bad)); r != nil || !errors.Is(err, sigstore.ErrRoot) {
			t.Errorf("%s: %v, %v; want ErrRoot", name, r, err)
		}
	}
}
