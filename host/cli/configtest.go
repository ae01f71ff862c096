package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/ldirectord/ldirectord/config"
)

// ConfigReport is what configtest prints.
type ConfigReport struct {
	Config  *config.Config // nil with errors
	Errors  *config.Errors // nil without
	Dump    bool           // the effective configuration too
	Secrets bool           // with passwords in it
}

func (r ConfigReport) problems() (bad, warnings []config.Problem) {
	if r.Errors != nil {
		return r.Errors.Problems, r.Errors.Warnings
	}
	return nil, r.Config.Warnings
}

// Text prints the dump to out, errors and warnings to err, a line each.
func (r ConfigReport) Text(out, err io.Writer) error {
	bad, warnings := r.problems()
	for _, p := range bad {
		fmt.Fprintln(err, p)
	}
	for _, p := range warnings {
		fmt.Fprintln(err, "warning: "+p.String())
	}
	if r.Config == nil || !r.Dump {
		return nil
	}
	return r.Config.Dump(out, config.DumpOptions{Secrets: r.Secrets})
}

// problem is a config.Problem for machines.
type problem struct {
	File      string `json:"file"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	Directive string `json:"directive,omitempty"`
	Found     string `json:"found,omitempty"`
	Message   string `json:"message"`
}

// JSON prints everything as one object: errors, warnings, and with Dump the configuration.
func (r ConfigReport) JSON(out io.Writer) error {
	bad, warnings := r.problems()
	report := struct {
		OK       bool            `json:"ok"`
		Errors   []problem       `json:"errors"`
		Warnings []problem       `json:"warnings"`
		Config   json.RawMessage `json:"config,omitempty"`
	}{OK: r.Errors == nil, Errors: problems(bad), Warnings: problems(warnings)}
	if r.Config != nil && r.Dump {
		var dump bytes.Buffer
		if err := r.Config.DumpJSON(&dump, config.DumpOptions{Secrets: r.Secrets}); err != nil {
			return err
		}
		report.Config = dump.Bytes()
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(report)
}

func problems(list []config.Problem) []problem {
	out := make([]problem, 0, len(list))
	for _, p := range list {
		out = append(out, problem{p.Pos.File, p.Pos.Line, p.Pos.Col, p.Directive, p.Found, p.Want})
	}
	return out
}
