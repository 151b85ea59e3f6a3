// Package interop holds tests of Hallmark against code that is not ours, both
// ways: what others write we read, and what we write others read.
//
// The others are cosign v2 (as a program and as a library) and v3, sigstore-go,
// sigstore's and go-securesystemslib's format code, containers/image (the
// library of skopeo, podman and buildah), Debian's skopeo, and as registries
// distribution v3, Debian's docker-registry (distribution 2.8),
// go-containerregistry's and our own, with and without the referrers API. That
// images can be pulled, or that it is seen why they cannot, skopeo, podman,
// containerd, crane, regctl and oras tell. What attackers get past the gate into
// other projects' code is tested in package readers.
//
// # Programs
//
// The tests look for the programs cosign2, cosign3, containers-image (built
// from the module in containersimage), distribution, docker-registry, skopeo,
// podman, containerd, ctr, crane, regctl, oras and oci-conformance in the
// directory that HALLMARK_TOOLS names, then in PATH. Without one, the tests that
// need it are skipped; with HALLMARK_REQUIRE_TOOLS=1 they fail. Everything runs
// on loopback, in temporary directories, with no way out. Unless
// root runs them, podman and containerd need a user namespace, which must be allowed.
package interop
