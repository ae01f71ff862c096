package state

import (
	"fmt"
	"strconv"

	"github.com/ldirectord/ldirectord/lvs"
)

// VirtualName writes a virtual service the way the log of the Perl ldirectord does in
// table changes: "10.0.0.1:80", "[2001:db8::1]:80", "5" for a firewall mark of either family.
// (In the lines about soft failures it is ServiceKey.String, with the protocol in front.)
func VirtualName(k lvs.ServiceKey) string {
	if k.Protocol == lvs.FWM {
		return strconv.FormatUint(uint64(k.Mark), 10)
	}
	return k.Addr.String()
}

// ServerName writes a real server the way the log does: as it stands in the table.
func ServerName(k lvs.ServerKey) string { return k.String() }

// Text is the transition in the words of the log. Sites parse these lines, so the wording
// of table changes never varies; what else is worth saying goes into fields after it.
func (t Transition) Text() string {
	kind := "real"
	if t.Fallback {
		kind = "fallback"
	}
	server := ServerName(t.Server) + " (" + t.Virtual + ")"
	counted := ServerName(t.Server) + " (" + t.Service.String() + ")"
	phase := t.Phase
	if phase == "reload" {
		phase = "start" // to the parsers of these lines a reload is a start
	}
	weighted := func(word string) string {
		return fmt.Sprintf("%s %s server: %s (Weight set to %d)", word, kind, server, t.Weight)
	}
	switch t.Change {
	case Added:
		return weighted("Added")
	case Restored:
		return weighted("Restored")
	case Reweighted:
		return weighted("Reweighted")
	case Quiesced:
		return weighted("Quiescent")
	case ReaddedQuiescent:
		return weighted("Readd Quiescent")
	case Deleted:
		return "Deleted " + kind + " server: " + server
	case KeptServer:
		return "Kept unknown real server: " + server
	case PurgedServer:
		return fmt.Sprintf("Purged %s server (%s): %s", kind, phase, server)
	case AddedService:
		return "Added virtual server: " + t.Virtual
	case ChangedService:
		return "Changed virtual server: " + t.Virtual
	case PurgedService:
		return fmt.Sprintf("Purged virtual server (%s): %s", phase, t.Virtual)
	case SoftFailure:
		return fmt.Sprintf("Soft failure real server: %s failure %d/%d", counted, t.Failures, t.Limit)
	case SoftFailureReset:
		return "Resetting soft failure count: " + counted
	case FallbackStarted:
		return "Fallback command start: " + t.Virtual
	case FallbackStopped:
		return "Fallback command stop: " + t.Virtual
	case Deviated:
		return "Changed by hand: " + t.Reason
	default:
		return fmt.Sprintf("change(%d): %s", t.Change, server)
	}
}
