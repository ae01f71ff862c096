package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// What makes a window worth counting.
const (
	sustained   = 0.95 // of the demanded rate
	catchingUp  = 1.05 // of it: what was late before is not to be counted now
	quietCores  = 0.1  // of others
	boundaryMax = 1.3  // http through its plugin, against the same in one process
	rivalMax    = 2.0  // http through its plugin, against keepalived
)

// describe is a window in one line.
func describe(w window) string {
	begin := fmt.Sprintf("%-10s round %d  %-20s", w.Block, w.Round, w.Checker)
	if w.Error != "" {
		return begin + w.Error
	}
	return fmt.Sprintf("%s%6.0f/s  %7.1f ms/1000  p99 %7.1f ms  max %7.1f ms  PSS %5.1f MB  others %.2f",
		begin, w.Rate, w.CPU, w.P99, w.Max, megabytes(w.PSS), w.Others)
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }

func (w window) sustained() bool {
	demand := float64(w.Demand)
	return w.Error == "" && w.Rate >= sustained*demand && w.Rate <= catchingUp*demand
}

// row is what a table says of one checker in one block.
type row struct {
	windows []window // sustained ones
	all     int
}

func rowOf(seen []window, block, checker string) row {
	var r row
	for _, w := range seen {
		if w.Block != block || w.Checker != checker {
			continue
		}
		r.all++
		if w.sustained() {
			r.windows = append(r.windows, w)
		}
	}
	return r
}

func (r row) median(of func(window) float64) float64 {
	var values []float64
	for _, w := range r.windows {
		values = append(values, of(w))
	}
	return median(values)
}

// median is NaN of nothing.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func cpu(w window) float64 { return w.CPU }

// inGuest says whether the windows of a block have been measured from outside, farm included.
func inGuest(block string) bool { return strings.HasPrefix(block, "guest") }

// farmShare is what the farm takes at most of a window in a guest: half of what bare loop and farm
// take together, since the farm makes fewer system calls than the loop. To take off too much makes
// ratios more extreme than they are. Without a bare loop among the windows it is NaN.
func farmShare(seen []window, block, checker string) float64 {
	if !inGuest(block) {
		return 0
	}
	bare := "bare"
	if strings.Contains(checker, "connect") {
		bare = "bare-connect"
	}
	return rowOf(seen, block, bare).median(cpu) / 2
}

// ratio is the median of the ratios of two checkers within the same round, in how many rounds
// that could be had, and how busy others were in them.
func ratio(seen []window, block, checker, to string) (value float64, rounds int, others float64) {
	var values, busy []float64
	farm := farmShare(seen, block, checker)
	for _, a := range rowOf(seen, block, checker).windows {
		for _, b := range rowOf(seen, block, to).windows {
			if a.Round == b.Round && b.CPU > farm {
				values = append(values, (a.CPU-farm)/(b.CPU-farm))
				busy = append(busy, max(a.Others, b.Others))
			}
		}
	}
	return median(values), len(values), median(busy)
}

// references are what the ratios of a block are to, by checker.
func reference(block, checker string) string {
	rival := "bare"
	if inGuest(block) {
		rival = "keepalived"
	}
	if strings.Contains(checker, "connect") {
		return rival + "-connect"
	}
	return rival
}

// printTable prints a table for each block, in the order of the lines, and then the gates.
func printTable(out io.Writer, seen []window) {
	var names []string
	for _, w := range seen {
		if !slices.Contains(names, w.Block) {
			names = append(names, w.Block)
		}
	}
	for _, name := range names {
		printBlock(out, seen, name)
	}
	fmt.Fprintln(out)
	for _, name := range names {
		printGate(out, seen, name, "one-process", boundaryMax)
		printGate(out, seen, name, "keepalived", rivalMax)
	}
}

func printBlock(out io.Writer, seen []window, block string) {
	fmt.Fprintf(out, "\n%s (each server checked once a second)\n", block)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "check\tCPU ms/1,000\tleast-most\tratio\tto\trate\tp99\tlongest\tPSS MB\tRSS MB\tothers\twindows")
	for _, c := range checkers {
		r := rowOf(seen, block, c.name)
		if r.all == 0 {
			continue
		}
		if len(r.windows) == 0 {
			fmt.Fprintf(t, "%s\tnot sustained\t\t\t\t%s\t\t\t\t\t\t0 of %d\n", c.what, reached(seen, block, c.name), r.all)
			continue
		}
		to := reference(block, c.name)
		value, _, _ := ratio(seen, block, c.name, to)
		least, most := math.Inf(1), 0.0
		for _, w := range r.windows {
			least, most = min(least, w.CPU), max(most, w.CPU)
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.0f-%.0f\t%.2f\t%s\t%.1f %%\t%.0f ms\t%.0f ms\t%.1f\t%.1f\t%.2f\t%d of %d\n",
			c.what, r.median(cpu), least, most, value, to,
			r.median(func(w window) float64 { return 100 * w.Rate / float64(w.Demand) }),
			r.median(func(w window) float64 { return w.P99 }),
			r.median(func(w window) float64 { return w.Max }),
			r.median(func(w window) float64 { return megabytes(w.PSS) }),
			r.median(func(w window) float64 { return megabytes(w.RSS) }),
			r.median(func(w window) float64 { return w.Others }), len(r.windows), r.all)
	}
	t.Flush()
}

// reached is the best rate of a checker that kept up in no window, or why there was none.
func reached(seen []window, block, checker string) string {
	best, why := 0.0, ""
	for _, w := range seen {
		if w.Block == block && w.Checker == checker {
			best = max(best, 100*w.Rate/float64(w.Demand))
			why = w.Error
		}
	}
	if best == 0 && why != "" {
		return why
	}
	return fmt.Sprintf("%.1f %%", best)
}

// printGate compares http through its plugin with another checker of its block.
func printGate(out io.Writer, seen []window, block, to string, limit float64) {
	if rowOf(seen, block, to).all == 0 {
		return
	}
	value, rounds, others := ratio(seen, block, "http", to)
	state := "kept"
	switch {
	case rounds == 0:
		state = "not sustained"
	case others > quietCores:
		state = "not measured: others were busy"
	case value > limit:
		state = "MISSED"
	}
	fmt.Fprintf(out, "%s: http / %s = %.2f (limit %.1f; %d rounds; others %.2f cores): %s\n",
		block, to, value, limit, rounds, others, state)
}

// printFiles prints the table of raw lines that were kept.
func printFiles(paths []string) error {
	var seen []window
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var w window
			if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			seen = append(seen, w)
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	printTable(os.Stdout, seen)
	return nil
}
