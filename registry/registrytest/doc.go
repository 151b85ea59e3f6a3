// Package registrytest is a registry in memory that can be told to misbehave.
package registrytest
