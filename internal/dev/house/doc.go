// Package house holds no code. Its tests hold the project to its own rules:
// what may stand at the top level, which package may import which, how much a
// program that imports the library takes along and waits for, how much a package
// exports, what a library package must not do and how its comments read, which attack
// has which tests, and that the README shows code that works.
//
// Where the project does not keep a rule yet, allowed.txt holds how far it is off.
package house
