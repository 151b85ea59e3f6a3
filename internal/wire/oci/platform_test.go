package oci_test

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hallmark-oci/hallmark/internal/wire/oci"
)

func TestFitOf_ComparesAsContainerdDoes(t *testing.T) {
	for _, c := range []struct {
		want, have string
		fit        oci.Fit
	}{
		{"linux/amd64", "Linux/X86_64", oci.FitExact},
		{"linux/amd64", "linux/amd64/V1", oci.FitExact},
		{"linux/amd64", "linux/amd64/v3", oci.FitVariant},
		{"linux/amd64/v3", "linux/amd64", oci.FitLower},
		{"linux/amd64", "linux/i386", oci.FitLower},
		{"linux/amd64", "linux/arm64", oci.FitNone},
		{"linux/amd64", "windows/amd64", oci.FitNone},
		{"linux/amd64", "/amd64", oci.FitDoubtful},
		{"linux/amd64", "linux/", oci.FitDoubtful},
		{"linux/arm64", "linux/aarch64/8", oci.FitExact},
		{"linux/arm64/v8", "linux/arm64", oci.FitExact},
		{"linux/arm64/v8", "linux/arm64/v9", oci.FitLower},
		{"linux/arm64/v9", "linux/arm64/9.0", oci.FitExact},
		{"linux/arm64", "linux/arm/v7", oci.FitLower},
		{"linux/arm", "linux/arm", oci.FitVariant},
		{"linux/arm", "linux/armel", oci.FitVariant},
		{"linux/arm/v7", "linux/arm", oci.FitExact},
		{"linux/arm/6", "linux/armel/v7", oci.FitExact},
		{"linux/386", "linux/i686", oci.FitExact},
		{"darwin/arm64", "macOS/arm64", oci.FitExact},
		{"windows/amd64:10.0.1.2", "windows/amd64:10.0.1.9", oci.FitDoubtful},
		{"windows/amd64:10.0.1.2", "windows/amd64", oci.FitDoubtful},
		{"windows/amd64:10.0.1.2", "windows/amd64:10.0.2.2", oci.FitLower},
	} {
		want, err := v1.ParsePlatform(c.want)
		if err != nil {
			t.Fatal(err)
		}
		have, err := v1.ParsePlatform(c.have)
		if err != nil {
			t.Fatal(err)
		}
		if fit := oci.FitOf(have, *want); fit != c.fit {
			t.Errorf("%s for %s: %d, want %d", c.have, c.want, fit, c.fit)
		}
	}
	if fit := oci.FitOf(nil, v1.Platform{OS: "linux", Architecture: "amd64"}); fit != oci.FitDoubtful {
		t.Errorf("no platform: %d", fit)
	}
}

func TestParsePlatform_GivesNormalForms(t *testing.T) {
	for text, want := range map[string]string{
		"linux/amd64": "linux/amd64", "Linux/X86_64": "linux/amd64", "linux/x86-64": "linux/amd64", "linux/i386": "linux/386", "linux/i686": "linux/386",
		"linux/arm64": "linux/arm64", "linux/aarch64": "linux/arm64", "linux/arm64/v8": "linux/arm64/v8", "linux/arm64/8": "linux/arm64/v8",
		"linux/arm": "linux/arm/v7", "linux/armhf": "linux/arm/v7", "linux/armel": "linux/arm/v6", "linux/arm/6": "linux/arm/v6",
		"macos/arm64": "darwin/arm64", "windows(10.0.17763)/amd64": "windows/amd64:10.0.17763", "windows/amd64:10.0.17763.5329": "windows/amd64:10.0.17763.5329",
	} {
		got, err := oci.ParsePlatform(text)
		if err != nil || got.String() != want {
			t.Errorf("%s: %s, %v, want %s", text, got.String(), err, want)
		}
	}
	for _, text := range []string{"", "linux", "/amd64", "linux/", "linux//v8", "linux/arm64/", "a/b/c/d", "lin ux/amd64", "windows(10.0/amd64", "linux/amd64\n", "linux/ämd64"} {
		if got, err := oci.ParsePlatform(text); err == nil {
			t.Errorf("%q is %s", text, got.String())
		}
	}
}
