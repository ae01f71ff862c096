package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// LuaReport is what `lua test` prints.
type LuaReport struct {
	Results []LuaResult `json:"results"`
	Passed  int         `json:"passed"`
	Failed  int         `json:"failed"`
}

// LuaResult is what a script came to on one recording.
type LuaResult struct {
	Script    string   `json:"script"`
	Recording string   `json:"recording,omitempty"` // its path; empty when there is none
	Passed    bool     `json:"passed"`
	Seconds   float64  `json:"seconds"`
	Problems  []string `json:"problems,omitempty"`
}

// Add takes in one result.
func (r *LuaReport) Add(one LuaResult) {
	one.Passed = len(one.Problems) == 0
	if one.Passed {
		r.Passed++
	} else {
		r.Failed++
	}
	r.Results = append(r.Results, one)
}

// JSON prints everything as one object.
func (r LuaReport) JSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Text prints a line for each recording, and below it what is wrong.
func (r LuaReport) Text(out io.Writer) error {
	for _, one := range r.Results {
		word := "ok  "
		if !one.Passed {
			word = "FAIL"
		}
		line := word + "  " + plain(one.Script)
		if one.Recording != "" {
			took := time.Duration(one.Seconds * float64(time.Second)).Round(time.Microsecond)
			line += fmt.Sprintf("  %s  (%s)", plain(filepath.Base(one.Recording)), took)
		}
		fmt.Fprintln(out, line)
		for _, problem := range one.Problems {
			fmt.Fprintln(out, "      "+printable(problem, maxProbeLine))
		}
	}
	_, err := fmt.Fprintf(out, "%d passed, %d failed\n", r.Passed, r.Failed)
	return err
}
