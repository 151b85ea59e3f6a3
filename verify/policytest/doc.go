// Package policytest tests policies: it judges recorded images at fixed times, offline,
// and compares what is found with what is expected.
//
//	report, err := policytest.Test(ctx, "testdata", policytest.Options{})
//	for _, r := range report.Cases {
//		t.Run(r.Name, func(t *testing.T) {
//			if r.Status != policytest.StatusPassed {
//				t.Error(r.Detail)
//			}
//		})
//	}
//
// [Test] runs the cases of a directory, [Compare] says how two policies differ about an
// image, and [Record] writes a case from an image in a registry.
//
// # Case files
//
// A case file is strict YAML or JSON, as policies are, and its name ends in .test.yaml,
// .test.yml or .test.json. Names in it are relative to its directory. [Schema] describes
// it to editors.
//
//	version: 1
//	policy: ../production.yaml
//	time: 2026-11-30T12:00:00Z
//	files: {release.pub: keys/release.pub}
//	cases:
//	  - name: a signed release
//	    image: registry.example/team/app:v1
//	    layout: app
//	    expect: {decision: allow}
//	  - name: another repository
//	    image: registry.example/other/app
//	    expect: {decision: deny, reason: no-rule}
//
// # What a result says
//
//   - passed: the decision is the expected one, for the expected reason and requirement.
//   - failed: it is another one. Result.Detail shows what was wanted and found.
//   - broken: no decision was reached, such as for a file that cannot be read. A case
//     is never skipped.
//
// Report.Uncovered lists the rules and requirements that no case tries.
//
// # Files
//
// A case reads files in its own directory and below. Its policy may be elsewhere, such as
// ../production.yaml. If that policy cannot be used and is outside of the directory that
// Test was given, the error shows nothing of it.
//
// # Limits
//
// A case file has at most 4 MiB, a directory at most 10,000 cases. Other files have the
// limits of what reads them: packages verify, policy and layout.
//
// Nothing here asks a network, but for Compare and Record through the Reader that the
// caller gives. Functions are safe for concurrent use.
package policytest
