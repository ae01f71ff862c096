package ipvs

import (
	"context"
	"slices"
	"syscall"

	"github.com/ldirectord/ldirectord/lvs"
)

// attempts bounds the changing back and forth between "add" and "change" for an entry that
// somebody else removes and adds meanwhile.
const attempts = 5

// pipeline makes valid edits over the wire, many in one write, and puts the refusals into results,
// which has the same length. An error means that nothing is known.
func (h *handle) pipeline(ctx context.Context, edits []lvs.Edit, results []error) error {
	for len(edits) > 0 {
		n := oneOperation(edits)
		if err := h.round(ctx, edits[:n], results[:n]); err != nil {
			return err
		}
		edits, results = edits[n:], results[n:]
	}
	return nil
}

// oneOperation returns how many of the first edits have the same operation. They may share a round: their
// second attempts come after all first ones, in the same order. Edits of different operations may
// not, or a real server would leave before another is in.
func oneOperation(edits []lvs.Edit) int {
	for i, e := range edits {
		if e.Op != edits[0].Op {
			return i
		}
	}
	return len(edits)
}

// round makes edits of one operation.
func (h *handle) round(ctx context.Context, edits []lvs.Edit, results []error) error {
	todo := make([]int, 0, len(edits))
	for i, e := range edits {
		if results[i] = e.Validate(); results[i] == nil {
			todo = append(todo, i)
		}
	}
	for attempt := range attempts {
		if len(todo) == 0 {
			break
		}
		bodies := make([][]byte, len(todo))
		for n, i := range todo {
			bodies[n] = encodeEdit(commandOf(edits[i].Op, attempt), edits[i])
		}
		statuses, err := h.wire.acks(ctx, bodies)
		if err == nil && slices.Contains(statuses, syscall.ENOENT) {
			err = h.alive()
		}
		if err != nil {
			return err
		}
		again := todo[:0]
		for n, i := range todo {
			if retry(edits[i].Op, attempt, statuses[n]) {
				again = append(again, i)
			} else {
				results[i] = settle(edits[i], statuses[n])
			}
		}
		todo = again
	}
	return nil
}

// commandOf returns the command for op: "ensure" adds in its first attempt and in every second
// one after, and changes in the others.
func commandOf(op lvs.Op, attempt int) uint8 {
	adds := attempt%2 == 0
	switch {
	case op == lvs.EnsureService && adds:
		return cmdNewService
	case op == lvs.EnsureService:
		return cmdSetService
	case op == lvs.EnsureServer && adds:
		return cmdNewDest
	case op == lvs.EnsureServer || op == lvs.UpdateServer:
		return cmdSetDest
	case op == lvs.RemoveServer:
		return cmdDelDest
	default:
		return cmdDelService
	}
}

// retry tells whether the other command of "ensure" may succeed where this one met with
// errno: it exists already, or exists no more.
func retry(op lvs.Op, attempt int, errno syscall.Errno) bool {
	if attempt == attempts-1 {
		return false
	}
	adds := attempt%2 == 0
	switch op {
	case lvs.EnsureService:
		return adds && errno == syscall.EEXIST || !adds && errno == syscall.ESRCH
	case lvs.EnsureServer:
		return adds && errno == syscall.EEXIST || !adds && errno == syscall.ENOENT
	default:
		return false
	}
}
