// Package interop tests Hallmark with other projects' code, in both directions: Hallmark
// reads what they write, and they read what Hallmark writes.
//
// The other projects are:
//
//   - writers and readers of evidence: cosign v2 as a program and as a library, cosign v3,
//     sigstore-go, and the format code of sigstore and go-securesystemslib
//   - readers of images: containers/image, and Debian's skopeo
//   - clients of the gate: skopeo, podman, containerd, crane, regctl and oras
//   - services of Sigstore, on loopback: Fulcio, TesseraCT, Rekor v1 and v2, and the
//     timestamp authority, see package sigstorestack
//   - sigstore-js, for what files are signed with
//   - registries, with and without the referrers API: distribution v3, Debian's
//     docker-registry (distribution 2.8), go-containerregistry's and our own
//
// Package readers tests what an attacker gets past the gate into other projects' code.
// Package sigstorego compares the verification of bundles with sigstore-go's.
//
// # Programs
//
// The tests look for their programs in the directory that HALLMARK_TOOLS names, then in
// PATH. The programs are:
//
//   - cosign2, cosign3, skopeo, podman, containerd, ctr, crane, regctl, oras
//   - distribution, docker-registry, oci-conformance
//   - containers-image, built from the module in containersimage
//   - fulcio, tesseract, rekor-tiles, rekor-server, trillian, timestamp-server, sigstore-js
//
// A test whose program is missing is skipped, or fails if HALLMARK_REQUIRE_TOOLS is 1.
// Tests run on loopback, in temporary directories. Without root, podman and containerd
// need a user namespace.
package interop
