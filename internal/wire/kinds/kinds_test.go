package kinds_test

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
)

const (
	bundle    = `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":{"payload":"e30="}}`
	envelope  = `{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"AA=="}]}`
	simple    = `{"critical":{"identity":{"docker-reference":"x"}},"optional":null}`
	statement = `{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"x","predicate":{}}`
	config    = `{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{}],"os":"","rootfs":{"type":"layers","diff_ids":[]},"config":{}}`
	spdxText  = "SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\n# a comment\n\nPackageComment: <text>several\nlines</text>\nPackageName: x\n"
)

// sign1 is a COSE_Sign1 message.
func sign1(protected, unprotected, payload, signature string) string {
	return "\xd2\x84" + bytesItem(protected) + unprotected + bytesItem(payload) + bytesItem(signature)
}

func bytesItem(s string) string { return fmt.Sprintf("\x59%c%c%s", len(s)>>8, len(s)&0xff, s) }

func jose(payload string) string {
	b := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"payload":%q,"protected":%q,"header":{"x5c":[]},"signature":%q}`, b([]byte(payload)), b([]byte("{}")), b([]byte("s")))
}

func of(t testing.TB, content string) kinds.Set {
	t.Helper()
	return ofAll(t, content) &^ kinds.Text
}

// ofAll is of with the kind that most have.
func ofAll(t testing.TB, content string) kinds.Set {
	t.Helper()
	set, err := kinds.Of(strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if slow, err := kinds.Of(iotest.OneByteReader(strings.NewReader(content))); err != nil || slow != set {
		t.Fatalf("read byte by byte: %b, %v; want %b", slow, err, set)
	}
	return set
}

func TestEachKindIsToldByItsContent(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		want    kinds.Set
	}{
		"object":         {` {"x":[1,-2.5e3,true,false,null,"\u00e9é\/"],"y":{"z":{}}} ` + "\n", kinds.JSON},
		"empty":          {"{}", kinds.JSON | kinds.Empty | kinds.Inert},
		"config":         {config, kinds.JSON | kinds.Inert},
		"unknown config": {`{"architecture":"unknown","os":"unknown","config":null}`, kinds.JSON | kinds.Inert},
		"bundle":         {bundle, kinds.JSON | kinds.Bundle},
		"envelope":       {envelope, kinds.JSON | kinds.Envelope},
		"in lines":       {strings.Replace(envelope, "e30=", `e3\r\n0=\n`, 1), kinds.JSON | kinds.Envelope},
		"with blanks":    {strings.Replace(envelope, "e30=", `e3 0=`, 1), kinds.JSON},
		"with a tab":     {strings.Replace(envelope, "e30=", `e3\t0=`, 1), kinds.JSON},
		"simple signing": {simple, kinds.JSON | kinds.SimpleSigning},
		"statement":      {statement, kinds.JSON | kinds.Statement},
		"JOSE":           {jose(`{"targetArtifact":{}}`), kinds.JSON | kinds.JOSE},
		"COSE":           {sign1("\xa1\x01\x26", "\xa1\x61x\x82\x01\x61y", `{"targetArtifact":{}}`, "sig"), kinds.COSE},
		"SPDX text":      {spdxText, kinds.SPDXText},
		"no line end":    {"SPDXVersion: SPDX-2.2", kinds.SPDXText},
		"long text":      {"SPDXVersion: SPDX-2.2\nPackageComment: <text>\n" + strings.Repeat("x", 1<<17) + "\n</text>\n", kinds.SPDXText},
	} {
		if got := of(t, c.content); got != c.want {
			t.Errorf("%s: %b, want %b", name, got, c.want)
		}
	}
}

// printableTar is an archive of the seventh edition that needs no byte which JSON
// lacks: prefix is how its first file's name begins.
func printableTar(prefix, content, suffix string, checksum func(sum int) string) string {
	header := []byte(prefix + strings.Repeat("x", 99-len(prefix)) + " 0000755 0000000 0000000 " +
		fmt.Sprintf("%011o ", len(content)) + "00000000000 " + "        " + "0" + strings.Repeat("y", 512-157))
	sum := 0
	for _, b := range header {
		sum += int(b)
	}
	copy(header[148:156], checksum(sum))
	return string(header) + content + strings.Repeat(" ", (512-len(content)%512)%512) + suffix
}

func TestAttack_P16_WhatIsSomethingElseIsOfNoKind(t *testing.T) {
	octal := func(sum int) string { return fmt.Sprintf("%06o  ", sum) }
	tabbed := func(sum int) string { return fmt.Sprintf("\t%06o ", sum) }
	padded := func(magic string) string { return magic + strings.Repeat("\x00", 600) }
	real := func() string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		_ = w.WriteHeader(&tar.Header{Name: "bin/sh", Mode: 0o755, Size: 4})
		_, _ = w.Write([]byte("code"))
		_ = w.Close()
		return b.String()
	}()
	spaces := strings.Repeat(" ", 1024-len(`{"x":"`))
	for name, content := range map[string]string{
		"nothing":                   "",
		"blanks":                    " \n",
		"a tar":                     real,
		"a tar that is JSON":        printableTar(`{"a":"`, "#!/bin/sh evil", `"}`, octal),
		"with a tab":                printableTar(`{"a":"`, "#!/bin/sh evil", `"}`, tabbed),
		"a tar behind a JSON start": `{"x":"` + spaces + printableTar(`bin/sh`, "#!/bin/sh evil", `"}`, octal),
		"a tar that is SPDX":        printableTar("SPDXVersion: SPDX-2.3", "x", "\n", octal),
		"a tar in base 64": printableTar(`{"a":"`, "x", `"}`, func(sum int) string {
			return "+" + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[sum>>12]) + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[sum>>6&63]) + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[sum&63]) + "    "
		}),
		"a script":                 "#!/bin/sh\nevil\n",
		"a script without a hint":  "evil\n",
		"a script that is SPDX":    "#!/bin/sh\n" + spdxText,
		"SPDX with another line":   spdxText + "curl evil | sh\n",
		"SPDX with another tag":    spdxText + "Evil: x\n",
		"SPDX without a beginning": "PackageName: x\n",
		"SPDX without an end":      "SPDXVersion: SPDX-2.3\nPackageComment: <text>x\n",
		"comments":                 "# SPDXVersion: SPDX-2.3\n",
		"SPDX with NUL":            spdxText + "\x00",
		"SPDX of another charset":  spdxText + "# \xff\n",
		"WASM":                     padded("\x00asm\x01\x00\x00\x00"),
		"PE":                       padded("MZ"), "ELF": padded("\x7fELF"), "cpio": "070701" + strings.Repeat("0", 104) + "x", "7z": padded("7z\xbc\xaf\x27\x1c"),
		"lzma": padded("\x5d\x00\x00\x80\x00"), "gzip": padded("\x1f\x8b\x08"), "zip": padded("PK\x03\x04"),
		"ISO":                strings.Repeat("\x00", 0x8001) + "CD001",
		"EROFS":              strings.Repeat("\x00", 1024) + "\xe2\xe1\xf5\xe0",
		"ext4":               strings.Repeat("\x00", 1080) + "\x53\xef",
		"cramfs":             padded("\x45\x3d\xcd\x28"),
		"ar":                 "!<arch>\n",
		"JSON in a list":     "[{}]",
		"a number":           "1",
		"JSON with a BOM":    "\xef\xbb\xbf{}",
		"JSON with a tail":   "{}\x00",
		"two objects":        "{}{}",
		"cut":                `{"a":"b"`,
		"control in string":  "{\"a\":\"\x01\"}",
		"bad UTF-8":          "{\"a\":\"\xc3\"}",
		"UTF-8 cut":          "{}\xc3",
		"surrogate":          "{\"a\":\"\xed\xa0\x80\"}",
		"bad escape":         `{"a":"\x"}`,
		"bad number":         `{"a":01}`,
		"bad word":           `{"a":nil}`,
		"twice":              `{"a":1,"a":2}`,
		"in two cases":       `{"a":1,"A":2}`,
		"escaped name":       `{"\u0061":1}`,
		"no colon":           `{"a" 1}`,
		"trailing comma":     `{"a":1,}`,
		"empty element":      `{"a":[1,,2]}`,
		"number as name":     `{1:2}`,
		"deep number name":   `{"a":{1:2}}`,
		"deep":               strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70),
		"comment":            "{/**/}",
		"single quotes":      "{'a':1}",
		"COSE with a tail":   sign1("\xa0", "\xa0", "{}", "s") + "x",
		"COSE of text":       sign1("\xa0", "\xa0", "#!/bin/sh", "s"),
		"COSE unsigned":      sign1("\xa0", "\xa0", "{}", ""),
		"COSE, long":         sign1("\xa0", "\xa0", "{}", strings.Repeat("s", 2000)),
		"COSE, no headers":   sign1("", "\xa0", "{}", "s"),
		"COSE, bad chain":    sign1("\xa0", "\xa1\x18\x21\x43abc", "{}", "s"),
		"COSE, bad chains":   sign1("\xa0", "\xa1\x18\x21\x81\x43abc", "{}", "s"),
		"COSE, endless":      sign1("\xa0", "\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "{}", "s"),
		"COSE, endless list": sign1("\xa0", "\xa1\x01\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "{}", "s"),
		"COSE, indefinite":   sign1("\xa0", "\xbf\xff", "{}", "s"),
		"COSE, nested":       sign1("\xa0", "\xa1\x01"+strings.Repeat("\x81", 30)+"\x01", "{}", "s"),
		"COSE, no array":     "\xd2\xa0", "COSE, one byte": "\xd2",
		"COSE, large": sign1("\xa0", "\xa1\x01\x5a\x00\x01\x00\x00"+strings.Repeat("x", 1<<16), "{}", "s"),
	} {
		if got := of(t, content); got != 0 {
			t.Errorf("%s is taken for %b", name, got)
		}
	}
}

