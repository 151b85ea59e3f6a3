package provenance

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// What an argument holds, the command prints in every way that it can.
func TestAttack_S5_WhatIsRedactedInArgumentsIsSoInTheOutput(t *testing.T) {
	for _, secret := range []string{"hunter2-S3CR3T", `a "b" & c\S3CR3T'd+e`, "line one S3CR3T\nand two S3CR3T\n", "ünïcode-S3CR3T/x=", "abcd"} {
		for label, command := range map[string][]string{
			"option":      {"tool", "--token", secret},
			"assignment":  {"tool", "--password=" + strconv.Quote(secret)},
			"environment": nil,
			"named":       {},
		} {
			var env, named []string
			switch label {
			case "assignment":
				if strings.Contains(secret, "\n") || strings.Contains(secret, "ü") {
					continue // a shell does not read it as Go does
				}
			case "environment":
				env = []string{"API_TOKEN=" + secret}
			case "named":
				named = []string{secret}
			}
			known, more := commandSecrets(command, env, named)
			if more {
				t.Fatal("too many")
			}
			for shown, output := range shownAs(strings.TrimSpace(secret)) {
				text := "before\n" + output + "\nafter\n"
				got := string(redactTail(text, 1<<20, known))
				if !strings.HasPrefix(got, "before\n") || !strings.HasSuffix(got, "\nafter\n") {
					t.Errorf("%s of %q, shown as %s: %q", label, secret, shown, got)
				}
				if tells(got, secret) {
					t.Errorf("%s of %q, shown as %s: %q", label, secret, shown, got)
				}
			}
		}
	}
}

// tells reports whether a text tells a good part of a secret.
func tells(text, secret string) bool {
	for _, word := range strings.Fields(secret) {
		if len(word) >= minSecret && strings.Contains(lowerASCII(text), lowerASCII(word)) {
			return true
		}
	}
	for offset := range 3 {
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			if part := base64Within(e, strings.TrimSpace(secret), offset); strings.Contains(strings.ReplaceAll(text, "\n", ""), part) {
				return true
			}
		}
	}
	return strings.Contains(lowerASCII(strings.ReplaceAll(text, "\n", "")), hex.EncodeToString([]byte(strings.TrimSpace(secret))))
}

func shownAs(secret string) map[string]string {
	quoted, _ := json.Marshal(map[string]string{"key": "x" + secret + "y"})
	return map[string]string{
		"itself": secret, "within": "<" + secret + ">", "JSON": string(quoted), "%q": fmt.Sprintf("%q", secret), "terminal": strings.ReplaceAll(secret, "\n", "\r\n"),
		"query": "q=" + url.QueryEscape(secret) + "&x", "path": "/" + url.PathEscape(secret), "%20": strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"), "lower": strings.ToLower(url.QueryEscape(secret)),
		"HTML": html.EscapeString(secret), "base64": base64.StdEncoding.EncodeToString([]byte(secret)), "URL base64": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"login": "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+secret)), "base64 x": base64.StdEncoding.EncodeToString([]byte("x" + secret + "yz")),
		"wrapped": wrapped(base64.StdEncoding.EncodeToString([]byte("{\"auth\":\"" + secret + "\"}"))),
		"hex":     hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))), "upper": strings.ToUpper(secret),
	}
}

func wrapped(s string) string {
	var lines []string
	for ; len(s) > 12; s = s[12:] {
		lines = append(lines, s[:12])
	}
	return strings.Join(append(lines, s), "\n")
}

