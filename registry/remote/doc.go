// Package remote is the client of OCI registries: a [registry.Store] that speaks HTTP.
//
// A [Client] keeps connections, credentials and tokens. It tries again what may pass,
// bounds everything that a registry sends, and verifies bytes against the digest that
// they were asked by. Make one for the life of a process.
//
// Source: OCI Distribution Specification v1.1; Docker Registry v2 token authentication.
package remote
