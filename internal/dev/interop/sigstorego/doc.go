// Package sigstorego compares the verification of Sigstore bundles with sigstore-go's.
//
// Both judge the same bundles by the same trust root: those of the conformance suite, those
// that an instance in memory makes, and mutants of both with one defect each. The mutants
// are the same in every run. A defect is made in the JSON, or by whoever signs: the
// authority, a log, the timestamp authority or the signer.
//
// Each difference must be one that the documentation of package verify/sigstore explains,
// and each explanation there must be needed.
package sigstorego
