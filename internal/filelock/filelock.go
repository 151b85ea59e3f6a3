// Package filelock locks open files among processes. A lock is the system's: it
// ends with the file or the process that has it, however that ends. No stale lock
// stays behind.
package filelock
