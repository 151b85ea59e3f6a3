// Package steps signs and verifies in-toto layouts and links, which say who performed
// each step of a build.
//
// A [Link] lists the files that one step read and made. The functionary who
// performs the step signs the link with [SignLink]. A [Layout] names the steps,
// the functionaries of each step, and the rules by which files pass between
// steps. The owners of the project sign the layout with [SignLayout]. [Verify]
// judges an image digest by a layout and the links of its build. A
// [LinkPredicate] attaches links to the image as an attestation.
//
//	layout, err := steps.SignLayout(ctx, steps.Layout{Expires: nextYear, Steps: all}, owner)
//	link, err := steps.SignLink(ctx, steps.Link{Name: "build", Materials: read, Products: made}, builder)
//	result, err := steps.Verify(ctx, layout, [][]byte{link}, image, steps.VerifyOptions{OwnerKeys: owners})
//
// # What is verified
//
//   - Enough owners have signed the layout, and the layout has not expired.
//   - Enough functionaries of each step have signed links that list the same
//     materials and products.
//   - The artifact rules of every step hold.
//   - The image digest is a product of the step that makes the image.
//
// # What is not verified
//
//   - That a command really ran. A link is the word of its functionary.
//   - That a file came from where a link says. A MATCH rule compares what links
//     list. A REQUIRE rule demands that a step has read a file.
//   - The command. A difference from the layout's expected command is reported in
//     [StepResult], and refuses nothing, as the specification demands.
//   - Byproducts and the environment.
//
// # What is refused
//
//   - Inspections, because an inspection is a command that the verifier would run.
//   - Sublayouts, certificate authorities and parameters to be substituted.
//   - The older format with "signed" and "signatures". Its signatures cover a
//     canonical form of the parsed document, so the verified bytes are not the
//     bytes in use.
//
// # Format
//
// A signed link or layout is a DSSE envelope. The payload is the link or layout
// itself, as in in-toto-golang v0.11 (type Envelope). Documents of this package
// and of in-toto for Python are read by both.
//
// in-toto-golang v0.11 writes envelopes with invalid JSON if a text holds a line
// break, such as the PEM of an RSA or ECDSA key in a layout. Neither this package
// nor in-toto-golang reads those.
//
// # Artifact names
//
// An artifact's name is a relative path with slashes. It has no ".", "..", empty
// parts, backslashes or control characters, so two spellings never mean one file.
// Names that differ in case are different files. Every artifact has a sha256.
//
// # Limits
//
//   - 32 MiB for one link and 64 MiB at most for any envelope
//   - 1000 links, 10,000 signature checks and 1000 combinations of links in one
//     verification
//   - 1000 links in one [LinkPredicate]
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
//   - in-toto-golang v0.11.0, for the evaluation of rules and the form of key IDs
package steps
