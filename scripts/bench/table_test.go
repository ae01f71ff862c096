package main

import (
	"strings"
	"testing"
)

// seen are rounds in which http costs as much as said, its rivals 100 each, and the farm at most 20.
func seen(others float64, costs ...float64) []window {
	var all []window
	for i, cost := range costs {
		for name, cpu := range map[string]float64{"http": cost, "one-process": 100, "keepalived": 100, "bare": 40} {
			all = append(all, window{Block: "guest-10", Round: i + 1, Checker: name, Demand: 10, Rate: 10, CPU: cpu, Others: others})
		}
	}
	return all
}

func TestGates(t *testing.T) {
	slow := seen(0, 120, 120)
	for i := range slow {
		slow[i].Rate = 9
	}
	for name, c := range map[string]struct {
		windows []window
		want    []string
	}{
		"kept":   {seen(0, 116, 124, 900), []string{"one-process = 1.30 (limit 1.3; 3 rounds; others 0.00 cores): kept", "keepalived = 1.30 (limit 2.0; 3 rounds; others 0.00 cores): kept"}},
		"missed": {seen(0.1, 172, 172), []string{"one-process = 1.90 (limit 1.3; 2 rounds; others 0.10 cores): MISSED", "keepalived = 1.90 (limit 2.0; 2 rounds; others 0.10 cores): kept"}},
		"busy":   {seen(0.5, 190), []string{"not measured: others were busy"}},
		"slow":   {slow, []string{"not sustained"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			printTable(&out, c.windows)
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
}

func TestAddress(t *testing.T) {
	for n, want := range map[int]string{0: "127.1.0.1", 249: "127.1.0.250", 250: "127.1.1.1", 64000: "127.2.0.1"} {
		if got := address(n); got.String() != want || indexOf(got.As4()) != n {
			t.Errorf("server %d: %v, and back %d", n, got, indexOf(got.As4()))
		}
	}
}
