// Package state decides: from the configuration and what checks say, which real
// servers belong into the IPVS table, and why. It is pure: no clock, no network, no
// logger, no goroutine. Time comes in with each observation.
package state

import (
	"time"

	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// CheckID is the identity of a check: all that reaches the checker, written as one
// line (kind, service, network, address, timeouts, options; for scripts the virtual
// service too). Two virtual services that need the same check share one. Secrets
// appear in it only as a digest keyed with Options.Salt, so that it may be shown.
type CheckID string

// Check is one thing to test again and again.
type Check struct {
	ID   CheckID
	Kind string // who runs it: a service ("http") or a check type ("connect", "ping", "external", ...)
	// Pool separates check processes: "" for the shared ones, the virtual service with fork = yes.
	Pool     string
	Target   sdk.Target
	Options  sdk.Options   // never changed once made
	Interval time.Duration // start to start; the shortest of those who share the check
	Timeout  time.Duration // bounds one whole probe
	// ConnectsPer is N of checktype = N: Kind is probed once, then "connect" N times, see Cadence;
	// 0 otherwise.
	ConnectsPer    int
	ConnectTimeout time.Duration // bounds the connect probes of ConnectsPer
	// ConnectKind runs the connect probes of ConnectsPer: "connect", or "ping" for udp; "" without them.
	ConnectKind string
	// Positions of the configuration lines that need this check, for messages.
	Lines []string
}

// Observation is a verdict about a check, and when it was given.
type Observation struct {
	Check   CheckID
	Verdict sdk.Verdict
	At      time.Time
}

// Change is what a transition does to the table, in the words of the log.
type Change uint8

// The changes. The zero value is none of them.
const (
	Added            Change = iota + 1 // into the table
	Restored                           // to its configured weight: from 0, or from another at a start or reload
	Deleted                            // out of the table
	Quiesced                           // to weight 0, or into the table with weight 0
	ReaddedQuiescent                   // put back with weight 0
	PurgedServer                       // a real server of ours that the configuration does not know
	AddedService                       // virtual service
	ChangedService
	PurgedService
	SoftFailure      // a failed check below failurecount: no change of the table
	SoftFailureReset // a success after soft failures
	FallbackStarted  // the moment of fallbackcommand start
	FallbackStopped  // the moment of fallbackcommand stop
	Deviated         // somebody else changed the table; reported once and left as it is
	// KeptServer is a real server in the table that the configuration does not know. It is left there
	// because a configured name has no address yet, and may be that of this server.
	KeptServer
	Reweighted // another weight, because a check asks for it; the real server stays up
)

// Transition is one change of status, and why. Sinks (log, mail, fallbackcommand) live on it.
type Transition struct {
	At       time.Time
	Change   Change
	Service  lvs.ServiceKey
	Virtual  string        // the virtual service as logged
	Server   lvs.ServerKey // zero for changes of the service as a whole
	Fallback bool          // the server is the fallback
	Weight   uint32        // the weight set, for Added, Restored, Quiesced, ReaddedQuiescent, Reweighted
	Failures int           // n of n/m for SoftFailure
	Limit    int           // m
	Phase    string        // "start", "stop" or "reload" for purges; "" otherwise
	Verdict  sdk.Verdict   // of the check that caused it; zero when none did
	Check    CheckID
	Reason   string // one line when no check caused it: "maintenance: 10.0.0.1", "start", "reload"
	// Command is the section's fallbackcommand, for FallbackStarted and FallbackStopped: the sink must
	// run the one that was in force, also while a reload replaces it. "" for none.
	Command string
}
