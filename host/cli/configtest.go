package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/migrate"
)

// ConfigReport is what configtest prints.
type ConfigReport struct {
	Config  *config.Config // nil with errors
	Errors  *config.Errors // nil without
	Dump    bool           // the effective configuration too
	Secrets bool           // with passwords in it
	Migrate bool           // what was otherwise with the Perl ldirectord, too
	Source  []byte         // with Migrate: what stands in the file
}

func (r ConfigReport) problems() (bad, warnings []config.Problem) {
	if r.Errors != nil {
		return r.Errors.Problems, r.Errors.Warnings
	}
	return nil, r.Config.Warnings
}

// Text prints the differences and the dump to out, errors and warnings to err, a line each. When nothing
// else goes to out, a line says which file was read and that it is good.
func (r ConfigReport) Text(out, err io.Writer) error {
	bad, warnings := r.problems()
	for _, p := range bad {
		fmt.Fprintln(err, p)
	}
	for _, p := range warnings {
		fmt.Fprintln(err, "warning: "+p.String())
	}
	if r.Config != nil && r.Migrate {
		fmt.Fprint(out, migrate.Text(r.Config.File, migrate.Differences(r.Config, r.Source)))
	}
	if r.Config != nil && !r.Migrate && !r.Dump {
		fmt.Fprintln(out, good(r.Config))
	}
	if r.Config == nil || !r.Dump {
		return nil
	}
	return r.Config.Dump(out, config.DumpOptions{Secrets: r.Secrets})
}

// good says what a configuration without errors has.
func good(c *config.Config) string {
	servers := 0
	for i := range c.Services {
		servers += len(c.Services[i].Servers)
	}
	return fmt.Sprintf("%s: no errors, %s; %s, %s", c.File, counted(len(c.Warnings), "warning"),
		counted(len(c.Services), "virtual service"), counted(servers, "real server"))
}

// counted writes "1 thing" or "2 things".
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
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

// difference is a migrate.Difference for machines.
type difference struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column,omitempty"`
	Rule      string `json:"rule"`
	Directive string `json:"directive"`
	Was       string `json:"was"`
	Now       string `json:"now"`
	Keep      []edit `json:"keep"` // empty: nothing keeps it as it was
	Note      string `json:"note,omitempty"`
}

// edit is a migrate.Edit for machines.
type edit struct {
	Place migrate.Place `json:"place"` // top of the file, below Line, or instead of it
	Line  int           `json:"line,omitempty"`
	Text  string        `json:"text"`
}

func differences(list []migrate.Difference) []difference {
	out := make([]difference, 0, len(list))
	for _, d := range list {
		keep := make([]edit, 0, len(d.Keep))
		for _, e := range d.Keep {
			keep = append(keep, edit(e))
		}
		out = append(out, difference{d.Pos.File, d.Pos.Line, d.Pos.Col, d.Rule, d.Directive, d.Was, d.Now, keep, d.Note})
	}
	return out
}

// JSON prints everything as one object: errors, warnings, with Migrate the differences, and with
// Dump the configuration.
func (r ConfigReport) JSON(out io.Writer) error {
	bad, warnings := r.problems()
	report := struct {
		OK       bool            `json:"ok"`
		Errors   []problem       `json:"errors"`
		Warnings []problem       `json:"warnings"`
		Migrate  *[]difference   `json:"migrate,omitempty"`
		Config   json.RawMessage `json:"config,omitempty"`
	}{OK: r.Errors == nil, Errors: problems(bad), Warnings: problems(warnings)}
	if r.Config != nil && r.Migrate {
		list := differences(migrate.Differences(r.Config, r.Source))
		report.Migrate = &list
	}
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
