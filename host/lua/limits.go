package lua

import (
	"errors"
	"time"
)

// What one run of a script may use. Reaching one of these ends it with Unknown: it says nothing
// of the real server.
const (
	maxScript  = 1 << 20  // bytes of source
	maxNesting = 1000     // of expressions and statements in the source
	maxString  = 8 << 20  // bytes of one string
	maxArray   = 1 << 17  // elements of one array, less one
	maxSteps   = 10 << 20 // of one call of the string library; some 10 ns each
	maxDepth   = 256      // calls in calls
	maxValues  = 1 << 15  // arguments, results and locals at once
	maxTails   = 1 << 18  // tail calls; each is a line of the trace that an error takes
	maxResumes = 100      // coroutines that resume one another
	maxReason  = 512      // bytes of a reason
	maxLines   = 20       // that a run may log
	maxLine    = 1024     // bytes of such a line
)

// heavyTime is how long a run may compute before it counts as heavy: see turns.
const heavyTime = 5 * time.Millisecond

// The bounds on the memory of all scripts together, in bytes of the daemon's heap: see watch.
const (
	heavyAfter = 1 << 20  // what a run may allocate before it counts as heavy
	growth     = 96 << 20 // of the heap, garbage included, at which a collection is forced
	held       = 48 << 20 // of the heap after a collection at which scripts are ended
)

// limit is the cause with which a run ends that has reached one.
type limit string

func (l limit) Error() string { return string(l) }

// errExit is the cause with which exit() ends a run.
var errExit = errors.New("exit")
