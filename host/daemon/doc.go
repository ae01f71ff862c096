// Package daemon holds what makes a process a well-behaved daemon: one instance
// per configuration, pid file, going into the background, readiness, the log.
package daemon
