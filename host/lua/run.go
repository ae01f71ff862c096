package lua

import (
	"context"
	"errors"
	"log/slog"
	"runtime/metrics"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/ldirectord/ldirectord/host/lua/ld"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// lookEvery and lookAfter say how often a run looks at what it uses: after so many
// instructions, or when the last 8 of them took so long that they must have made something big.
const (
	lookEvery = 1024
	lookAfter = 50 * time.Microsecond
)

// awayAfter is how long a run is not looked at when it waits for the network: what the daemon
// allocates meanwhile is not its own.
const awayAfter = 20 * time.Millisecond

// run is one execution of a script. It is the context of its Lua states, coroutines included,
// and of nothing else: they ask it for Done at each instruction, so that this is where
// instructions are counted and limits are kept. All but stop is for the goroutine that runs it.
type run struct {
	context.Context
	cancel context.CancelCauseFunc
	done   <-chan struct{}
	call   ld.Call
	watch  *watch
	turns  *turns
	log    *slog.Logger

	begun time.Time
	ended bool   // done is closed, and that was seen: not one instruction more
	count uint32 // instructions
	depth int    // of coroutines that resume one another
	tails int    // tail calls
	lines int    // logged
	last  string // line logged

	looked time.Time     // last
	allocs uint64        // of the process, then
	size   atomic.Uint64 // allocated since the watch last settled, at most
	busy   time.Duration // computing
	heavy  bool          // known to watch and turns
	sample [2]metrics.Sample

	turn   time.Time     // when the turn began that it has or had
	seen   atomic.Int64  // last sign of it in that, in nanoseconds since 1970
	waited time.Duration // for turns

	result []lua.LValue // what exit was given
}

func (c *checker) newRun(ctx context.Context, t sdk.Target) *run {
	r := &run{watch: &c.watch, turns: &c.turns, log: c.options.Log, begun: time.Now()}
	r.looked = r.begun
	r.Context, r.cancel = context.WithCancelCause(ctx)
	r.done = r.Context.Done()
	r.sample[0].Name = "/gc/heap/allocs:bytes"
	r.sample[1].Name = "/memory/classes/heap/objects:bytes"
	t.Service = Kind // the host leaves it empty, as services are those of plugins
	r.call = ld.Call{Ctx: r.Context, Target: t, Log: r.print, Charge: r.charge, Trace: probe.NewTrace()}
	return r
}

// end lets go of all that the run has.
func (r *run) end() {
	r.call.End()
	if r.heavy {
		r.watch.forget(r)
		r.turns.leave(r)
	}
	r.cancel(nil)
}

// runOf is the run that L belongs to. It exists whenever a function is called.
func runOf(L *lua.LState) *run { return L.Context().(*run) }

// Done implements context.Context for Lua states: it counts, and answers in full only now
// and then. Once the run is over every answer says so, since a pcall may go on after the first.
func (r *run) Done() <-chan struct{} {
	r.count++
	if r.ended {
		return r.done
	}
	if r.count%8 != 0 {
		return nil
	}
	return r.check()
}

func (r *run) check() <-chan struct{} {
	select {
	case <-r.done:
		r.ended = true
		return r.done
	default:
	}
	if now := time.Now(); r.count%lookEvery == 0 || now.Sub(r.looked) > lookAfter {
		r.look(now, 0)
	}
	if r.Context.Err() != nil {
		r.ended = true
		return r.done
	}
	return nil
}

// Err implements context.Context with the cause.
func (r *run) Err() error { return context.Cause(r.Context) }

// look adds what was used since the last look to the run's account, has a heavy run wait for its
// turn, and has the watch see to the memory. More is what is about to be made.
func (r *run) look(now time.Time, more int) {
	metrics.Read(r.sample[:])
	allocs := r.sample[0].Value.Uint64()
	if away := now.Sub(r.looked); r.allocs != 0 && away < awayAfter {
		r.size.Add(allocs - r.allocs)
		r.busy += away
	}
	r.heavy = r.size.Add(uint64(more)) > heavyAfter || r.busy > heavyTime || r.heavy
	r.watch.look(r, r.sample[1].Value.Uint64()+uint64(more))
	if r.heavy {
		if waited := r.turns.take(r); waited > 0 {
			r.waited += waited
			now = time.Now()
			metrics.Read(r.sample[:])
			allocs = r.sample[0].Value.Uint64()
			r.watch.look(r, r.sample[1].Value.Uint64()+uint64(more))
		}
	}
	r.looked, r.allocs = now, allocs
}

// charge is ld.Call's Charge.
func (r *run) charge(bytes int) error {
	switch {
	case r.Context.Err() != nil:
	case bytes < 0 || bytes > maxString:
		r.stop("a value of more than 8 MiB")
	case bytes > 64<<10:
		r.look(time.Now(), bytes)
	}
	if r.Context.Err() != nil {
		r.ended = true
		return r.Err()
	}
	return nil
}

// stop ends the run at a limit.
func (r *run) stop(why limit) { r.cancel(why) }

// charge asks for bytes and raises what that says.
func charge(L *lua.LState, bytes int) {
	if err := runOf(L).charge(bytes); err != nil {
		L.RaiseError("%s", err.Error())
	}
}

// reserve is charge for what is no single value.
func reserve(L *lua.LState, bytes int) {
	r := runOf(L)
	r.look(time.Now(), bytes)
	if r.Context.Err() != nil {
		r.ended = true
		L.RaiseError("%s", r.Err().Error())
	}
}

// exceed ends the run at a limit, and unwinds the script.
func exceed(L *lua.LState, why limit) {
	r := runOf(L)
	r.stop(why)
	r.ended = true
	L.RaiseError("%s", r.Err().Error())
}

// print takes a line for the log. Levels are those of ld.Call.Log.
func (r *run) print(level, text string) {
	text = r.call.Trace.Redact(text[:min(len(text), 2*maxLine)])
	if len(text) > maxLine {
		text = text[:maxLine] + "..."
	}
	r.last = text
	r.call.Trace.Note("%s", text)
	if r.lines++; r.lines > maxLines || r.log == nil {
		return
	}
	var l slog.Level
	if l.UnmarshalText([]byte(level)) != nil {
		l = slog.LevelInfo
	}
	r.log.Log(r.Context, l, probe.Escape(text), "kind", Kind, "target", r.call.Target.Addr)
}

// meter bounds the work of one call of a library function.
type meter struct {
	L     *lua.LState
	steps int
}

// step counts n steps of work, and raises when they are too many or the run is over.
func (m *meter) step(n int) {
	before := m.steps
	m.steps += n
	if before>>12 == m.steps>>12 {
		return
	}
	if m.steps > maxSteps {
		exceed(m.L, "one call of the string or table library did too much work")
	}
	r := runOf(m.L)
	r.look(time.Now(), 0)
	if r.Context.Err() != nil {
		r.ended = true
		m.L.RaiseError("%s", r.Err().Error())
	}
}

// isLimit says whether a run ended at a limit, and which.
func (r *run) isLimit() (limit, bool) { return errors.AsType[limit](context.Cause(r.Context)) }