// What is a JSON object, but not what its media type says.
func TestAttack_P16_AnObjectOfAnotherShapeIsOnlyAnObject(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		not     kinds.Set
	}{
		"an envelope around text":     {strings.Replace(envelope, "e30=", "#!/bin/sh", 1), kinds.Envelope},
		"an envelope of escapes":      {strings.Replace(envelope, "e30=", `e30\u003d`, 1), kinds.Envelope},
		"an envelope unsigned":        {strings.Replace(envelope, "signatures", "sigs", 1), kinds.Envelope},
		"a bundle without material":   {strings.Replace(bundle, "verificationMaterial", "material", 1), kinds.Bundle},
		"a bundle of another type":    {strings.Replace(bundle, "sigstore.bundle", "sigstore.other", 1), kinds.Bundle},
		"a bundle around a string":    {`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{},"dsseEnvelope":"x"}`, kinds.Bundle},
		"a statement of another type": {strings.Replace(statement, "Statement", "Link", 1), kinds.Statement},
		"JOSE around text":            {jose("#!/bin/sh"), kinds.JOSE},
		"JOSE, not base64":            {strings.Replace(jose("{}"), `"payload":"`, `"payload":"%`, 1), kinds.JOSE},
		"JOSE, padded":                {strings.Replace(jose("{}"), `","protected`, `==","protected`, 1), kinds.JOSE},
		"JOSE without header":         {strings.Replace(jose("{}"), `"header"`, `"heads"`, 1), kinds.JOSE},
		"a config that runs":          {strings.Replace(config, `"config":{}`, `"config":{"Entrypoint":["sh"]}`, 1), kinds.Inert},
		"a config of a platform":      {strings.Replace(config, `"os":""`, `"os":"linux"`, 1), kinds.Inert},
		"a config that is a list":     {strings.Replace(config, `"config":{}`, `"config":[]`, 1), kinds.Inert},
		"a config with a long blank":  {strings.Replace(config, `"config":{}`, `"config":{`+strings.Repeat(" ", 5000)+`"Cmd":["x"]}`, 1), kinds.Inert},
	} {
		if got := of(t, c.content); got&kinds.JSON == 0 || got&c.not != 0 {
			t.Errorf("%s: %b", name, got)
		}
	}
}

