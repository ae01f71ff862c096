package ld

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// Exchange is one thing that a script asked of the world, and what came of it.
type Exchange struct {
	Line    int         // where it begins in its file; 0 when it is in none
	Verb    string      // what was done: "connect", "send", "http" ...
	Args    []string    // what the script asked for
	Results []string    // what it was given; nil with a Failure
	Failure sdk.Verdict // what it failed with; its Status is not Up then
}

func (x Exchange) failed() bool { return x.Failure.Status != sdk.StatusUp }

// Tape records the exchanges of one run, or replays them: then nothing of the network, the clock or chance
// is touched. It belongs to the goroutine that runs the script.
type Tape struct {
	recording bool
	exchanges []Exchange
	at        int // the next one to replay
	diverged  *Divergence
	room      int // bytes that may still be recorded
	args      []string
}

// maxTape bounds what one recording holds, in bytes.
const maxTape = 16 << 20

// NewTape begins a tape that records.
func NewTape() *Tape { return &Tape{recording: true, room: maxTape} }

// Replay begins a tape that plays exchanges.
func Replay(exchanges []Exchange) *Tape {
	return &Tape{exchanges: slices.Clone(exchanges)}
}

// Exchanges are those recorded so far.
func (t *Tape) Exchanges() []Exchange { return t.exchanges }

// Args are those of the script behind the addresses; known when it has asked for something.
func (t *Tape) Args() []string { return t.args }

// Divergence says where a script did something else than the recording has.
type Divergence struct {
	Line  int    // of the recording; 0: behind its end
	Count int    // the exchange's number, from 1
	Have  string // what the recording has there; empty at its end
	Did   string // what the script did; empty when it ended
}

// Error tells both sides.
func (d *Divergence) Error() string {
	did, have := "the script ended", "the recording has ended"
	if d.Did != "" {
		did = "the script does: " + d.Did
	}
	if d.Have != "" {
		have = "the recording has: " + d.Have
	}
	return fmt.Sprintf("diverged at exchange %d: %s; %s", d.Count, have, did)
}

// Diverged is the first divergence of a run that was replayed and has ended, or nil. What the
// script left unread is none; what it did not do is one.
func (t *Tape) Diverged() *Divergence {
	if t.diverged == nil && !t.recording {
		t.skipUnread()
		if t.at < len(t.exchanges) {
			t.diverge("")
		}
	}
	return t.diverged
}

func (t *Tape) diverge(did string) {
	d := &Divergence{Count: t.at + 1, Did: did}
	if t.at < len(t.exchanges) {
		x := t.exchanges[t.at]
		d.Line, d.Have = x.Line, brief(x.Verb, x.Args)
	}
	t.diverged = d
}

// brief shows what was asked for on one line.
func brief(verb string, args []string) string {
	words := []string{verb}
	for _, a := range args {
		words = append(words, quote(a))
	}
	return probe.Brief(strings.Join(words, " "))
}

type tapeKey struct{}

// WithTape has runs of scripts within ctx use tape.
func WithTape(ctx context.Context, tape *Tape) context.Context {
	return context.WithValue(ctx, tapeKey{}, tape)
}

// tapeOf is the tape of a run, or nil.
func tapeOf(ctx context.Context) *Tape {
	tape, _ := ctx.Value(tapeKey{}).(*Tape)
	return tape
}

// do has one exchange happen: live, recorded, or out of the recording. Without a tape it is live.
func (t *Tape) do(verb string, args []string, live func() ([]string, error)) ([]string, error) {
	if t == nil {
		return live()
	}
	if t.recording {
		results, err := live()
		t.add(verb, args, results, err)
		return results, err
	}
	t.skipUnread()
	if err := t.expect(verb, args); err != nil {
		return nil, err
	}
	x := t.exchanges[t.at]
	t.at++
	if x.failed() {
		return nil, &Failure{Verdict: x.Failure}
	}
	return x.Results, nil
}

// expect says whether the next exchange is this one.
func (t *Tape) expect(verb string, args []string) error {
	if t.diverged == nil && (t.at == len(t.exchanges) || t.exchanges[t.at].Verb != verb || !slices.Equal(t.exchanges[t.at].Args, args)) {
		t.diverge(brief(verb, args))
	}
	if t.diverged != nil {
		return &Failure{Verdict: sdk.Unknown("%v", t.diverged)}
	}
	return nil
}

// add records one exchange. What continues a stream is joined with what came before.
func (t *Tape) add(verb string, args, results []string, err error) {
	x := Exchange{Verb: verb, Args: slices.Clone(args), Results: slices.Clone(results), Failure: sdk.Up()}
	for _, s := range append(x.Args, x.Results...) {
		t.room -= len(s) + 8
	}
	if t.room < 0 {
		return
	}
	if err != nil {
		x.Results, x.Failure = nil, probe.Judge(err)
	}
	if last := len(t.exchanges) - 1; last >= 0 && joins(t.exchanges[last], x) {
		before := &t.exchanges[last]
		if verb == sendVerb {
			before.Args[1] += x.Args[1]
		} else {
			before.Results[0] += x.Results[0]
		}
		return
	}
	t.exchanges = append(t.exchanges, x)
}

// Full says that a run was longer than a recording may be.
func (t *Tape) Full() bool { return t.room < 0 }

// joins says whether x goes on with the stream of before, in the same direction.
func joins(before, x Exchange) bool {
	if before.Verb != x.Verb || before.failed() || x.failed() || before.Args[0] != x.Args[0] {
		return false
	}
	return x.Verb == sendVerb || x.Verb == recvVerb && len(x.Results) == 1 && len(before.Results) == 1
}

// skipUnread passes what is left of an answer: a script that reads less than the recorded one does
// nothing wrong.
func (t *Tape) skipUnread() {
	for t.at < len(t.exchanges) && t.exchanges[t.at].Verb == recvVerb {
		t.at++
	}
}

// send is do for what goes into a stream. The script may cut it up otherwise than the recorded one did.
func (t *Tape) send(id, data string, live func() ([]string, error)) error {
	if t == nil || t.recording {
		_, err := t.do(sendVerb, []string{id, data}, live)
		return err
	}
	for data != "" {
		t.skipUnread()
		if t.at == len(t.exchanges) || t.diverged != nil {
			return t.expect(sendVerb, []string{id, data})
		}
		x := &t.exchanges[t.at]
		n := 0
		if x.Verb == sendVerb && x.Args[0] == id {
			n = min(len(data), len(x.Args[1]))
		}
		if n == 0 || data[:n] != x.Args[1][:n] {
			return t.expect(sendVerb, []string{id, data})
		}
		if x.failed() {
			t.at++
			return &Failure{Verdict: x.Failure}
		}
		data, x.Args = data[n:], []string{id, x.Args[1][n:]}
		if x.Args[1] == "" {
			t.at++
		}
	}
	return nil
}

// recv is do for what comes out of a stream.
func (t *Tape) recv(id string, live func() ([]string, error)) ([]string, error) {
	if t == nil || t.recording {
		return t.do(recvVerb, []string{id}, live)
	}
	for t.at < len(t.exchanges) && t.exchanges[t.at].Verb == recvVerb && t.exchanges[t.at].Args[0] != id {
		t.at++
	}
	if err := t.expect(recvVerb, []string{id}); err != nil {
		return nil, err
	}
	x := t.exchanges[t.at]
	t.at++
	if x.failed() {
		return nil, &Failure{Verdict: x.Failure}
	}
	return x.Results, nil
}
