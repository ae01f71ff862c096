package notify

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// Status is what the daemon is doing (ldirectord(8), "emailalertstatus").
type Status uint8

// The statuses. The zero value is Starting.
const (
	Starting Status = iota
	Running
	Stopping
	Reloading
)

// String returns the status as emailalertstatus writes it.
func (s Status) String() string {
	return [...]string{"starting", "running", "stopping", "reloading"}[s]
}

// Alert is one thing to tell people about. Its JSON form is what notifycommand and webhook
// get (docs/alerts.md): fields may be added to it, none is renamed or removed. Text that came from
// a server, and what an operator wrote, is escaped and bounded.
type Alert struct {
	Time     time.Time `json:"time"`
	Instance string    `json:"instance"`
	Host     string    `json:"host"`   // where the daemon runs
	Status   string    `json:"status"` // of the daemon
	// Change is what happened, see changeWord, "inaccessible" (a repeated alert) or "reload-failed".
	Change      string  `json:"change"`
	Virtual     string  `json:"virtual,omitempty"`  // as logged
	Protocol    string  `json:"protocol,omitempty"` // of the virtual service: tcp, udp, fwm
	Real        string  `json:"real,omitempty"`     // as it stands in the table
	Fallback    bool    `json:"fallback"`           // it is the fallback
	Weight      *uint32 `json:"weight,omitempty"`   // the weight set, for changes that set one
	Reason      string  `json:"reason,omitempty"`
	Code        string  `json:"code,omitempty"`  // of the verdict, such as l4-refused
	Check       string  `json:"check,omitempty"` // its identity
	ServiceName string  `json:"servicename,omitempty"`
	Comment     string  `json:"comment,omitempty"`
	Text        string  `json:"text"` // the line of the log
}

// The bounds of texts in an alert, in bytes.
const (
	maxReason = 1000
	maxText   = 300
	maxReport = 8000 // of a failed reload
)

// changeWord names the changes that there are alerts about: those of a real server or a fallback
// in the table. A weight that a check asks for is none of them.
func changeWord(c state.Change) string {
	switch c {
	case state.Added:
		return "added"
	case state.Restored:
		return "restored"
	case state.Deleted:
		return "deleted"
	case state.Quiesced:
		return "quiescent"
	case state.ReaddedQuiescent:
		return "readded-quiescent"
	case state.PurgedServer:
		return "purged"
	default:
		return ""
	}
}

// alertOf is what to tell about a transition; its daemon and section are filled in later.
func alertOf(t state.Transition) Alert {
	a := Alert{
		Time: t.At, Change: changeWord(t.Change), Virtual: t.Virtual, Protocol: t.Service.Protocol.String(),
		Real: state.ServerName(t.Server), Fallback: t.Fallback, Reason: t.Reason, Code: string(t.Verdict.Code),
		Check: printable(string(t.Check), maxReason), Text: t.Text(),
	}
	if a.Reason == "" {
		a.Reason = t.Verdict.Reason
	}
	a.Reason = printable(a.Reason, maxReason)
	if t.Change != state.Deleted && t.Change != state.PurgedServer {
		weight := t.Weight
		a.Weight = &weight
	}
	return a
}

// inaccessible is a as it is repeated: the words are the Perl ldirectord's.
func inaccessible(a Alert, now time.Time) Alert {
	a.Time, a.Change, a.Weight = now, "inaccessible", nil
	a.Text = "Inaccessible real server: " + a.Real + " (" + a.Virtual + ")"
	return a
}

// named is the text with the name of the service before it.
func (a *Alert) named() string {
	if a.ServiceName == "" {
		return a.Text
	}
	return "[" + a.ServiceName + "] " + a.Text
}

// place is one entry of the table.
type place struct {
	service lvs.ServiceKey
	server  lvs.ServerKey
}

// printable returns text as one line of at most limit bytes and an ellipsis, with what is not printable
// escaped as in Go.
func printable(text string, limit int) string {
	var b strings.Builder
	for _, r := range text {
		n := b.Len()
		if strconv.IsPrint(r) && r != utf8.RuneError {
			b.WriteRune(r)
		} else {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		if b.Len() > limit {
			return b.String()[:n] + "..."
		}
	}
	return b.String()
}
