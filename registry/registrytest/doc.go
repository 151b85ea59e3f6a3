// Package registrytest is a container registry in memory that can be told to
// misbehave, and a conformance test for stores of package registry.
//
// [New] makes a [Registry]: an [net/http.Handler] that serves the OCI
// Distribution Specification v1.1 with the referrers API, uploads of every form,
// mounts, tokens and credentials. [Start] serves it for a test, [Serve] for a program.
// Registry.Store gives the same content without HTTP, for tests that need none.
//
// # Content
//
// [PushImage], [PushIndex] and [PushReferrer] build small, real content through
// any store. Registry.Put, PutBlobAs, SetTag and Delete change what is stored
// behind everybody's back, as an attacker does who owns the registry: they
// check nothing.
//
// # Faults
//
// Registry.Inject makes chosen requests go wrong. A [Fault] says which: by
// method, kind of request, repository, reference, count or a function. Its
// [Effect] says how:
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
// Chain combines effects, and Rewrite and Reply make new ones. [Faulty] does the
// same to a store in this process, method by method.
//
// # Conformance
//
// [TestReader] and [TestStore] hold an implementation of registry.Reader or
// registry.Store to its contract.
//
// # Limits
//
// Everything is in memory and bounded by [Options]. The registry is for tests:
// whoever reaches it owns it, unless Options demands credentials.
package registrytest
