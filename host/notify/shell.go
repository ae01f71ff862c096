package notify

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// queued bounds how many commands may wait for one virtual service, or one file; more than that are
// dropped, loudly.
const queued = 1024

// atOnce bounds the commands that run at the same time: so many would have to hang to hold up others.
const atOnce = 64

// commandLimit is how long a command may run before its process group is ended.
const commandLimit = 60 * time.Second

// order is one command to run.
type order struct {
	line  string // the directive's value, a shell's command line
	args  []string
	stdin []byte
	log   *slog.Logger // with what the order is about
}

// shells runs the commands of one directive: those with the same key one after the other in their
// order, others at the same time, so that one that hangs delays none but its own kind.
type shells struct {
	directive string
	log       *slog.Logger
	limit     time.Duration
	dryRun    bool // nothing is run
	places    chan struct{}
	running   sync.WaitGroup

	mu      sync.Mutex // guards the rest: every sink's goroutine and the drains share it
	waiting map[string][]order
	dropped map[string]int                // since the last one ran
	busy    map[string]context.CancelFunc // ends the one that runs
	heard   map[*output]bool              // somebody may still write to it
}

func newShells(directive string, log *slog.Logger) *shells {
	return &shells{
		directive: directive, log: log, limit: commandLimit,
		places: make(chan struct{}, atOnce), waiting: map[string][]order{}, dropped: map[string]int{},
		busy: map[string]context.CancelFunc{}, heard: map[*output]bool{},
	}
}

// add queues an order. It never blocks.
func (s *shells) add(key string, o order) {
	if s.dryRun {
		o.log.Info(s.directive+" not run: this is a dry run", "arguments", o.args)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line, busy := s.waiting[key]
	if len(line) >= queued {
		if s.dropped[key]++; s.dropped[key] == 1 {
			o.log.Error(s.directive + " dropped: too many are waiting")
		}
		return
	}
	s.waiting[key] = append(line, o)
	if !busy {
		s.running.Go(func() { s.drain(key) }) // close waits for it
	}
}

// drain runs what waits under key, until nothing does.
func (s *shells) drain(key string) {
	for {
		s.mu.Lock()
		line := s.waiting[key]
		if len(line) == 0 {
			delete(s.waiting, key)
			s.mu.Unlock()
			return
		}
		s.waiting[key] = line[1:]
		dropped := s.dropped[key]
		delete(s.dropped, key)
		s.mu.Unlock()
		if dropped > 1 {
			s.log.Error(s.directive+" dropped: too many were waiting", "dropped", dropped)
		}
		s.places <- struct{}{}
		s.run(key, line[0])
		<-s.places
	}
}

// close waits until nothing waits and nothing runs, at most until ctx ends. One that runs while another
// waits behind it has half of that time: a stop must not be lost because the start before it hangs.
// What runs then is left alone, and can go on: it may be a callback that waits for our end to start us anew.
func (s *shells) close(ctx context.Context) {
	done := make(chan struct{})
	go func() { // ends with the last command, or with the process
		defer close(done)
		s.running.Wait()
	}()
	var half <-chan time.Time
	if end, bounded := ctx.Deadline(); bounded {
		half = time.After(time.Until(end) / 2)
	}
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-half:
			s.hurry()
		case <-ctx.Done():
			s.log.Warn(s.directive + " still running: left alone")
			over = true
		}
	}
	s.mu.Lock()
	heard := slices.Collect(maps.Keys(s.heard))
	s.mu.Unlock()
	for _, out := range heard {
		out.handOver()
	}
}

// hurry ends what others wait for.
func (s *shells) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, end := range s.busy {
		if len(s.waiting[key]) > 0 {
			end()
		}
	}
}

// run runs one order. The directives have always been a shell's command line: variables, quotes
// and arguments of its own are in use, and what it leaves in the background is nobody's business.
func (s *shells) run(key string, o order) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	cmd, out, err := begin(ctx, o.stdin, "/bin/sh", append([]string{"-c", o.line + ` "$@"`, "sh"}, o.args...)...)
	last := ""
	if err == nil {
		s.note(key, cancel, out)
		err = cmd.Wait()
		last = out.line()
		s.note(key, nil, out)
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		o.log.Error(s.directive + " ended: it ran too long while ldirectord stops and another one waits")
	case ctx.Err() != nil:
		o.log.Error(s.directive+" ended: it ran too long", "limit", s.limit)
	case err != nil:
		o.log.Error(s.directive+" failed", "reason", err, "output", last)
	default:
		o.log.Info(s.directive + " done")
	}
}

// note keeps how to end what runs under key, nil for nothing, and the outputs that somebody writes to.
func (s *shells) note(key string, end context.CancelFunc, out *output) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end != nil {
		s.busy[key] = end
	} else {
		delete(s.busy, key)
	}
	s.heard[out] = true
	maps.DeleteFunc(s.heard, func(o *output, _ bool) bool { return o.ended() })
}
