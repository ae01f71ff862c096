package control

import (
	"strconv"
	"strings"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// Counters is what the kernel counts, by virtual service and real server.
type Counters map[lvs.ServiceKey]map[lvs.ServerKey]lvs.Counters

// Report turns a snapshot into what the status command shows. counters may be nil.
func Report(snap *state.Snapshot, counters Counters) []VirtualService {
	out := make([]VirtualService, 0, len(snap.Services))
	for _, v := range snap.Services {
		out = append(out, reportService(v, counters[v.Key]))
	}
	return out
}

func reportService(v *state.ServiceStatus, counters map[lvs.ServerKey]lvs.Counters) VirtualService {
	asked := v.Config.Virtual
	out := VirtualService{
		Virtual:        v.Key.Addr.String(),
		Protocol:       v.Key.Protocol.String(),
		IPv6:           v.Key.Family == lvs.IPv6,
		Scheduler:      asked.Scheduler,
		Persistence:    asked.Persistence,
		OnePacket:      asked.OnePacket,
		Waiting:        v.Unresolved,
		FallbackActive: v.AllDown || v.FallbackCommand,
		Drift:          v.Deviations,
		Servers:        make([]RealServer, 0, len(v.Servers)+1),
	}
	if asked.Flags != 0 {
		out.Flags = asked.Flags.String()
	}
	switch {
	case v.Unresolved:
		out.Virtual = v.Virtual
	case v.Key.Protocol == lvs.FWM:
		out.Virtual = strconv.FormatUint(uint64(v.Key.Mark), 10)
	}
	if full := v.Key.Family.Bits(); asked.Persistence > 0 && asked.PrefixLen != full {
		out.PrefixLen = asked.PrefixLen
	}
	for _, r := range v.Servers {
		out.Servers = append(out.Servers, reportServer(r, counters[r.Key]))
	}
	if f := v.Config.Fallback; f != nil && !f.Unresolved {
		row := RealServer{Address: f.Key.String(), Method: f.Server.Method.String(), Fallback: true, InTable: v.AllDown}
		if v.AllDown {
			row.Weight = f.Server.Weight
		}
		row.count(counters[f.Key])
		out.Servers = append(out.Servers, row)
	}
	return out
}

func reportServer(r state.ServerStatus, counters lvs.Counters) RealServer {
	out := RealServer{
		Address: r.Name,
		Method:  r.Asked.Method.String(),
		InTable: r.InTable,
		State:   stateOf(r),
		Since:   r.Since,
		Note:    noteOf(r),
		Drift:   byHand(r),
	}
	if !r.InTable && r.Config != nil {
		out.Method = r.Config.Server.Method.String()
	}
	if r.InTable {
		out.Weight = r.Asked.Weight
	}
	out.count(counters)
	if c := worst(r.Checks); c != nil {
		out.Failures, out.Limit = c.Failures, c.Limit
		if !c.At.IsZero() {
			out.Check = reportCheck(*c)
		}
	}
	return out
}

func (r *RealServer) count(c lvs.Counters) {
	r.Active, r.Inactive = uint64(c.Active), uint64(c.Inactive)
}

func stateOf(r state.ServerStatus) string {
	switch {
	case r.Unresolved:
		return "waiting"
	case r.Off:
		return "off"
	case r.Maintenance != "":
		return "maintenance"
	case r.Status == state.Waiting:
		return "unknown"
	default:
		return r.Status.String()
	}
}

// byHand leaves out of the words what the row says anyway.
func byHand(r state.ServerStatus) string {
	if _, what, ok := strings.Cut(r.ByHand, " was changed: "); ok {
		return what
	}
	return r.ByHand
}

func noteOf(r state.ServerStatus) string {
	switch {
	case r.Unresolved:
		return "its name does not resolve"
	case r.Maintenance != "":
		return r.Maintenance
	case r.Adopted:
		return "found in the table at the start, no verdict yet"
	case r.Status == state.Waiting && r.InTable && r.ByHand == "" && r.Config.Server.Weight > 0:
		return "found in the table with weight 0, no verdict yet"
	case r.Status == state.Down && unknowable(r.Checks):
		return "when its check last could tell: " + said(worst(r.Checks))
	case len(r.Checks) == 0 && !r.Off:
		return "not checked"
	default:
		return ""
	}
}

// said is the verdict of c that counted last, in words.
func said(c *state.CheckStatus) string {
	v := c.Counted
	out := v.Status.String()
	if v.Code != "" {
		out += " [" + string(v.Code) + "]"
	}
	if v.Reason != "" {
		out += " " + v.Reason
	}
	return out
}

// unknowable tells whether the check that matters cannot tell any more what took the server down.
func unknowable(checks []state.CheckStatus) bool {
	c := worst(checks)
	return c != nil && c.Status == state.Down && c.Verdict.Status != c.Counted.Status
}

// worst is the check that matters to an operator: one that is down, else one with failures,
// else the first. It returns nil when there is none.
func worst(checks []state.CheckStatus) *state.CheckStatus {
	var out *state.CheckStatus
	for i := range checks {
		c := &checks[i]
		switch {
		case out == nil,
			c.Status == state.Down && out.Status != state.Down,
			out.Status != state.Down && c.Failures > out.Failures:
			out = c
		}
	}
	return out
}

func reportCheck(c state.CheckStatus) *Check {
	out := &Check{
		ID:     string(c.ID),
		At:     c.At,
		Status: c.Verdict.Status.String(),
		Code:   string(c.Verdict.Code),
		Reason: c.Verdict.Reason,
	}
	for _, p := range c.Verdict.Phases {
		out.Phases = append(out.Phases, Phase{Name: p.Name, Seconds: p.Took.Seconds()})
	}
	return out
}