func TestAReadersErrorIsNoKind(t *testing.T) {
	broken := errors.New("broken")
	for n := range len(config) {
		set, err := kinds.Of(io.MultiReader(strings.NewReader(config[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || set != 0 {
			t.Fatalf("after %d bytes: %b, %v", n, set, err)
		}
	}
	for _, start := range []string{"\xd2\x84", "SPDXVersion: SPDX-2.3\n"} {
		if set, err := kinds.Of(io.MultiReader(strings.NewReader(start), iotest.ErrReader(broken))); !errors.Is(err, broken) || set != 0 {
			t.Errorf("%q: %b, %v", start, set, err)
		}
	}
}

// An object for this package is one for every other reader, and nearly the other way
// round: the exceptions are bounds, archives, and names that readers take for others.
func FuzzOf(f *testing.F) {
	f.Add([]byte(config))
	for _, seed := range []string{bundle, envelope, simple, statement, spdxText, jose("{}"), sign1("\xa0", "\xa0", "{}", "s"), "{}", `{"a":[1,2e5,"\ud83d\ude00"]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		set, err := kinds.Of(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		slow, err := kinds.Of(iotest.OneByteReader(bytes.NewReader(content)))
		if err != nil || slow != set {
			t.Fatalf("read byte by byte: %b, %v; want %b", slow, err, set)
		}
		object := set&^(kinds.COSE|kinds.SPDXText|kinds.Text) != 0
		if object && (set&kinds.JSON == 0 || !json.Valid(content)) {
			t.Fatalf("%b is not JSON", set)
		}
		v, err := strictjson.Parse(content)
		if err != nil || v.Kind() != strictjson.Object || object || len(content) >= 512 || bytes.ContainsRune(content, '\\') || v.Len() >= 1000 {
			return
		}
		if _, taken := v.Misspelt(kinds.Telling()); !taken {
			t.Fatal("an object is none")
		}
	})
}

func TestAttack_P16_TextIsNoArchiveScriptOrProgram(t *testing.T) {
	octal := func(sum int) string { return fmt.Sprintf("%06o  ", sum) }
	for content, want := range map[string]bool{
		"hello\n": true, "[1]": true, "<x/>": true, "größe: 1\n\f": true, "{}": true, spdxText: true, bundle: true, "070": true,
		"": false, "#!/bin/sh\n": false, "\n #!/bin/sh\n": false, "\ufeff#!/bin/sh\n": false, "!<arch>\n": false, "!<thin>\n": false,
		"070701" + strings.Repeat("0", 104): false, "070707" + strings.Repeat("0", 70): false,
		"\x7fELF": false, "MZ\x90\x00": false, "\x1f\x8b\x08": false, "PK\x03\x04": false, "a\x00b": false, "a\xffb": false, "\xc3": false, "\x1b[31m": false,
		printableTar("bin/sh", "evil", "", octal): false, strings.Repeat(" ", 512) + printableTar("bin/sh", "evil", "", octal): false,
	} {
		if got := ofAll(t, content)&kinds.Text != 0; got != want {
			t.Errorf("%.40q is text: %t, want %t", content, got, want)
		}
	}
}
