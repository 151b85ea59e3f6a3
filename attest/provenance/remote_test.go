package provenance

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hallmark-oci/hallmark/attest/predicate"
)

func TestRemoteURI_Forms(t *testing.T) {
	for text, want := range map[string]string{
		"https://git.example/team/app.git":           "https://git.example/team/app.git",
		"HTTPS://git.example:8443/team/app":          "https://git.example:8443/team/app",
		"http://git.example/app/":                    "http://git.example/app/",
		"https://git.example":                        "https://git.example/",
		"https://git.example:/app":                   "https://git.example/app",
		"ssh://git@git.example/app":                  "ssh://git.example/app",
		"ssh://git@git.example:2222/~user/app":       "ssh://git.example:2222/~user/app",
		"git+ssh://git@git.example/app":              "ssh://git.example/app",
		"ssh+git://git.example/app":                  "ssh://git.example/app",
		"git+https://git.example/app":                "https://git.example/app",
		"git://git.example/app":                      "git://git.example/app",
		"ftps://git.example/app":                     "ftps://git.example/app",
		"git@git.example:a.git":                      "ssh://git.example/a.git",
		"git.example:team/app":                       "ssh://git.example/team/app",
		"host:path":                                  "ssh://host/path",
		"host:/srv/git/app":                          "ssh://host/srv/git/app",
		"host:~user/app":                             "ssh://host/~user/app",
		"host:22/app":                                "ssh://host/22/app",
		"[host:2222]:app":                            "ssh://host:2222/app",
		"[git@host:2222]:app":                        "ssh://host:2222/app",
		"git@[2001:db8::1]:app":                      "ssh://[2001:db8::1]/app",
		"[::1]:app":                                  "ssh://[::1]/app",
		"ssh://git@[2001:db8::1]:22/app":             "ssh://[2001:db8::1]:22/app",
		"https://[::1]/app":                          "https://[::1]/app",
		"https://git.example/my app.git":             "https://git.example/my%20app.git",
		"https://git.example/my%20app":               "https://git.example/my%20app",
		"https://git.example/100%/app":               "https://git.example/100%25/app",
		"https://git.example/größe":                  "https://git.example/gr%C3%B6%C3%9Fe",
		"https://git.example/latin-\xe9":             "https://git.example/latin-%E9",
		"https://bücher.example/app":                 "https://b%C3%BCcher.example/app",
		"https://git.example/a[1]{2}|3^\"<4>`":       "https://git.example/a%5B1%5D%7B2%7D%7C3%5E%22%3C4%3E%60",
		"git@git.example:my app.git":                 "ssh://git.example/my%20app.git",
		"git@git.example:größe#1%41":                 "ssh://git.example/gr%C3%B6%C3%9Fe%231%2541",
		"https://user:S3CR3T@git.example/app":        "https://git.example/app",
		"https://S3CR3T@git.example/app":             "https://git.example/app",
		"https://u:S3@CR3T@git.example/app":          "https://git.example/app",
		"https://u:S3CR3T x@git.example/app":         "https://git.example/app",
		"https://git.example/app?token=S3CR3T":       "https://git.example/app",
		"https://git.example/app#S3CR3T":             "https://git.example/app",
		"https://git.example/auth-token-server/app":  "https://git.example/auth-token-server/app",
		"https://dev.example/org/project/_git/a%20b": "https://dev.example/org/project/_git/a%20b",
	} {
		if got, why := remoteURI(text); got != want || why != "" {
			t.Errorf("%s: %q, %q; want %q", text, got, why, want)
		}
	}
}

