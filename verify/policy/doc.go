// Package policy is the language in which images are allowed: keys, roles, rules,
// requirements and their conditions. Package verify judges by it.
//
//	p, err := policy.Load("policy.yaml", policy.ParseOptions{})
//
// A [Policy] holds keys, roles (groups of keys, where several may have to act together)
// and rules. [Parse] and [Load] read it from strict YAML or JSON, and name line and column
// of a mistake; Go programs may fill in the struct. [Signatures] makes the policy of a few
// keys for everything. [Schema] is for editors. A [FileSource] watches a file.
//
// # Rules
//
// A rule is about the repositories that its patterns match: a registry's host and path
// segments, in which * is one whole segment and ** any number of them, at the end at least
// one. registry.example/team/** does not match registry.example/team-evil/app. Names are
// normalised first: nginx is index.docker.io/library/nginx. The most specific pattern
// decides. Two rules are refused if neither is more specific for some repository. No rule,
// no permission. A policy whose rules all deny is a freeze. It needs no key.
//
// # Plug-ins
//
// An [Authority] recognises signers by other means than keys, a [TimeAuthority] says when a
// signature existed. Programs link those that they want, and name them in ParseOptions and
// in the options of package verify. A policy that names another one is refused.
//
// This package reads no registry.
package policy