func TestAttack_S5_PartsOfAnArgumentAreSecretByThemselves(t *testing.T) {
	for _, c := range []struct {
		command []string
		output  string
	}{
		{[]string{"git", "clone", "https://user:p%40S3CR3T@host/x"}, "password p@S3CR3T"},
		{[]string{"git", "clone", "https://S3CR3T0@host/x"}, "got S3CR3T0"},
		{[]string{"curl", "https://host/x?a=1&sig=S3CR3T%2Fx"}, "signature S3CR3T/x"},
		{[]string{"curl", "-H", "Authorization: Bearer S3CR3T00"}, "S3CR3T00"},
		{[]string{"curl", "-H", "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("u:S3CR3T"))}, "u logs in by S3CR3T"},
		{[]string{"curl", "-H", "Cookie: id=S3CR3T; other=x"}, "id S3CR3T"},
		{[]string{"curl", "-d", `{"token": "S3CR3T"}`}, "got S3CR3T."},
		{[]string{"sh", "-c", `API_KEY="a S3CR3T" make`}, "+ a S3CR3T"},
		{[]string{"sh", "-c", `API_KEY=a\ S3CR3T make`}, "+ a S3CR3T"},
		{[]string{"sh", "-c", `tool --token S3CR3T`}, "S3CR3T"},
		{[]string{"tool", secretKey}, "  S3CR3T" + strings.Repeat("x", 58) + "  "},
		{[]string{"tool", "--pin-token", "S3"}, "the pin is S3, he said"},
		{[]string{"tool", "--token", "ghp_0123456789abcdefABCDEF0123"}, "ghp_0123456789abcdefABCDEF0123"},
	} {
		known, _ := commandSecrets(c.command, nil, nil)
		if got := string(redactTail("a\n"+c.output+"\nb\n", 1<<20, known)); strings.Contains(got, "S3") || !strings.HasPrefix(got, "a\n") || !strings.HasSuffix(got, "\nb\n") {
			t.Errorf("%q: %q", c.command, got)
		}
	}
}

func TestAttack_S5_WhatIsSecretInOneArgumentIsSoInAnother(t *testing.T) {
	got := redactCommand([]string{"tool", "--token", "S3CR3T0", "--comment", "it is S3CR3T0", "--url=https://h/S3CR3T0/x"}, nil)
	if strings.Contains(strings.Join(got, " "), "S3CR3T") {
		t.Errorf("%q", got)
	}
}

func TestVariablesThatHoldNoSecretStayInTheOutput(t *testing.T) {
	known, _ := commandSecrets([]string{"make", "--auth=true"}, []string{"PATH=/usr/bin", "USE_TOKEN=true", "TOKEN_TTL=60", "HOME=/root", "EMPTY_TOKEN="}, []string{""})
	const output = "true 60 /usr/bin /root\n"
	if got := string(redactTail(output, 100, known)); got != output {
		t.Errorf("%q; known are %q", got, known)
	}
}

func TestAttack_S5_TwoStreamsHideNoSecretInEachOther(t *testing.T) {
	tail := &tailWriter{limit: 1000}
	stdout, stderr := tail.beside(nil), tail.beside(nil)
	for _, c := range []byte("token S3CR3T0 end\n") {
		_, _ = stdout.Write([]byte{c})
		_, _ = stderr.Write([]byte("w\n"))
	}
	got := redactTail(string(tail.bytes()), 1000, []string{"S3CR3T0"})
	if !bytes.Contains(got, []byte("token [redacted] end\n")) {
		t.Errorf("%q", got)
	}
}

func TestAttack_S5_ALineLongerThanTheTailIsNotKeptInPart(t *testing.T) {
	tail := &tailWriter{limit: 100}
	w := tail.beside(nil)
	for range 50 {
		_, _ = w.Write([]byte("0123456789S3CR3T0"))
	}
	_, _ = w.Write([]byte("\nend\n"))
	if got := string(redactTail(string(tail.bytes()), 50, []string{"S3CR3T0"})); got != "end\n" {
		t.Errorf("%q", got)
	}
}

func TestAttack_S5_TooManySecretsLeaveTheOutputOut(t *testing.T) {
	command := []string{"sh", "-c", "echo done", "sh"}
	for i := range maxSecrets + 1 {
		command = append(command, fmt.Sprintf("--token=S3CR3T%d", i))
	}
	r, err := Record(t.Context(), RecordOptions{Command: command, Dir: t.TempDir(), OutputTail: 100})
	if err != nil {
		t.Skipf("needs a shell: %v", err)
	}
	if f := r.Facts(); r.Output != nil || r.OutputLeftOut == "" || len(f.Byproducts) != 0 || f.InternalParameters["outputLeftOut"] != r.OutputLeftOut {
		t.Errorf("%+v", f)
	}
}

func FuzzRedactTail(f *testing.F) {
	f.Add("token S3CR3T end\n", "S3CR3T", 100)
	f.Add("a\r\nb%41\n", "a\nb", 3)
	f.Add("https://u:p@h?x", "p@", 10)
	f.Fuzz(func(t *testing.T, output, secret string, limit int) {
		limit = max(1, min(limit, 1<<16))
		got := string(redactTail(output, limit, parts(secret)))
		secret = strings.TrimSpace(secret)
		if len(got) > limit {
			t.Errorf("%d bytes, the limit is %d", len(got), limit)
		}
		if len(secret) >= minSecret && !strings.Contains(redacted, secret) && strings.Contains(strings.ReplaceAll(got, redacted, "\x00"), secret) {
			t.Errorf("%q holds %q", got, secret)
		}
	})
}
