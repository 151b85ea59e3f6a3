package command

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestKeygenNeverOverwritesAndAsksForNothingInVain(t *testing.T) {
	for _, suffix := range []string{".key", ".pub"} {
		c := newCLI(t)
		c.terminal = true // a prompt would wait for a secret that is never typed
		prefix := filepath.Join(t.TempDir(), "k")
		writeFile(t, prefix+suffix, []byte("precious"))
		c.run("keygen", "--out", prefix).exits(exitUndecided).says(prefix+suffix, "exists", "hint: nothing is overwritten")
		if text, err := os.ReadFile(prefix + suffix); err != nil || string(text) != "precious" {
			t.Errorf("%s now holds %q, %v", suffix, text, err)
		}
		if entries, err := os.ReadDir(filepath.Dir(prefix)); err != nil || len(entries) != 1 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
	}
}

func TestPasswordIsTypedTwiceForANewKeyAndOnceToSign(t *testing.T) {
	c, x := newCLI(t), layoutTarget(t)
	x.push("v1")
	c.terminal = true
	prefix := filepath.Join(t.TempDir(), "k")

	c.secrets = []string{"first try", "mistyped"}
	c.run("keygen", "--out", prefix).exits(exitUndecided).says("differ")
	c.secrets = []string{""}
	c.run("keygen", "--out", prefix).exits(exitUndecided).says("needs a password")
	c.secrets = []string{"correct horse", "correct horse"}
	c.must("keygen", "--out", prefix).says("Password for the new private key: ", "again: ", "hint: hand out "+prefix+".pub", "hallmark sign --key "+prefix+".key")
	c.secrets = []string{"correct horse"}
	c.must("sign", "--key", prefix+".key", x.tag("v1")).says("Password for " + prefix + ".key: ")
	c.secrets = []string{"wrong"}
	c.run("sign", "--key", prefix+".key", x.tag("v1")).exits(exitUndecided).says("wrong or missing password", "hint: check the password")
}

func TestPasswordOfAFileComesBeforeThatOfTheEnvironment(t *testing.T) {
	c, x := newCLI(t), layoutTarget(t)
	x.push("v1")
	prefix := filepath.Join(t.TempDir(), "k")
	file := writeFile(t, prefix+".password", []byte("correct horse\r\nsecond line\n"))
	c.env[passwordVariable] = "correct horse"
	c.must("keygen", "--out", prefix)
	c.env[passwordVariable] = "wrong"
	c.run("sign", "--key", prefix+".key", x.tag("v1")).exits(exitUndecided).says("hint: check the password")
	c.must("sign", "--key", prefix+".key", "--password-file", file, x.tag("v1"))
	delete(c.env, passwordVariable)
	c.run("sign", "--key", prefix+".key", x.tag("v1")).exits(exitUndecided).says("no password given", "hint: set "+passwordVariable)
	if runtime.GOOS != "windows" {
		must(t, os.Chmod(file, 0o644))
		c.must("sign", "--key", prefix+".key", "--password-file", file, x.tag("v1")).says("others can read the password file")
	}
}

func TestEmptyPasswordNeedsAnExplicitFlag(t *testing.T) {
	c, x := newCLI(t), layoutTarget(t)
	x.push("v1")
	prefix := filepath.Join(t.TempDir(), "k")
	c.env[passwordVariable] = ""
	c.run("keygen", "--out", prefix).exits(exitUndecided).says("needs a password", "--insecure-empty-password")
	c.must("keygen", "--out", prefix, "--insecure-empty-password").says("warning: everyone who gets")
	c.must("sign", "--key", prefix+".key", x.tag("v1"))
}

func TestAttack_S3_PasswordIsNotPrintedAndForeignKeysAreRefused(t *testing.T) {
	const secret = "correct-horse-battery"
	c, x := newCLI(t), layoutTarget(t)
	x.push("v1")
	prefix := filepath.Join(t.TempDir(), "k")
	c.env[passwordVariable] = secret
	blob := writeFile(t, prefix+".blob", []byte("content"))
	for _, args := range [][]string{
		{"keygen", "--out", prefix},
		{"keygen", "--out", prefix},
		{"sign", "--key", prefix + ".key", x.tag("v1")},
		{"sign", "--key", prefix + ".key", x.tag("none")},
		{"sign-blob", "--key", prefix + ".key", "--bundle", prefix + ".bundle", blob},
	} {
		for _, more := range [][]string{{"--verbose"}, {"-o", "json"}} {
			o := c.run(append(args, more...)...)
			if strings.Contains(o.stdout+o.stderr, secret) {
				t.Errorf("%v prints the password", args)
			}
		}
	}
	c.env[passwordVariable] = secret + "-wrong"
	if o := c.run("sign", "--verbose", "--key", prefix+".key", x.tag("v1")).exits(exitUndecided); strings.Contains(o.stdout+o.stderr, secret) {
		t.Error("the wrong password is printed")
	}
	if runtime.GOOS != "windows" {
		open := newKey(t)
		must(t, os.Chmod(open.private, 0o644))
		c.run("sign", "--key", open.private, x.tag("v1")).exits(exitUndecided).says("readable by others", "chmod 600")
		must(t, os.Chmod(prefix+".key", 0o644))
		c.env[passwordVariable] = secret
		c.must("sign", "--key", prefix+".key", x.tag("v1")).says("private key is readable by others")
	}
}

func TestInterruptEndsAPrompt(t *testing.T) {
	c := newCLI(t)
	c.terminal = true
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c.ctx = ctx
	c.run("keygen", "--out", filepath.Join(t.TempDir(), "k")).exits(exitUndecided).says("hint: ")
}
