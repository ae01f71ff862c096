package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ldirectord/ldirectord/host/control"
)

// ProbeReport is what `probe` prints: one run of one check. It is the answer of --json; fields are
// only ever added. Texts of servers in it are escaped and bounded, and hold no secrets.
type ProbeReport struct {
	Virtual  string    `json:"virtual"`        // "10.0.0.1:80", "5" for a mark; what the file writes when that does not resolve
	Protocol string    `json:"protocol"`       // "tcp", "udp", "fwm"
	IPv6     bool      `json:"ipv6,omitempty"` // the virtual service is of IPv6
	Real     string    `json:"real"`           // as it stands in the table; what the file writes when that does not resolve
	At       time.Time `json:"at"`             // the beginning of the probe
	Note     string    `json:"note,omitempty"` // which check it was of several, or why there was none

	// What was run; empty with the status "unchecked".
	Kind    string   `json:"kind,omitempty"`    // a service, or a check type
	Address string   `json:"address,omitempty"` // where it looked; without a port for kinds that have none
	Network string   `json:"network,omitempty"` // "tcp", "udp"; empty for a ping
	Timeout float64  `json:"timeout,omitempty"` // of the whole probe, in seconds
	Lines   []string `json:"lines,omitempty"`   // of the configuration that ask for this check, "FILE:LINE"

	Status     string          `json:"status"` // "up", "down", "unknown"; "unchecked" when the configuration has nothing to run
	Code       string          `json:"code,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Weight     *int            `json:"weight,omitempty"` // that the check asks for
	Phases     []control.Phase `json:"phases,omitempty"`
	Transcript []string        `json:"transcript,omitempty"` // in lines
}

// Bounds of what a server may fill a terminal with: bytes of a line, and lines.
const (
	maxProbeLine  = 1024
	maxTranscript = 400
)

// Unchecked is the status of a real server that nothing checks.
const Unchecked = "unchecked"

// Safe is r, its texts fit for a terminal.
func (r ProbeReport) Safe() ProbeReport {
	r.Code, r.Reason, r.Note = printable(r.Code, maxProbeLine), printable(r.Reason, maxProbeLine), printable(r.Note, maxProbeLine)
	phases := make([]control.Phase, 0, len(r.Phases))
	for _, p := range r.Phases {
		phases = append(phases, control.Phase{Name: plain(p.Name), Seconds: p.Seconds})
	}
	r.Phases = phases
	lines := make([]string, 0, len(r.Transcript))
	for i, line := range r.Transcript {
		if i == maxTranscript {
			lines = append(lines, fmt.Sprintf("* %d lines more", len(r.Transcript)-i))
			break
		}
		lines = append(lines, printable(line, maxProbeLine))
	}
	r.Transcript = lines
	return r
}

// JSON prints everything as one object.
func (r ProbeReport) JSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(r.Safe())
}

// Text prints a line for each thing to know, and the transcript last.
func (r ProbeReport) Text(out io.Writer) error {
	r = r.Safe()
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	line("verdict", r.Status)
	line("code", r.Code)
	line("reason", r.Reason)
	line("note", r.Note)
	if r.Weight != nil {
		line("weight", fmt.Sprint(*r.Weight))
	}
	line("real server", plain(r.Real)+" of "+r.service())
	line("check", r.check())
	for _, p := range r.Phases {
		line("time", p.Name+" "+duration(p.Seconds))
	}
	if err := w.Flush(); err != nil || r.Kind == "" {
		return err
	}
	if len(r.Transcript) == 0 {
		_, err := fmt.Fprintln(out, "The check kept no transcript.")
		return err
	}
	_, err := fmt.Fprintln(out, "transcript\n  "+strings.Join(r.Transcript, "\n  "))
	return err
}

// service is the virtual service with its protocol, as messages have it.
func (r ProbeReport) service() string {
	if r.Protocol == "fwm" && r.IPv6 {
		return "fwm6:" + plain(r.Virtual)
	}
	return r.Protocol + ":" + plain(r.Virtual)
}

// check is what was run, in words; empty when nothing was.
func (r ProbeReport) check() string {
	if r.Kind == "" {
		return ""
	}
	text := r.Kind + " of " + r.Address
	if r.Network != "" {
		text += " over " + r.Network
	}
	return plain(fmt.Sprintf("%s, at most %s, for %s", text, duration(r.Timeout), strings.Join(r.Lines, ", ")))
}

// duration shows three digits, more or less, of seconds.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}
