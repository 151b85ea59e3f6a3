// Package readers holds tests of the gate with the code by which other projects
// pull: containerd's, go-containerregistry's and oras-go's. Each test plays an
// attacker who may push to a repository, and looks at what such a client ends up
// with.
//
// Nothing is installed for them, and everything runs on loopback. It is a package
// apart from interop because none of them imports cosign, which takes minutes to
// compile.
package readers
