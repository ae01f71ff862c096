package monitor

import "time"

// How the first round of new checks is spread: so many at once, the others at this
// distance, unless that would take longer than their interval.
const (
	atOnce      = 100
	firstPacing = time.Millisecond
)

// spread gives the j-th of n new checks (from 0) its first slot, as an offset from now,
// and the distance from there to its second slot. The first round is quick, since an
// operator waits for it: the first hundred start at once, the others within one
// interval. Where it is quicker than the interval, second slots lie between a
// half and a whole interval after the first ones, and stretch the round over the interval.
func spread(j, n int, interval time.Duration) (first, gap time.Duration) {
	rest := n - atOnce
	window := min(interval, time.Duration(max(rest, 0))*firstPacing)
	if j >= atOnce {
		first = scale(window, j-atOnce+1, rest)
	}
	gap = interval - scale(interval-window, n-j-1, n)/2
	return first, gap
}

// scale returns d * num / den without overflowing on long intervals.
func scale(d time.Duration, num, den int) time.Duration {
	return time.Duration(float64(d) * float64(num) / float64(den))
}
