// Package examples holds the tests of what we give to authors of checks: the examples below docs/examples,
// `make new-check`, and the tutorial, whose steps are run as they are written.
package examples
