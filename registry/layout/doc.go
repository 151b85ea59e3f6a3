// Package layout is a [registry.Store] in a directory: an OCI image layout, for offline
// and air-gapped use.
//
// [Open] opens one, and [Locate] finds the store that a reference points into, in a
// registry or in a layout.
//
// Source: OCI Image Format Specification v1.1, image-layout.md.
package layout
