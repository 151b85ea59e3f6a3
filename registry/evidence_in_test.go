package registry_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/registry"
)

func TestParseRepository_NeedsARegistry(t *testing.T) {
	if repo, err := registry.ParseRepository("registry.example:5000/team/signatures"); err != nil || repo.Name() != "registry.example:5000/team/signatures" {
		t.Errorf("%s, %v", repo, err)
	}
	for _, text := range []string{"", "signatures", "team/signatures", "https://registry.example/a", "registry.example/a:tag", "registry.example/A", "registry.example/"} {
		repo, err := registry.ParseRepository(text)
		if err == nil {
			t.Errorf("%q is read as %s", text, repo)
			continue
		}
		wantError(t, text, err, registry.ErrReference)
	}
}
