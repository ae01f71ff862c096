package sdk

import (
	"fmt"
	"time"
)

// Status is what one probe says of a real server.
type Status uint8

// The three statuses. The zero value is StatusUnknown: whoever forgets to say
// something accuses nobody, since that never moves a real server.
const (
	StatusUnknown Status = iota // the check could not tell: a fault on our side
	StatusUp                    // the service answered as it should
	StatusDown                  // the service did not answer as it should
)

// String returns "unknown", "up" or "down".
func (s Status) String() string {
	switch s {
	case StatusUp:
		return "up"
	case StatusDown:
		return "down"
	default:
		return "unknown"
	}
}

// Code says in one short word at which layer a probe ended. Codes are stable:
// operators count and filter by them. The zero value means that nothing is wrong.
type Code string

// The codes. A check may use others of its own, in lower case with a prefix that
// names the layer ("l7-role").
const (
	CodeOK          Code = ""               // Up
	CodeResolve     Code = "resolve"        // a name that the check needs did not resolve
	CodeUnreachable Code = "l3-unreachable" // no route, host or network unreachable
	CodeRefused     Code = "l4-refused"     // connection refused or reset while connecting
	CodeL4Timeout   Code = "l4-timeout"     // no connection before the deadline
	CodeTLS         Code = "l6-tls"         // TLS handshake or certificate
	CodeTimeout     Code = "l7-timeout"     // connected, not finished at the deadline
	CodeClosed      Code = "l7-closed"      // closed in the middle
	CodeProtocol    Code = "l7-protocol"    // not the protocol that was expected
	CodeStatus      Code = "l7-status"      // the server's own answer says no
	CodeAuth        Code = "l7-auth"        // login refused
	CodeMatch       Code = "l7-match"       // the answer does not match receive
	CodeFault       Code = "fault"          // Unknown: the checker's own failure
)

// Phase is one leg of a probe and how long it took.
type Phase struct {
	Name string        // "resolve", "connect", "tls", "first byte", "total", or the check's own word
	Took time.Duration // not negative
}

// Verdict is what one probe says. The zero value is Unknown without a reason.
type Verdict struct {
	Status Status
	Code   Code
	// Reason is one line for an operator. It may hold text that came from the
	// server; whoever shows it escapes and bounds it.
	Reason string
	// Phases in the order in which they happened; may be empty.
	Phases []Phase
	// Transcript is what was said, for a human, secrets removed by the check; may be empty.
	Transcript string
	// Weight, if not nil, is the IPVS weight (0 to 65535) that the real server asks for.
	Weight *int
}

// Up says that the service is up.
func Up() Verdict { return Verdict{Status: StatusUp} }

// Down says that the service answered wrongly, and how: a format and its
// arguments as for fmt.Sprintf. Its code is CodeProtocol; see DownWith.
func Down(format string, args ...any) Verdict {
	return DownWith(CodeProtocol, format, args...)
}

// DownWith is Down with the layer at which the probe ended.
func DownWith(code Code, format string, args ...any) Verdict {
	return Verdict{Status: StatusDown, Code: code, Reason: fmt.Sprintf(format, args...)}
}

// Unknown says that the check could not tell, and why: its own fault, never the server's.
func Unknown(format string, args ...any) Verdict {
	return Verdict{Status: StatusUnknown, Code: CodeFault, Reason: fmt.Sprintf(format, args...)}
}
