// Package registrytest is a container registry in memory for tests. It misbehaves on
// command. The package also has a conformance test for stores of package registry.
//
//	host := registrytest.Start(t, registrytest.New(registrytest.Options{}))
//	repo, err := name.NewRepository(host + "/team/app")
//
// [New] makes a [Registry], an [net/http.Handler] that serves the OCI Distribution
// Specification v1.1: the referrers API, every form of upload, mounts, tokens and
// credentials. [Start] serves it for a test, [Serve] for a program. Registry.Store is
// the same content without HTTP.
//
// # Content
//
// [PushImage], [PushIndex] and [PushReferrer] build small, real content through any
// store. Registry.Put, PutBlobAs, SetTag and Delete change the content without any
// check, like an attacker who owns the registry.
//
// # Faults
//
// Registry.Inject makes chosen requests go wrong. A [Fault] says which: by method, kind
// of request, repository, reference, count or a function. Its [Effect] says how:
//
//   - wrong content: FlipByte, ReplaceBody, AlternateTag, Hide
//   - wrong headers: SetHeader, DropHeader, WrongDigestHeader, ContentLength,
//     HugeHeader
//   - too much, too slow, or not at all: Endless, GzipBomb, Delay, Drip,
//     Truncate, HangUp
//   - other answers: Status, Reply, Redirect, RedirectBase, RedirectLoop
//   - pushes accepted but not kept: Swallow, StoreOther
//   - referrers: ReplaceReferrers, AddReferrers, ChangeReferrers, ClaimSubject,
//     EndlessReferrers, NextPage, LoopPage
//
// Chain combines effects, and Rewrite and Reply make new ones. [Faulty] replaces methods
// of a store in this process.
//
// # Conformance
//
// [TestReader] and [TestStore] hold an implementation of registry.Reader or
// registry.Store to its contract.
//
// # Limits
//
// Everything is in memory and bounded by [Options]. The registry is for tests: all of
// its clients may write, unless Options demands credentials.
package registrytest
