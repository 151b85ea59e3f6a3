// Package layout is a [registry.Store] in a directory or a tar file: an OCI image layout,
// for offline and air-gapped use.
//
//	l, err := layout.Open("images", layout.Options{Create: true})
//	digest, err := registry.Copy(ctx, client, from, l, l.Tag("v1"), registry.CopyOptions{})
//
// [Open] opens a layout in a directory, [OpenArchive] one in a tar file. A tar file is
// written whole, by [Layout.Commit]:
//
//	l, err := layout.OpenArchive("app.tar", layout.Options{Create: true})
//	defer l.Close()
//	digest, err := registry.Copy(ctx, client, from, l, l.Tag("v1"), registry.CopyOptions{})
//	err = l.Commit(ctx)
//
// [Locate] finds the store that a reference points into, in a registry or in a layout.
// [Layout] says how tags and referrers stand in the files, and what is verified.
//
// # Limits
//
// [Options] bounds each manifest (4 MiB), index.json (16 MiB, 20,000 entries), blobs read
// without a size (4 GiB), and the members of a tar file (100,000).
//
// # Errors
//
// Errors are *registry.Error, with a kind for errors.Is.
//
// Source: OCI Image Format Specification v1.1, image-layout.md.
package layout
