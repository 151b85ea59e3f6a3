package registrytest_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
)

func mustRepo(t testing.TB, s string) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(s, name.StrictValidation)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func TestStore_KeepsTheContract(t *testing.T) {
	for what, o := range map[string]registrytest.Options{
		"zero options":        {},
		"without referrers":   {NoReferrers: true},
		"content is required": {RequireContent: true},
	} {
		t.Run(what, func(t *testing.T) {
			registrytest.TestStore(t, func(t *testing.T) (registry.Store, name.Repository) {
				return registrytest.New(o).Store(), mustRepo(t, "registry.example/team/app")
			})
		})
	}
}

func TestStore_KeepsTheContractBehindHooks(t *testing.T) {
	registrytest.TestStore(t, func(t *testing.T) (registry.Store, name.Repository) {
		return registrytest.Faulty(registrytest.New(registrytest.Options{}).Store(), registrytest.Hooks{}), mustRepo(t, "registry.example/team/app")
	})
}
