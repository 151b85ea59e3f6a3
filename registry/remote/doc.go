// Package remote is a client of OCI registries. Its [Client] is a [registry.Store] that
// speaks HTTP.
//
//	client, err := remote.New(remote.Options{})
//	m, err := client.Manifest(ctx, ref)
//
// Make one Client for the life of a process. A Client:
//
//   - keeps connections, credentials and tokens, and asks for each of them once;
//   - retries what may pass, and honours Retry-After;
//   - bounds everything that a registry sends: size, pages, redirects and time;
//   - verifies bytes against the digest that they were asked by.
//
// # Security
//
// HTTPS never falls back to HTTP. Only loopback registries are spoken to by plain HTTP,
// and those of Options.InsecurePlainHTTP. Credentials go to the registry and to token
// services that belong to it; see Options.TokenRealms. Redirects carry no credentials
// to other hosts, and lead to no private network unless the registry is in one.
//
// # Sources
//
//   - OCI Distribution Specification v1.1
//   - Docker Registry v2 token authentication
package remote
