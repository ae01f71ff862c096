package builtin

import "container/heap"

// deadlines holds the attempts that are waited for, the one that ends first at the head. It
// is a heap whose attempts know their places, so that one that ends early leaves at once.
type deadlines []*attempt

// first returns the attempt whose time is over first, nil for none.
func (d deadlines) first() *attempt {
	if len(d) == 0 {
		return nil
	}
	return d[0]
}

func (d *deadlines) add(a *attempt) { heap.Push(d, a) }

// remove takes a out, if it is in.
func (d *deadlines) remove(a *attempt) {
	if a.place > 0 {
		heap.Remove(d, a.place-1)
	}
}

// Len, Less, Swap, Push and Pop are for container/heap alone.
func (d deadlines) Len() int { return len(d) }

// Less orders by deadline.
func (d deadlines) Less(i, j int) bool { return d[i].deadline.Before(d[j].deadline) }

// Swap keeps the places.
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i+1, j+1
}

// Push appends.
func (d *deadlines) Push(x any) {
	a := x.(*attempt)
	*d = append(*d, a)
	a.place = len(*d)
}

// Pop takes the last one.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	a := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	a.place = 0
	return a
}
