// Package steps says who did what in a build of several steps, and checks it:
// in-toto links and layouts.
//
// A [Link] is what one step read and made; whoever has performed the step, the
// functionary, signs it with [SignLink]. A [Layout] says which steps there must
// be, by whom, and how the files of one step come from those of another; the
// owners of the project sign it with [SignLayout]. [Verify] judges an image
// digest by a layout and the links of its build. Links travel as attestations
// on the image: see [LinkPredicate].
//
// A signed link or layout is a DSSE envelope whose payload is the link or layout
// itself, as in-toto-golang v0.11 reads and writes it (its Envelope). The older
// form, with "signed" and "signatures", is not read: its signatures cover a
// canonical form of what was parsed, so that what was verified would not be what
// is used. Nor is what in-toto-golang v0.11 itself writes into an envelope where a
// text holds a line break, as the PEM of an RSA or ECDSA key in a layout does:
// that is no JSON, and it cannot read it either. Layouts and links of in-toto for
// Python, and all that [SignLayout] and [SignLink] write, are read by both.
//
// # What Verify does not say
//
// A link is the word of a functionary: nothing here can tell that a command
// really ran, or that a file came from where a link says. A MATCH rule connects
// what a link lists; where a step must have read something, say so with a
// REQUIRE rule. The layout's expected command is compared, and a difference is
// reported in the result and no more, as the specification demands. Byproducts
// and the environment are not judged.
//
// # What is left out
//
// Inspections run commands on the machine that verifies: a layout that has some
// is refused, and nothing is ever run. Sublayouts, certificate authorities and
// parameters to be substituted are refused too, rather than passed over.
//
// # Names of artifacts
//
// An artifact's name is a relative path with slashes and without ".", ".." or
// empty parts, backslashes or control characters, so that two spellings never
// mean one file. Names that differ in case are different files. Every artifact has
// a sha256.
//
// # Concurrency
//
// All functions are safe for concurrent use. They read and write no files, run no
// commands and print nothing.
//
// # Sources
//
//   - in-toto specification v1.0: 4.2 (keys, dates, hashes), 4.3 (layouts, steps,
//     artifact rules), 4.4 (links), 5.2 (verification)
//   - in-toto enhancement ITE-5: links and layouts in DSSE envelopes
//   - DSSE v1.0: protocol.md and envelope.md
//   - in-toto-golang v0.11.0, whose rules of artifacts are used, and whose key IDs
package steps
