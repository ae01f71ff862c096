package lvs

import (
	"slices"
)

// Plan returns the edits that lead from what was asked last to what is wanted now. It does
// not look at the kernel's table: what did not change between last and want is not touched,
// so that a weight set by hand stays until the real server's next transition. Virtual
// services in neither table are never named.
//
// The edits come in the order of their operations, and within one by key:
// virtual services first, then real servers that enter or change, then those that leave,
// last the virtual services that leave (with their servers). So a real server in both tables
// never leaves on the way, and a fallback is in before the last real server is out.
//
// A real server in want alone is an EnsureServer, and so is one that goes up from weight 0: a
// transition puts it in even if somebody removed it by hand. Any other change of a server
// that was asked before is an UpdateServer: a new weight, new thresholds or quiescence do not bring
// back what an operator took out. All servers of a virtual service that was not asked before are
// EnsureServer. To have an entry made anew, take it out of last.
func Plan(last, want Table) []Edit {
	var edits []Edit
	for k, w := range want {
		l, known := last[k]
		if !known || l.VirtualService.Normal(k.Family) != w.VirtualService.Normal(k.Family) {
			edits = append(edits, Edit{Op: EnsureService, Key: k, Service: w.VirtualService.Normal(k.Family)})
		}
		edits = append(edits, planServers(k, l.Servers, w.Servers)...)
	}
	for k := range last {
		if _, wanted := want[k]; !wanted {
			edits = append(edits, Edit{Op: RemoveService, Key: k})
		}
	}
	slices.SortFunc(edits, Edit.compare)
	return edits
}

// planServers returns the edits for the real servers of one virtual service, in any order.
func planServers(k ServiceKey, last, want map[ServerKey]RealServer) []Edit {
	var edits []Edit
	for at, w := range want {
		l, known := last[at]
		switch {
		case known && l == w:
		case !known || (l.Weight == 0 && w.Weight > 0):
			edits = append(edits, Edit{Op: EnsureServer, Key: k, At: at, Server: w})
		default:
			edits = append(edits, Edit{Op: UpdateServer, Key: k, At: at, Server: w})
		}
	}
	for at := range last {
		if _, wanted := want[at]; !wanted {
			edits = append(edits, Edit{Op: RemoveServer, Key: k, At: at})
		}
	}
	return edits
}
