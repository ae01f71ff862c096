// Package systemd holds tests with the real parts of systemd that run without it: journald takes the
// records of a whole daemon, journalctl finds them, and systemd-analyze reads the unit of docs/systemd.md.
package systemd
