// Package tasks shows the work of seven people with Hallmark.
//
// Each task is one script or program:
//
//   - build-system.yaml signs and attests what was built
//   - image-promoter.yaml moves what was verified
//   - registry_maintainer_test.go puts a gate in front of a registry
//   - cosign-user.yaml works with cosign's signatures
//   - policy-author.yaml checks, tests and compares policies
//   - auditor.yaml writes down evidence and decisions
//   - incident.yaml freezes, revokes and thaws
//
// The steps of a script are commands of a shell. Copy them into your CI system: IMAGE and
// UNSIGNED are references, REGISTRY is a host, and the files of the steps stand in the
// directory files. Tests run each script, against a registry in memory.
package tasks
