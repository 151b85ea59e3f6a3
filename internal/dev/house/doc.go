// Package house holds no code. Its tests hold the project to its own rules:
// what may stand at the top level, which package may import which, how much a
// program that imports the library takes along, what a library package must not
// do, and that the README shows code that works.
package house
