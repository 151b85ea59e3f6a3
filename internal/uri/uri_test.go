package uri_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/internal/uri"
)

func TestIsAbsolute_TellsURIsFromOtherText(t *testing.T) {
	for _, text := range []string{"https://ci.example/builder", "urn:uuid:1", "git+ssh://git@git.example/app@refs/heads/main", "x:y", "pkg:oci/app?arch=amd64#x"} {
		if !uri.IsAbsolute(text) {
			t.Errorf("%q is refused", text)
		}
	}
	for _, text := range []string{
		"", ":", "x:", ":x", "app", "tekton.dev/v1beta1/TaskRun", "gcr.io/a@sha256:ab", "git@host:a.git", "1x:y", "gce_image://x",
		"https://ci.ex\u0430mple", "https://ci.example/a b", "https://ci.example/\"", "x:y\n", "x:\x7f",
	} {
		if uri.IsAbsolute(text) {
			t.Errorf("%q passes", text)
		}
	}
}
