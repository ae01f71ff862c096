// Package cli holds what the commands print.
package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/ldirectord/ldirectord/host/control"
)

// Status prints a daemon's table in the columns of `ipvsadm -Ln`, and beside each real server
// its state, for how long, and what the last check said.
func Status(w io.Writer, s control.Status, now time.Time) {
	fmt.Fprintf(w, "Prot LocalAddress:Port Scheduler Flags\n")
	fmt.Fprintf(w, "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn  State       Since    Last check\n")
	for _, v := range s.Services {
		fmt.Fprintln(w, serviceLine(v))
		for _, r := range v.Servers {
			fmt.Fprintln(w, strings.TrimRight(serverLine(r, now), " "))
		}
		for _, d := range v.Drift {
			fmt.Fprintf(w, "  ! %s\n", plain(d))
		}
	}
	for _, p := range s.Plugins {
		if line := pluginLine(p); line != "" {
			fmt.Fprintln(w, line)
		}
	}
	if s.DryRun {
		fmt.Fprintln(w, "dry run: this table is in memory only")
	}
	if s.KernelError != "" {
		fmt.Fprintln(w, "kernel: "+plain(s.KernelError))
	}
	if s.MaintenanceError != "" {
		fmt.Fprintln(w, "maintenance stays as it is: "+plain(s.MaintenanceError))
	}
	if s.ReloadError != "" {
		fmt.Fprintf(w, "last reload, %s ago, changed nothing:\n", age(s.Reloaded, now))
		for line := range strings.Lines(s.ReloadError) {
			fmt.Fprintln(w, plain(strings.TrimRight(line, "\n")))
		}
	}
}

// pluginLine says what is wrong with a plugin, and is empty when nothing is.
func pluginLine(p control.Plugin) string {
	var parts []string
	if p.State == "failed" {
		parts = append(parts, "not running")
	}
	if p.Restarts > 0 {
		parts = append(parts, fmt.Sprintf("died %d times", p.Restarts))
	}
	if p.SetAside > 0 {
		parts = append(parts, fmt.Sprintf("%d of its checks set aside", p.SetAside))
	}
	if p.CutOff > 0 {
		parts = append(parts, fmt.Sprintf("%d probes cut off", p.CutOff))
	}
	if len(parts) == 0 {
		return ""
	}
	if p.Error != "" {
		parts = append(parts, "last: "+plain(p.Error))
	}
	return "plugin " + plain(p.Path) + ": " + strings.Join(parts, ", ")
}

func serviceLine(v control.VirtualService) string {
	parts := []string{fmt.Sprintf("%-4s", strings.ToUpper(v.Protocol)), v.Virtual}
	if v.Protocol == "fwm" && v.IPv6 {
		parts = append(parts, "IPv6")
	}
	parts = append(parts, v.Scheduler)
	if v.Flags != "" {
		parts = append(parts, "("+v.Flags+")")
	}
	if v.Persistence > 0 {
		parts = append(parts, "persistent", strconv.Itoa(int(v.Persistence)))
		if v.PrefixLen > 0 {
			parts = append(parts, "mask", "/"+strconv.Itoa(int(v.PrefixLen)))
		}
	}
	if v.OnePacket {
		parts = append(parts, "ops")
	}
	if v.Waiting {
		parts = append(parts, "(waiting for its name to resolve)")
	}
	return strings.Join(parts, " ")
}

func serverLine(r control.RealServer, now time.Time) string {
	weight := "-"
	if r.InTable {
		weight = strconv.FormatUint(uint64(r.Weight), 10)
	}
	state := r.State
	if r.Failures > 0 && r.Failures < r.Limit {
		state += fmt.Sprintf(" %d/%d", r.Failures, r.Limit)
	}
	switch {
	case r.Fallback && r.InTable:
		state = "fallback"
	case r.Fallback:
		state = "standby"
	}
	return fmt.Sprintf("  -> %-28s %-7s %-6s %-10d %-10d %-11s %-8s %s",
		r.Address, methods[r.Method], weight, r.Active, r.Inactive, state, age(r.Since, now), last(r))
}

// methods are ipvsadm's words.
var methods = map[string]string{"gate": "Route", "ipip": "Tunnel", "masq": "Masq"}

// last says what the last check said, or why there is none.
func last(r control.RealServer) string {
	var parts []string
	if r.Note != "" {
		parts = append(parts, plain(r.Note))
	}
	if r.Check != nil {
		text := r.Check.Status
		if r.Check.Code != "" {
			text += " [" + plain(r.Check.Code) + "]"
		}
		if r.Check.Reason != "" {
			text += " " + plain(r.Check.Reason)
		}
		parts = append(parts, text)
	}
	if r.Drift != "" {
		parts = append(parts, "by hand: "+plain(r.Drift))
	}
	return strings.Join(parts, "; ")
}

// age is a duration for the eye: 5s, 12m, 3h, 9d.
func age(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	d := max(now.Sub(since), 0)
	switch {
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	default:
		return strconv.Itoa(int(d.Hours())/24) + "d"
	}
}

// maxShown bounds one text of a server on the terminal, in bytes.
const maxShown = 240

// plain makes text from anywhere fit for a terminal and one line.
func plain(text string) string { return printable(text, maxShown) }

// printable is plain for up to limit bytes.
func printable(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	quoted := strconv.QuoteToGraphic(text)
	return strings.ReplaceAll(strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`), `\\`, `\`)
}
