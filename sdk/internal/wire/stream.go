package wire

import (
	"context"
	"errors"
	"io"
	"sync"

	checkv1 "github.com/ldirectord/ldirectord/proto/check/v1"
	"github.com/ldirectord/ldirectord/sdk"
)

// Stream is the host's end of a Run stream. Register, Forget and Start never block: what
// they are told travels in batches as fast as the plugin reads.
//
// It carries what the plugin says and no more: a plugin that dies or hangs owes verdicts that
// never come. Numbers must not be used twice.
type Stream struct {
	rpc     checkv1.Check_RunClient
	cancel  context.CancelFunc
	results chan []sdk.Result
	kick    chan struct{} // capacity 1: there is something to send
	done    chan struct{} // closed when the stream has ended

	mu       sync.Mutex // guards what follows
	register map[uint64]*checkv1.Registration
	forget   map[uint64]bool
	start    []*checkv1.Due
	err      error // why it ended
}

func newStream(rpc checkv1.Check_RunClient, cancel context.CancelFunc) *Stream {
	return &Stream{
		rpc: rpc, cancel: cancel,
		results:  make(chan []sdk.Result),
		kick:     make(chan struct{}, 1),
		done:     make(chan struct{}),
		register: map[uint64]*checkv1.Registration{},
		forget:   map[uint64]bool{},
	}
}

// Register makes a check known to the plugin.
func (s *Stream) Register(id uint64, t sdk.Target, o sdk.Options) {
	r := &checkv1.Registration{Id: id, Target: toTarget(t), Options: toOptions(o)}
	s.mu.Lock()
	s.register[id] = r
	s.mu.Unlock()
	s.wake()
}

// Forget drops a check. A probe in flight is cancelled; its result may still come.
func (s *Stream) Forget(id uint64) {
	s.mu.Lock()
	delete(s.register, id) // a batch forgets before it registers
	s.forget[id] = true
	s.mu.Unlock()
	s.wake()
}

// Start starts one probe of each registered check in due.
func (s *Stream) Start(due []sdk.Due) {
	batch := make([]*checkv1.Due, len(due))
	for i, d := range due {
		batch[i] = &checkv1.Due{Id: d.ID, Remaining: int64(d.Remaining)}
	}
	s.mu.Lock()
	s.start = append(s.start, batch...)
	s.mu.Unlock()
	s.wake()
}

// Results delivers verdicts in batches. It is closed when the stream has ended; Err says why.
// Whoever stops reading it must Close the stream.
func (s *Stream) Results() <-chan []sdk.Result { return s.results }

// Err is why the stream ended; nil before, and after Close.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the stream and all its probes.
func (s *Stream) Close() {
	s.end(nil)
}

// end notes the first reason and stops both goroutines.
func (s *Stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return
	default:
	}
	s.err = err
	close(s.done)
	s.cancel()
}

func (s *Stream) wake() {
	select {
	case s.kick <- struct{}{}:
	default: // the sender is awake already
	}
}

// receive hands batches on until the stream ends.
func (s *Stream) receive() {
	defer close(s.results)
	for {
		r, err := s.rpc.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the plugin closed the stream")
			}
			s.end(plain(err))
			return
		}
		batch := make([]sdk.Result, len(r.GetResults()))
		for i, one := range r.GetResults() {
			batch[i] = sdk.Result{ID: one.GetId(), Verdict: fromVerdict(one.GetVerdict())}
		}
		select {
		case s.results <- batch:
		case <-s.done:
			return
		}
	}
}

// send writes what has gathered until the stream ends; receive reports why.
func (s *Stream) send() {
	for {
		select {
		case <-s.done:
			return
		case <-s.kick:
		}
		for _, m := range s.take() {
			if s.rpc.Send(m) != nil {
				return // receive learns the reason
			}
		}
	}
}

// take cuts what has gathered into messages: forget, then register, then start, as the
// protocol orders them.
func (s *Stream) take() (all []*checkv1.RunRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := &checkv1.RunRequest{}
	for id := range s.forget {
		first.Forget = append(first.Forget, id)
	}
	regs := make([]*checkv1.Registration, 0, len(s.register))
	for _, r := range s.register {
		regs = append(regs, r)
	}
	n := fitting(regs)
	first.Register = regs[:n]
	all = append(all, first)
	for regs = regs[n:]; len(regs) > 0; regs = regs[n:] {
		n = fitting(regs)
		all = append(all, &checkv1.RunRequest{Register: regs[:n]})
	}
	last := all[len(all)-1]
	for _, d := range s.start {
		if !s.forget[d.GetId()] {
			last.Start = append(last.Start, d)
		}
	}
	clear(s.forget)
	clear(s.register)
	s.start = nil
	return all
}
