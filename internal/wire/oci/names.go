package oci

import (
	"fmt"

	"github.com/hallmark-oci/hallmark/internal/strictjson"
)

// The members that the specifications name, of manifests and indexes together.
// Source: OCI Image Format Specification v1.1, manifest.md, image-index.md,
// descriptor.md; Docker Image Manifest Version 2, Schema 2.
var (
	rootNames       = []string{"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations", "fsLayers", "history"}
	plainNames      = []string{"schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"}
	descriptorNames = []string{"mediaType", "digest", "size", "artifactType", "annotations", "data", "urls", "platform"}
	platformNames   = []string{"os", "architecture", "variant", "os.version", "os.features", "features"}
)

// exactNames refuses a member whose name differs from a known one in case alone.
// encoding/json, and with it most clients, takes such a member for the known one.
func exactNames(v strictjson.Value, known []string) error {
	if name, found := v.Misspelt(known); found {
		return fmt.Errorf("%w: a member is spelt %.40q", ErrMalformed, name)
	}
	return nil
}

// Plain reports whether a manifest that Parse has read holds only members that the
// OCI specification names for one: no reader can find more in it than Parse did.
func Plain(data []byte) bool {
	root, err := strictjson.Parse(data)
	if err != nil || !root.Only(plainNames) || !root.Get("config").Only(descriptorNames) || !root.Get("subject").Only(descriptorNames) {
		return false
	}
	for layer := range root.Get("layers").Elems() {
		if !layer.Only(descriptorNames) {
			return false
		}
	}
	return true
}
