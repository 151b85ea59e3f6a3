package verify_test

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/registry"
	"github.com/hallmark-oci/hallmark/registry/registrytest"
	"github.com/hallmark-oci/hallmark/sign"
	"github.com/hallmark-oci/hallmark/verify"
	"github.com/hallmark-oci/hallmark/verify/policy"
)

func platformOf(t testing.TB, text string) v1.Platform {
	t.Helper()
	p, err := registry.ParsePlatform(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlatform_ComparesNormalForms(t *testing.T) {
	w := newWorld(t)
	platforms := []v1.Platform{
		{OS: "linux", Architecture: "arm", Variant: "v6"}, {OS: "linux", Architecture: "arm", Variant: "v7"},
		{OS: "linux", Architecture: "arm64", Variant: "v8"}, {OS: "linux", Architecture: "arm64", Variant: "v9"},
		{OS: "linux", Architecture: "386"}, {OS: "linux", Architecture: "amd64", Variant: "v3"},
		{OS: "windows", Architecture: "amd64", OSVersion: "10.0.17763.5329"}, {OS: "windows", Architecture: "amd64", OSVersion: "10.0.20348.1"},
	}
	index, children, err := registrytest.PushIndex(t.Context(), w.store, w.repo.Tag("forms"), platforms...)
	if err != nil {
		t.Fatal(err)
	}
	w.sign(index, sign.ImageOptions{}, w.trusted)
	v := w.verifier(policy.Signatures{})
	res, err := v.Image(t.Context(), w.store, index)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{
		"linux/arm": 1, "linux/armhf": 1, "linux/arm/v7": 1, "linux/armel": 0, "linux/arm/6": 0, "LINUX/AARCH64": 2, "linux/arm64/v8": 2, "linux/arm64/v9": 3,
		"linux/i386": 4, "linux/i686": 4, "linux/amd64": 5, "linux/amd64/v3": 5, "windows(10.0.17763.1)/amd64": 6, "windows/amd64:10.0.20348.1": 7,
	} {
		if got, err := v.Platform(t.Context(), w.store, res, platformOf(t, text)); err != nil || got.Digest != children[want] {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, reason := range map[string]verify.Reason{
		"linux/amd64/v1": verify.ReasonNoPlatform, "linux/arm/v5": verify.ReasonNoPlatform, "windows(10.0.14393)/amd64": verify.ReasonNoPlatform,
		"windows/amd64": verify.ReasonAmbiguousPlatform,
	} {
		got, err := v.Platform(t.Context(), w.store, res, platformOf(t, text))
		isDenied(t, got, err, reason)
	}
}
