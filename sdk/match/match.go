// Package match decides whether a server's answer satisfies the receive
// directive: a Perl regular expression, searched in the answer's bytes
// (ldirectord(8), "receive").
//
// # What is matched
//
// The pattern is read as perlre(1) describes it, the way Perl 5.36 reads one that
// comes from a string: \Q and \U are no escapes, and code blocks are refused. The
// answer is bytes without an encoding: a dot is one byte, and \w, \d, \s, \b and
// (?i) know ASCII only, unless the pattern asks for Unicode rules with \p{..},
// \N{U+..}, \x{100} or above, (?u) or (?a); then the bytes are the code points 0
// to 255. The empty pattern matches every answer.
//
// # How
//
// A pattern without operators is a plain search. Any other one is translated, all
// classes being resolved to sets of bytes, for the backtracking engine
// github.com/dlclark/regexp2/v2. Its input is runes, so that the answer is mapped
// once: bytes from 0x80 on become private-use code points, which no rule of the
// engine touches.
//
// # What is refused
//
// Compile reports what it cannot translate truly, rather than doing something
// near it: recursion, the verbs (*SKIP) (*PRUNE) (*COMMIT) (*THEN) (*ACCEPT),
// \b{..}, (?[..]), script runs, character names, unknown properties, and inside a
// lookbehind those parts whose answer depends on the direction of matching.
// Known and accepted: ignoring case under Unicode rules, sharp s is not "ss"; (?l)
// means the C locale; a few bugs of Perl 5.36 in patterns of no use are not copied.
// testdata/differences.tsv lists them all.
package match

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dlclark/regexp2/v2"
)

var (
	// ErrTimeout is returned when the context ended before an answer was found.
	// The context's own error is wrapped beside it.
	ErrTimeout = errors.New("match: pattern not decided in time")
	// ErrTooComplex is returned when a search needs more than maxStack of
	// backtracking memory.
	ErrTooComplex = errors.New("match: pattern needs too much backtracking")
)

// SyntaxError says what is wrong with a pattern, and where.
type SyntaxError struct {
	Pattern string
	Offset  int // in bytes from the start of Pattern, at most its length
	Reason  string
}

// Error names the pattern, the offset and the reason.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("pattern %q, offset %d: %s", e.Pattern, e.Offset, e.Reason)
}

// Pattern is a compiled pattern. It is safe for concurrent use; the zero value
// matches everything.
type Pattern struct {
	text   string
	needed []byte  // no answer without these bytes matches
	groups int     // capture groups
	engine *engine // nil: needed is the whole pattern
	// captures is the engine of such a pattern for Find, when it has groups.
	captures func() (*engine, error)
}

// Compile translates a Perl pattern. Its errors are *SyntaxError.
func Compile(pattern string) (*Pattern, error) {
	out, letters, groups, err := translate(pattern)
	if err != nil {
		return nil, err
	}
	p := &Pattern{text: pattern, needed: []byte(out.needed)}
	if p.groups = groups; out.literal {
		p.captures = sync.OnceValues(func() (*engine, error) { return newEngine(out.source, letters) })
		return p, nil
	}
	if p.engine, err = newEngine(out.source, letters); err != nil {
		return nil, &SyntaxError{Pattern: pattern, Reason: err.Error()}
	}
	return p, nil
}

// String returns the pattern as it was given to Compile.
func (p *Pattern) String() string { return p.text }

// defaultBound limits a search whose context has no deadline.
const defaultBound = 30 * time.Second

// Match searches answer, which it neither keeps nor changes. The error is
// ErrTimeout when ctx ended first (a context that is over already counts) and
// ErrTooComplex when the search needed too much memory; any other error is a fault
// of the engine. A context without deadline gets one of 30 s.
//
// Match returns as soon as ctx ends. The engine cannot be interrupted: a search
// that was cancelled before its deadline runs on in the background until then,
// 0.2 s more at most. To keep that time the engine runs one goroutine,
// regexp2.runClock, which ends by itself a second after the last deadline; a leak
// detector has to be told (goleak.IgnoreAnyFunction), or regexp2.StopTimeoutClock
// called at the end of a test.
func (p *Pattern) Match(ctx context.Context, answer []byte) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, ended(err)
	}
	if !bytes.Contains(answer, p.needed) {
		return false, nil
	}
	if p.engine == nil {
		return true, nil
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	return p.engine.search(ctx, answer, (*regexp2.Regexp).MatchRunes)
}

// bounded gives a context without deadline the default one.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultBound)
}
