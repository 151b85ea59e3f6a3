package registry_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/registry/remote"
)

// registryFor starts a registry that takes nothing before what it lists, and
// returns it with a repository in it.
func registryFor(t testing.TB, noReferrers bool) (*registrytest.Registry, *located) {
	t.Helper()
	r := registrytest.New(registrytest.Options{NoReferrers: noReferrers, RequireContent: true})
	client, err := remote.New(remote.Options{Keychain: credentials{}, RetryDelay: time.Millisecond})
	must(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return r, &located{client, mustRepo(registrytest.Start(t, r) + "/team/app")}
}

func TestCopyBetweenRegistriesAndLayouts(t *testing.T) {
	for _, noReferrers := range [][2]bool{{false, false}, {true, true}, {false, true}, {true, false}} {
		t.Run(fmt.Sprintf("without referrers API: %v", noReferrers), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			_, first := registryFor(t, noReferrers[0])
			_, second := registryFor(t, noReferrers[1])
			middle, _ := newLayout(t)

			must(t, s.copyTo(t, first, registry.CopyOptions{}))
			s.wantAll(t, first)
			_, err := registry.Copy(t.Context(), first, first.repo.Tag("v1"), middle, middle.Tag("v1"), registry.CopyOptions{})
			must(t, err)
			s.wantAll(t, middle)
			_, err = registry.Copy(t.Context(), middle, middle.Tag("v1"), second, second.repo.Tag("v1"), registry.CopyOptions{})
			must(t, err)
			s.wantAll(t, second)

			other := &located{second.Client, mustRepo(second.repo.RegistryStr() + "/elsewhere/app")}
			mounted := 0
			_, err = registry.Copy(t.Context(), first, first.repo.Tag("v1"), other, other.repo.Tag("v1"), registry.CopyOptions{})
			must(t, err)
			s.wantAll(t, other)
			again := &located{second.Client, mustRepo(second.repo.RegistryStr() + "/third/app")}
			_, err = registry.Copy(t.Context(), second, second.repo.Tag("v1"), again, again.repo.Tag("v1"), registry.CopyOptions{
				Progress: func(e registry.CopyEvent) {
					if e.Action == registry.CopyMounted {
						mounted++
					}
				}})
			must(t, err)
			s.wantAll(t, again)
			if mounted == 0 {
				t.Error("nothing was mounted within one registry")
			}
		})
	}
}

func TestCopyAsksARegistryBeforeItSends(t *testing.T) {
	for _, noReferrers := range []bool{false, true} {
		s := newScene(t)
		r, dst := registryFor(t, noReferrers)
		must(t, s.copyTo(t, dst, registry.CopyOptions{}))
		r.ResetRequests()
		must(t, s.copyTo(t, dst, registry.CopyOptions{}))
		var sent []string
		for _, req := range r.Requests() {
			if req.Method != http.MethodGet && req.Method != http.MethodHead {
				sent = append(sent, req.Method+" "+req.Ref)
			}
		}
		if !slices.Equal(sent, []string{"PUT v1"}) {
			t.Errorf("without referrers API %v: sent again: %q", noReferrers, sent)
		}
		t.Logf("without referrers API %v: %d requests to find nothing missing", noReferrers, len(r.Requests()))
	}
}

func TestCopyFindsNoEvidenceInFewRequests(t *testing.T) {
	r, src := registryFor(t, false)
	_, err := registrytest.PushImage(t.Context(), src.Client, src.repo.Tag("v1"), registrytest.ImageOptions{})
	must(t, err)
	r.ResetRequests()
	dst, _ := newLayout(t)
	_, err = registry.Copy(t.Context(), src, src.repo.Tag("v1"), dst, dst.Tag("v1"), registry.CopyOptions{})
	must(t, err)
	var asked []string
	for _, req := range r.Requests() {
		if req.Kind != registrytest.KindPing {
			asked = append(asked, req.Method+" "+req.Ref)
		}
	}
	// The image, its config and layer, and the five places for evidence.
	if len(asked) > 8 {
		t.Errorf("%d requests: %s", len(asked), strings.Join(asked, ", "))
	}
}
