// Package sigstore verifies evidence that certificates, logs and timestamps make: what
// Fulcio, Rekor and RFC 3161 timestamp authorities issue.
//
//	root, err := sigstore.ParseRoot(text)
//	b, err := sigstore.ParseBundle(data)
//	leaf, err := sigstore.ParseLeaf(b.Certificate)   // who signed, before any crypto
//	found, err := root.VerifyLeaf(leaf, evidence, sigstore.Demands{Logs: 1, CTLogs: 1, Times: 1}, now)
//
// A [Root] keeps which certificates it has verified: each costs its chain once. Nothing
// here asks a network, and everything is bounded: see the Max constants.
//
// Sources: sigstore/protobuf-specs (bundle, trust root, JSON mapping), fulcio
// docs/oid-info.md, rekor and rekor-tiles types, RFC 6962 (logs, SCTs), RFC 3161 and
// 5652 (timestamps), C2SP signed-note and tlog-checkpoint.
package sigstore