func TestRemoteURI_LeftOut(t *testing.T) {
	for text, want := range map[string]string{
		"":                            remoteEmpty,
		`C:\repos\app`:                remoteLocal,
		"C:/repos/app":                remoteLocal,
		"c:app":                       remoteLocal,
		"C://repos/app":               remoteLocal,
		`\\server\share\app`:          remoteLocal,
		"//server/share/app":          remoteLocal,
		`..\app`:                      remoteLocal,
		"../app":                      remoteLocal,
		"./a:b":                       remoteLocal,
		".":                           remoteLocal,
		"app":                         remoteLocal,
		"repos/app:x":                 remoteLocal,
		"/srv/git/app":                remoteLocal,
		"~/app":                       remoteLocal,
		"~user/app":                   remoteLocal,
		"/home/größe/my app":          remoteLocal,
		"file:///C:/repos/app":        remoteLocal,
		"file:///srv/git/app":         remoteLocal,
		"FILE://server/share/app":     remoteLocal,
		"git+file:///srv/git/app":     remoteLocal,
		"ext::sh -c 'echo S3CR3T'":    remoteHelper,
		"codecommit::eu-west-1://app": remoteHelper,
		"persistent-https::app":       remoteHelper,
		"https://git.example/../app":  remoteSegments,
		"https://h/team/%2E%2e/evil":  remoteSegments,
		"host:../app":                 remoteSegments,
		"https:///app":                remoteInvalid,
		"https://":                    remoteInvalid,
		"https://git.example:x/app":   remoteInvalid,
		"ssh://git@host:team/app.git": remoteInvalid,
		"https://git.example:99999/a": remoteInvalid,
		"https://git example/app":     remoteInvalid,
		"https://git%2eexample/app":   remoteInvalid,
		"https://[fe80::1%25eth0]/a":  remoteInvalid,
		"https://[::1/app":            remoteInvalid,
		"git@:app":                    remoteInvalid,
		"host:":                       remoteInvalid,
		"https://git.example/a\nb":    remoteInvalid,
	} {
		if got, why := remoteURI(text); got != "" || why != want {
			t.Errorf("%q: %q, %q; want %q", text, got, why, want)
		}
	}
}

func TestAttack_S5_RemotesWithPasswordsAreLeftOut(t *testing.T) {
	for _, text := range []string{
		"https://user:S3/CR3T@git.example/app", "https://user:12/S3CR3T@git.example/app", "https://S3CR3T/x@git.example/app",
		"https://user:S3?CR3T@git.example/app", "https://user:S3#CR3T@git.example/app", "ssh://user:12/S3CR3T@git.example/app",
		"user:S3CR3T@git.example:app", "https:user:S3CR3T@git.example/app", "https:/user:S3CR3T@git.example/app", "S3CR3T:x@git.example:app",
		"https://git.example/glpat-S3CR3TS3CR3TS3CR3T/app", "https:/git.example/app?token=S3CR3T", "git@git.example:ghp_S3CR3TS3CR3TS3CR3T/app",
	} {
		if got, why := remoteURI(text); got != "" || why != remoteSecret {
			t.Errorf("%s: %q, %q; want %q", text, got, why, remoteSecret)
		}
	}
}

func TestRefsInURIsAreEscaped(t *testing.T) {
	for ref, want := range map[string]string{
		"":                         "https://h/a",
		"refs/heads/main":          "https://h/a@refs/heads/main",
		"refs/heads/größe":         "https://h/a@refs/heads/gr%C3%B6%C3%9Fe",
		"refs/heads/x#12":          "https://h/a@refs/heads/x%2312",
		"refs/heads/100%25":        "https://h/a@refs/heads/100%2525",
		"refs/heads/a@b":           "https://h/a@refs/heads/a@b",
		"refs/heads/{a}|\"b\"<c>`": "https://h/a@refs/heads/%7Ba%7D%7C%22b%22%3Cc%3E%60",
	} {
		if got := withRef("https://h/a", ref); got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
	}
}

func FuzzRemoteURI(f *testing.F) {
	f.Add("git@host:a.git", "refs/heads/x#1")
	for _, seed := range []string{
		"https://u:p@host:1/a b?c#d", `C:\a`, "[::1]:a", "ssh://[::1]:22/ä", "ext::x", "host:a@b", "https://h/%2e%2E/%zz", "a+b://c",
	} {
		f.Add(seed, "refs/heads/main")
	}
	f.Fuzz(func(t *testing.T, text, ref string) {
		uri, why := remoteURI(text)
		if (uri == "") == (why == "") {
			t.Fatalf("%q: %q and %q", text, uri, why)
		}
		if uri == "" {
			return
		}
		full := withRef(uri, ref)
		u, err := url.Parse(full)
		if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Contains(uri, "@") {
			t.Fatalf("%q: %q, %v", text, full, err)
		}
		for i := range len(full) {
			if full[i] <= ' ' || full[i] >= utf8.RuneSelf-1 {
				t.Fatalf("%q: %q", text, full)
			}
		}
		id := strings.Repeat("a", 40)
		p, err := New("https://ci.example/builder", Facts{BuildType: "https://example.com/b", Dependencies: []predicate.ResourceDescriptor{sourceAt(uri, ref, id)}})
		if err != nil || p.Sources()[0].URI != "git+"+uri {
			t.Fatalf("%q: %v, %v", text, p, err)
		}
	})
}
