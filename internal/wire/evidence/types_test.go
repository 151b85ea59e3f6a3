package evidence_test

import (
	"testing"

	"github.com/hallmark-oci/hallmark/internal/wire/evidence"
	"github.com/hallmark-oci/hallmark/internal/wire/kinds"
)

func TestMediaTypesSayWhatContentMayBe(t *testing.T) {
	for mediaType, want := range map[string]kinds.Set{
		"application/vnd.dev.sigstore.bundle.v0.3+json":        kinds.Bundle,
		"application/vnd.dev.sigstore.bundle+json;version=0.2": kinds.Bundle,
		"application/vnd.cyclonedx+json; version=1.5":          kinds.JSON,
		"application/vnd.cyclonedx+xml":                        0,
		"application/vnd.in-toto.spdx+dsse":                    kinds.Envelope,
		"application/vnd.in-toto.spdx+json":                    kinds.Statement,
		"application/vnd.in-toto.spdx":                         0,
		"application/vnd.oci.image.layer.v1.tar+gzip":          0,
		"application/octet-stream":                             0,
		"":                                                     0,
		"text/plain":                                           0,
		"application/vnd.oci.empty.v1+json":                    kinds.Empty,
	} {
		if got := evidence.KindsOfLayer(mediaType); got != want {
			t.Errorf("layer %s: %b, want %b", mediaType, got, want)
		}
	}
	for mediaType, want := range map[string]kinds.Set{
		"application/vnd.oci.image.config.v1+json":        kinds.Inert | kinds.Empty,
		"application/vnd.docker.container.image.v1+json":  kinds.Inert | kinds.Empty,
		"application/vnd.dev.cosign.artifact.sig.v1+json": kinds.Inert | kinds.Empty,
		"application/vnd.oci.empty.v1+json":               kinds.Empty,
		"application/vnd.cncf.notary.signature":           kinds.Empty,
		"application/vnd.dev.sigstore.bundle.v0.3+json":   kinds.Inert | kinds.Empty,
		"application/vnd.acme.config":                     kinds.Empty, "application/vnd.oci.image.layer.v1.tar": 0,
	} {
		if got := evidence.KindsOfConfig(mediaType); got != want {
			t.Errorf("config %s: %b, want %b", mediaType, got, want)
		}
	}
}

func TestFormatOf_WhatIsReadPassesAGate(t *testing.T) {
	for mediaType, want := range map[string]evidence.Format{
		"application/vnd.dev.sigstore.bundle.v0.3+json":        evidence.FormatBundle,
		"application/vnd.dev.sigstore.bundle+json;version=0.1": evidence.FormatBundle,
		"application/vnd.dev.sigstore.bundle+json":             "",
		"application/vnd.dev.sigstore.bundle.v0.2+json":        "",
		"application/vnd.dev.cosign.simplesigning.v1+json":     evidence.FormatSimpleSigning,
		"application/vnd.dsse.envelope.v1+json":                evidence.FormatEnvelope,
		"application/vnd.dsse.envelope.v1+json;x=y":            "",
		"application/vnd.in-toto+json":                         evidence.FormatStatement,
		"application/vnd.cyclonedx+json":                       "",
		"":                                                     "",
	} {
		got := evidence.FormatOf(mediaType)
		if got != want {
			t.Errorf("%s is read as %q, want %q", mediaType, got, want)
		}
		if got != "" && (evidence.KindsOfLayer(mediaType) == 0 || !evidence.MayCarry(mediaType)) {
			t.Errorf("%s is read, and does not pass or is not fetched", mediaType)
		}
	}
	for artifactType, want := range map[string]bool{
		"": true, "application/vnd.oci.empty.v1+json": true, "application/vnd.oci.image.config.v1+json": true,
		"application/vnd.dev.sigstore.bundle.v9+json": true, "application/vnd.dev.cosign.artifact.sig.v1+json": true,
		"application/vnd.cyclonedx+json": false, "application/x-sbom": false,
	} {
		if got := evidence.MayCarry(artifactType); got != want {
			t.Errorf("a manifest of type %q may carry what is read: %v, want %v", artifactType, got, want)
		}
	}
}
