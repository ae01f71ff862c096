// Package engine is the owner of all that is decided: one goroutine takes verdicts in, lets
// host/state decide, and has the table follow. Nothing it waits for can stop a decision: the
// kernel is programmed by a second goroutine, the applier, one job at a time.
//
//	observations ─┐                          ┌─> log, sinks (transitions)
//	requests ─────┼─> loop: state decides ───┼─> snapshot
//	alarms ───────┘      │       ▲           └─> monitor (checks)
//	                     edits   outcome
//	                     ▼       │
//	                  applier: lvs.Controller
//
// A transition is logged and given to the sinks when it is decided, before the kernel is asked:
// an edit that the kernel then refuses is an error line of its own, stays planned, and is tried
// again. What counts as asked last (last) moves only with edits that were made; the plan is
// always the difference from there to what is asked now, so a refused edit, a lost
// connection and a change by hand all end in the same way.
package engine
