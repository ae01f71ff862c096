package match

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// Backtracking memory, in slots of 8 bytes. Nearly every search keeps within the
// first figure. One that does not is tried again with the second, which is several
// times what Perl's own limit of 65,535 repeats of a group comes to; only one such
// search per pattern runs at a time, so that a runaway pattern costs 32 MiB and not
// 32 MiB per server.
const (
	usualStack = 1 << 17
	maxStack   = 1 << 22
)

// engine runs a translated pattern.
type engine struct {
	letters alphabet
	usual   *regexp2.Regexp
	large   func() (*regexp2.Regexp, error) // compiled when first needed
	permit  chan struct{}                   // holds one token while large is in use
	buffers sync.Pool                       // of *[]rune
}

func newEngine(source string, letters alphabet) (*engine, error) {
	usual, err := compileWith(source, usualStack)
	if err != nil {
		return nil, err
	}
	large := sync.OnceValues(func() (*regexp2.Regexp, error) { return compileWith(source, maxStack) })
	return &engine{letters: letters, usual: usual, large: large, permit: make(chan struct{}, 1)}, nil
}

func compileWith(source string, stack int) (*regexp2.Regexp, error) {
	return regexp2.Compile(source, regexp2.OptionMaxBacktrackingStackSize(stack))
}

// outcome is what one search came to.
type outcome struct {
	found bool
	err   error
}

// look is one way to search: MatchRunes, or one that wants to know where.
type look func(compiled *regexp2.Regexp, input []rune) (bool, error)

// search maps the answer and runs the engine beside a watch on ctx, which has a
// deadline. how may still be under way when search has returned, if ctx ended.
func (e *engine) search(ctx context.Context, answer []byte, how look) (bool, error) {
	input := e.mapped(answer)
	done := make(chan outcome, 1)
	// Ends by the engine's own deadline even when nobody waits any more.
	go func() {
		found, err := e.run(ctx, *input, how)
		e.buffers.Put(input)
		done <- outcome{found, err}
	}()
	select {
	case got := <-done:
		return got.found, got.err
	case <-ctx.Done():
		return false, ended(ctx.Err())
	}
}

func ended(cause error) error { return fmt.Errorf("%w: %w", ErrTimeout, cause) }

// mapped turns bytes into the engine's alphabet, in a buffer to be put back.
func (e *engine) mapped(answer []byte) *[]rune {
	buffer, _ := e.buffers.Get().(*[]rune)
	if buffer == nil || cap(*buffer) < len(answer) {
		fresh := make([]rune, len(answer))
		buffer = &fresh
	}
	runes := (*buffer)[:len(answer)]
	*buffer = runes
	if e.letters == latinHigh {
		for i, b := range answer {
			runes[i] = rune(b)
		}
		return buffer
	}
	for i, b := range answer {
		// privateBase if the top bit is set, without a branch.
		runes[i] = rune(b) + privateBase*rune(b>>7)
	}
	return buffer
}

// run tries with the usual stack, then with the large one. A panic of the engine
// is an error of this search, not the end of the process.
func (e *engine) run(ctx context.Context, input []rune, how look) (found bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			found, err = false, fmt.Errorf("match: the engine failed: %v", r)
		}
	}()
	found, err = attempt(ctx, e.usual, input, how)
	if !errors.Is(err, regexp2.ErrBacktrackingStackLimit) {
		return found, err
	}
	select {
	case e.permit <- struct{}{}:
		defer func() { <-e.permit }()
	case <-ctx.Done():
		return false, ended(ctx.Err())
	}
	large, err := e.large()
	if err != nil {
		return false, err
	}
	found, err = attempt(ctx, large, input, how)
	if errors.Is(err, regexp2.ErrBacktrackingStackLimit) {
		return false, ErrTooComplex
	}
	return found, err
}

// attempt runs the engine until the context's deadline.
func attempt(ctx context.Context, compiled *regexp2.Regexp, input []rune, how look) (bool, error) {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if left <= 0 {
		return false, ended(context.DeadlineExceeded)
	}
	timed := *compiled // the time limit is a field: a copy is this search's own
	timed.MatchTimeout = left
	found, err := how(&timed, input)
	if err == nil || errors.Is(err, regexp2.ErrBacktrackingStackLimit) {
		return found, err
	}
	// The engine's text holds the whole input; nobody wants to read that.
	return false, ended(context.DeadlineExceeded)
}
