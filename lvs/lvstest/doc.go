// Package lvstest proves an lvs.Controller: one suite for all of them, and random tables
// and edits. It is for tests only; the table in memory that the daemon can run on
// is lvs/memory.
package lvstest
