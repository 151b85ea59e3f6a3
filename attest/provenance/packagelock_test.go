package provenance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hallmark-oci/hallmark/attest/provenance"
)

func TestPackageLockGivesLockedPackages(t *testing.T) {
	const registryURL = "https://registry.example/"
	for file, want := range map[string][]string{
		"package-lock.v3.json": {
			"pkg:npm/left@1.3.0 sha512 " + registryURL + "left/-/left-1.3.0.tgz map[]",
			"pkg:npm/%40scope/tool@2.0.0-rc.1 sha1 sha512 " + registryURL + "@scope/tool/-/tool-2.0.0-rc.1.tgz map[dev:true]",
			"pkg:npm/left@1.2.0 sha512 " + registryURL + "left/-/left-1.2.0.tgz map[dev:true]",
			"pkg:npm/real@4.5.6 sha512 " + registryURL + "real/-/real-4.5.6.tgz map[optional:true]",
			"pkg:npm/inner@0.1.0  map[bundled:true]",
			"pkg:npm/fromgit@3.0.0 gitCommit git+ssh://git.example/team/fromgit.git map[]",
			"pkg:npm/both@1.0.0 sha512 " + registryURL + "both/-/both-1.0.0.tgz map[dev:true optional:true]",
		},
		"package-lock.v1.json": {
			"pkg:npm/left@1.3.0 sha512 " + registryURL + "left/-/left-1.3.0.tgz map[]",
			"pkg:npm/right@1.0.0 sha512 " + registryURL + "right/-/right-1.0.0.tgz map[dev:true]",
			"pkg:npm/%40scope/real@4.5.6 sha512 " + registryURL + "real.tgz map[]",
			"pkg:npm/fromgit gitCommit git+https://git.example/team/fromgit.git map[]",
			"pkg:npm/holder@1.0.0 sha512 " + registryURL + "holder.tgz map[]",
			"pkg:npm/inner@0.1.0  map[bundled:true]",
		},
	} {
		facts, err := provenance.PackageLock(readFile(t, "testdata/origin/"+file))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range facts.Dependencies {
			line := d.URI
			for _, algorithm := range []string{"gitCommit", "sha1", "sha512"} {
				if d.Digest[algorithm] != "" {
					line += " " + algorithm
				}
			}
			got = append(got, fmt.Sprint(line, " ", d.DownloadLocation, " ", d.Annotations))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", file, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if text, _ := json.Marshal(facts); strings.Contains(string(text), "secret") || strings.Contains(string(text), "token") {
			t.Errorf("%s: a secret got out", file)
		}
	}
}

func TestPackageLockRefusesWhatDoesNotTell(t *testing.T) {
	entry := func(text string) string {
		return `{"lockfileVersion":3,"packages":{"node_modules/x":{"version":"1.0.0",` + text + `}}}`
	}
	for name, file := range map[string]string{
		"no JSON":               "left@1.0.0:\n",
		"a list":                "[]",
		"no version":            `{"dependencies":{}}`,
		"version 4":             `{"lockfileVersion":4,"packages":{}}`,
		"version 0":             `{"lockfileVersion":0}`,
		"no packages":           `{"lockfileVersion":3}`,
		"dependencies no map":   `{"lockfileVersion":1,"dependencies":[]}`,
		"one package twice":     `{"lockfileVersion":3,"packages":{"node_modules/x":{},"node_modules/x":{}}}`,
		"an entry is no object": `{"lockfileVersion":3,"packages":{"node_modules/x":"1.0.0"}}`,
		"integrity too short":   entry(`"integrity":"sha512-AAAA"`),
		"integrity no base64":   entry(`"integrity":"sha256-!"`),
		"integrity in hex":      entry(`"integrity":"sha1-da39a3ee5e6b4b0d3255bfef95601890afd80709"`),
		"two hashes":            entry(`"integrity":"sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA= sha1-AQAAAAAAAAAAAAAAAAAAAAAAAAA="`),
		"version is a number":   `{"lockfileVersion":3,"packages":{"node_modules/x":{"version":1}}}`,
	} {
		if f, err := provenance.PackageLock([]byte(file)); !errors.Is(err, provenance.ErrOrigin) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func FuzzPackageLock(f *testing.F) {
	f.Add(readFile(f, "testdata/origin/package-lock.v1.json"))
	f.Add(readFile(f, "testdata/origin/package-lock.v3.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		facts, err := provenance.PackageLock(data)
		if err != nil {
			if !errors.Is(err, provenance.ErrOrigin) {
				t.Fatal(err)
			}
			return
		}
		for _, d := range facts.Dependencies {
			if !strings.HasPrefix(d.URI, "pkg:npm/") || strings.ContainsAny(d.DownloadLocation, "?#") {
				t.Fatalf("%+v", d)
			}
		}
	})
}
