package lvs

import (
	"context"
	"strconv"
)

// Op is what an Edit does.
type Op uint8

// The five edits. All are idempotent: an edit whose aim is reached already succeeds.
const (
	EnsureService Op = iota + 1 // add the virtual service, or change it into Service
	EnsureServer                // add the real server, or change it into Server
	UpdateServer                // change the real server if it exists; nothing otherwise
	RemoveServer                // remove the real server, existing connections notwithstanding
	RemoveService               // remove the virtual service with its real servers
)

// Edit is one idempotent change of a table. It is comparable.
type Edit struct {
	Op      Op
	Key     ServiceKey
	Service VirtualService // for EnsureService
	At      ServerKey      // for the three server edits
	Server  RealServer     // for EnsureServer and UpdateServer
}

// Controller is a table that can be read and edited: the kernel's, or one in memory.
type Controller interface {
	// Table reads everything, other programs' virtual services included.
	Table(ctx context.Context) (Table, error)
	// Apply makes the edits in their order. It goes on after an edit that fails; the
	// error is nil or an *ApplyError with one entry for each edit that was refused.
	// An error of another type means that nothing is known of any edit.
	Apply(ctx context.Context, edits []Edit) error
}

// EditError is one edit that was refused, and why.
type EditError struct {
	Index int // into the edits given to Apply
	Edit  Edit
	Err   error
}

// ApplyError tells which edits of an Apply were refused; the others were made.
type ApplyError struct {
	Failed []EditError // in order, at least one
}

func (e *ApplyError) Error() string {
	text := e.Failed[0].Edit.String() + ": " + e.Failed[0].Err.Error()
	if n := len(e.Failed) - 1; n > 0 {
		text += " (and " + strconv.Itoa(n) + " more)"
	}
	return text
}

// Unwrap returns the causes, for errors.Is and errors.As.
func (e *ApplyError) Unwrap() []error {
	out := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		out[i] = f.Err
	}
	return out
}

// String says the edit in an operator's words.
func (e Edit) String() string {
	switch e.Op {
	case EnsureService:
		return "ensure virtual service " + e.Key.String()
	case EnsureServer:
		return "ensure real server " + e.At.String() + " (" + e.Key.String() + ")"
	case UpdateServer:
		return "update real server " + e.At.String() + " (" + e.Key.String() + ")"
	case RemoveServer:
		return "remove real server " + e.At.String() + " (" + e.Key.String() + ")"
	case RemoveService:
		return "remove virtual service " + e.Key.String()
	default:
		return "edit(" + strconv.Itoa(int(e.Op)) + ")"
	}
}
