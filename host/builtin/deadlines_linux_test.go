package builtin

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestDeadlines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	epoch := time.Unix(0, 0)
	var d deadlines
	in := map[*attempt]bool{}
	for range 5000 {
		switch r.IntN(3) {
		case 0, 1:
			a := &attempt{deadline: epoch.Add(time.Duration(r.IntN(1000)))}
			d.add(a)
			in[a] = true
		default:
			for a := range in {
				d.remove(a)
				d.remove(a) // a second time is nothing
				delete(in, a)
				break
			}
		}
		if len(d) != len(in) {
			t.Fatalf("%d in the heap, want %d", len(d), len(in))
		}
	}
	last := epoch
	for a := d.first(); a != nil; a = d.first() {
		if a.deadline.Before(last) || !in[a] {
			t.Fatalf("%v after %v, known %v", a.deadline, last, in[a])
		}
		last = a.deadline
		d.remove(a)
		delete(in, a)
	}
	if len(in) > 0 {
		t.Errorf("%d left out", len(in))
	}
}

// What one deadline costs must not grow with what else is in flight: with scans of everything, ten
// thousand that expire one by one among as many cost seconds.
func TestManyDeadlines(t *testing.T) {
	l := newConnections(nil, -1)
	defer l.out.timer.Stop()
	defer l.timer.Stop()
	const n = 40000
	now := time.Now()
	for i := range uint64(n) {
		a := &attempt{id: i + 1, seq: i + 1, fd: -1, began: now, deadline: now.Add(time.Hour + time.Duration(i)*time.Millisecond)}
		l.flying[a.seq], l.byID[a.id] = a, a
		l.expectEnd(a)
	}
	began := time.Now()
	for i := range n / 2 {
		l.expire(now.Add(time.Hour + time.Duration(i)*time.Millisecond))
	}
	if took := time.Since(began); len(l.flying) != n/2 || len(l.byID) != n/2 || took > 4*time.Second {
		t.Errorf("%d in flight, want %d; took %v", len(l.flying), n/2, took)
	}
	if got, want := l.armed, now.Add(time.Hour+n/2*time.Millisecond); !got.Equal(want) {
		t.Errorf("the timer is set for %v, want %v", got, want)
	}
}
