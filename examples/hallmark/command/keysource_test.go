package command

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

func TestKeys_FromTheEnvironment(t *testing.T) {
	x := layoutTarget(t)
	x.push("v1")
	k := newKey(t)
	c := newCLI(t)
	c.env["RELEASE_KEY"], c.env["RELEASE_PUB"] = readText(t, k.private), readText(t, k.public)
	c.env["ESCAPED"] = strings.ReplaceAll(c.env["RELEASE_PUB"], "\n", `\n`)
	c.must("sign", "--key", "env://RELEASE_KEY", x.tag("v1"))
	c.must("verify", "--key", "env://RELEASE_PUB", x.tag("v1")).prints("env://RELEASE_PUB")
	c.must("verify", "--key", "env://ESCAPED", x.tag("v1"))
	c.must("inspect", "--key", "env://RELEASE_PUB", x.tag("v1"))
	c.must("download", "signature", "--key", "env://RELEASE_PUB", x.tag("v1"))
	c.must("public-key", "--key", "env://RELEASE_KEY").prints(c.env["RELEASE_PUB"])
	predicate := writeFile(t, filepath.Join(t.TempDir(), "p"), []byte(`{"x":1}`))
	c.must("attest", "--key", "env://RELEASE_KEY", "--type", "https://x.example/t", "--predicate", predicate, x.tag("v1"))
	bundle := filepath.Join(t.TempDir(), "bundle")
	c.must("sign-blob", predicate, "--bundle", bundle, "--key", "env://RELEASE_KEY")
	c.must("verify-blob", predicate, "--bundle", bundle, "--key", "env://RELEASE_PUB")
}

func TestKeys_FromStdin(t *testing.T) {
	x := layoutTarget(t)
	x.push("v1")
	k := newKey(t)
	c := newCLI(t)
	c.stdin = readText(t, k.private)
	c.must("sign", "--key", "-", x.tag("v1"))
	c.stdin = readText(t, k.public)
	c.must("verify", "--key", "-", x.tag("v1"))
	c.must("verify", "--key", "/dev/stdin", x.tag("v1"))
	c.must("verify", "--key", "fd://0", x.tag("v1"))
	c.stdin = ""
	c.run("verify", "--key", "-", x.tag("v1")).exits(exitUndecided).says("empty")
}

func TestKeys_FromADescriptor(t *testing.T) {
	if _, err := os.Stat("/dev/fd"); err != nil {
		t.Skip("no /dev/fd here")
	}
	x := layoutTarget(t)
	x.push("v1")
	k := newKey(t)
	for _, form := range []string{"fd://%d", "/dev/fd/%d", "/proc/self/fd/%d"} {
		r, w, err := os.Pipe()
		must(t, err)
		_, err = w.WriteString(readText(t, k.private))
		must(t, err)
		must(t, w.Close())
		newCLI(t).must("sign", "--key", fmt.Sprintf(form, r.Fd()), x.tag("v1"))
		must(t, r.Close())
	}
	f, err := os.Open(k.public)
	must(t, err)
	defer func() { _ = f.Close() }() // only read from
	newCLI(t).must("verify", "--key", fmt.Sprintf("/dev/fd/%d", f.Fd()), x.tag("v1"))
	newCLI(t).run("sign", "--key", "fd://1", x.tag("v1")).exits(exitUndecided).says("for output")
	newCLI(t).run("sign", "--key", "fd://999", x.tag("v1")).exits(exitUndecided).says("not open")
	newCLI(t).run("sign", "--key", "fd://x", x.tag("v1")).exits(exitUndecided).says("number")
}

func TestAttack_S3_KeysInPlaceOfNamesAreNotShown(t *testing.T) {
	k := newKey(t)
	secret := readText(t, k.private)
	body := strings.Split(secret, "\n")[1]
	c := newCLI(t)
	c.env["BROKEN"] = strings.Replace(secret, "M", "N", 1)
	c.env["HALF"] = secret[:len(secret)/2]
	c.env["BARE"] = body
	c.env["EMPTY"] = " \n"
	c.env["HUGE"] = strings.Repeat("x", maxKey+1)
	x := layoutTarget(t)
	x.push("v1")
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	for _, key := range []string{body, encoded, encoded[:80], base64.RawURLEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)), secret, "env://" + secret, "env://" + body, "env://BROKEN", "env://HALF", "env://BARE", "env://EMPTY", "env://HUGE", "env://", "env://NONE", "env://a=b"} {
		for _, args := range [][]string{{"sign"}, {"verify"}, {"public-key"}, {"import-key-pair", "--insecure-empty-password", "--out", filepath.Join(t.TempDir(), "k")}, {"inspect"}} {
			line := append(args, "--key", key)
			if args[0] != "public-key" && args[0] != "import-key-pair" {
				line = append(line, x.tag("v1"))
			}
			out := c.run(line...)
			if out.code == exitOK {
				t.Errorf("%s: accepted", args[0])
			}
			if all := out.stdout + out.stderr; strings.Contains(all, body[:20]) || strings.Contains(all, encoded[:20]) || strings.Contains(all, hex.EncodeToString([]byte(secret))[:20]) {
				t.Errorf("%s shows a part of the key: %s", args[0], all)
			}
		}
	}
}

