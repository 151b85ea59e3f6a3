// Package house tests that the project keeps its own rules.
//
// Its tests cover:
//
//   - the top level, and which package imports which
//   - the size of programs that import the library, its modules, and the time it starts in
//   - the number of exported names and methods, and the length of functions
//   - what library packages must not do: global state, environment, output
//   - prose: marker words, long sentences, synopses, examples
//   - documents: snippets, command lines, links, figures and settings that are named
//   - the catalogue of attacks, and the tests of each entry
//
// allowed.txt lists how far the project is from rules that it does not keep yet.
package house