func TestStdin_IsReadOnce(t *testing.T) {
	x := layoutTarget(t)
	x.push("v1")
	k := newKey(t)
	c := newCLI(t)
	c.stdin = readText(t, k.private)
	c.run("attest", "--key", "-", "--type", "spdx", "--predicate", "-", x.tag("v1")).exits(exitUndecided).says("stdin can be read once", "--predicate", "--key")
	c.must("sign", "--key", "-", "--key", "-", x.tag("v1")) // one key, named twice
}

func TestKeys_FromStdinHaveTheirPasswordElsewhere(t *testing.T) {
	x := layoutTarget(t)
	x.push("v1")
	c := newCLI(t)
	c.stdin = readText(t, encryptedKey(t))
	c.run("sign", "--key", "-", x.tag("v1")).exits(exitUndecided).says("no password given")
	c.env[passwordVariable] = "right"
	c.must("sign", "--key", "-", x.tag("v1"))
}

func TestKeys_ThatNeverComeEndWithTheContext(t *testing.T) {
	if _, err := os.Stat("/dev/fd"); err != nil {
		t.Skip("no /dev/fd here")
	}
	r, w, err := os.Pipe()
	must(t, err)
	defer func() { _, _ = r.Close(), w.Close() }() // nothing was written
	c := newCLI(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c.ctx = ctx
	c.run("public-key", "--key", fmt.Sprintf("fd://%d", r.Fd())).exits(exitUndecided)
}

func TestPublicKey_IsThatOfThePrivateOne(t *testing.T) {
	k := newKey(t)
	c := newCLI(t)
	if out := c.must("public-key", "--key", k.private); out.stdout != readText(t, k.public) {
		t.Errorf("%s", out.stdout)
	}
	c.must("public-key", "--key", k.public).prints(readText(t, k.public))
	file := filepath.Join(t.TempDir(), "new.pub")
	var r publicKeyResult
	c.must("public-key", "--key", k.private, "--out", file, "-o", "json").decode(&r)
	if r.KeyID != k.id || r.PublicKey != file || readText(t, file) != readText(t, k.public) {
		t.Errorf("%+v", r)
	}
	c.run("public-key", "--key", k.private, "--out", file).exits(exitUndecided).says("nothing is overwritten")
	c.run("public-key").exits(exitUndecided).says("--key is missing")
}

func TestImportKeyPair_EncryptsAKey(t *testing.T) {
	k := newKey(t)
	c := newCLI(t)
	c.env[passwordVariable] = "new"
	prefix := filepath.Join(t.TempDir(), "k")
	var r keygenResult
	c.must("import-key-pair", "--key", k.private, "--out", prefix, "-o", "json").decode(&r)
	if r.KeyID != k.id || !strings.Contains(readText(t, prefix+".key"), "ENCRYPTED SIGSTORE") || readText(t, prefix+".pub") != readText(t, k.public) {
		t.Errorf("%+v", r)
	}
	x := layoutTarget(t)
	x.push("v1")
	c.must("sign", "--key", prefix+".key", x.tag("v1"))
	c.must("verify", "--key", k.public, x.tag("v1"))
	c.run("import-key-pair", "--key", k.private, "--out", prefix).exits(exitUndecided).says("nothing is overwritten")
	c.run("import-key-pair").exits(exitUndecided).says("--key is missing")
	old := filepath.Join(t.TempDir(), "old")
	c.env[passwordVariable] = "newer"
	c.must("import-key-pair", "--key", prefix+".key", "--old-password-file", writeFile(t, old, []byte("new\n")), "--out", prefix+"2")
	c.must("sign", "--key", prefix+"2.key", x.tag("v1"))
}

func TestDetach_RemovesWhatFits(t *testing.T) {
	everywhere(t, func(t *testing.T, x target) {
		x.push("v1")
		a, b := newKey(t), newKey(t)
		c := newCLI(t)
		predicate := writeFile(t, filepath.Join(t.TempDir(), "p"), []byte(`{"x":1}`))
		c.must("sign", "--key", a.private, "--key", b.private, x.tag("v1"))
		c.must("attest", "--key", a.private, "--type", "https://x.example/t", "--predicate", predicate, x.tag("v1"))
		c.run("detach", x.tag("v1")).exits(exitUndecided).says("say what to remove")
		c.run("detach", "--type", "x", x.tag("v1")).exits(exitUndecided).says("use one of")
		c.must("detach", "--type", "all", "--dry-run", x.tag("v1")).prints("would be removed")
		var all []detached
		c.must("detach", "--type", "signature", "--key", a.public, "-o", "json", x.tag("v1")).decode(&all)
		if len(all) != 1 || !all[0].Removed || all[0].Kind != "signature" {
			t.Errorf("%+v", all)
		}
		c.run("verify", "--key", a.public, x.tag("v1")).exits(exitDenied)
		c.must("verify", "--key", b.public, x.tag("v1"))
		c.must("download", "attestation", "--key", a.public, x.tag("v1"))
		c.must("detach", "--type", "all", x.tag("v1"))
		c.run("verify", "--key", b.public, x.tag("v1")).exits(exitDenied)
		c.must("detach", "--type", "all", x.tag("v1")).says("nothing that fits")
		c.must("inspect", x.tag("v1"))
	})
}
