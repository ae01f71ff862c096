package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// PluginReport is what `plugins` prints.
type PluginReport struct {
	Directories []string `json:"directories"` // the search path
	Plugins     []Plugin `json:"plugins"`
}

// Plugin is one file of the plugin directories.
type Plugin struct {
	Service  string `json:"service"`            // that it is named after
	Path     string `json:"path"`               // in its directory
	Real     string `json:"real,omitempty"`     // with links resolved
	Shadowed string `json:"shadowed,omitempty"` // the file that counts instead
	Error    string `json:"error,omitempty"`    // why it cannot be used

	// What it says of itself; empty when it was not asked, or does not answer.
	Version  string         `json:"version,omitempty"`
	Summary  string         `json:"summary,omitempty"`
	Services []Service      `json:"services,omitempty"`
	Options  []PluginOption `json:"options,omitempty"`
	IPv6     bool           `json:"ipv6"`
}

// Service is one that a plugin describes.
type Service struct {
	Name    string `json:"name"`
	Port    uint16 `json:"port,omitempty"` // 0: it has to be configured
	Network string `json:"network"`
}

// PluginOption is one that a plugin takes.
type PluginOption struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Default  string `json:"default,omitempty"`
	Help     string `json:"help,omitempty"`
	Required bool   `json:"required,omitempty"`
	Secret   bool   `json:"secret,omitempty"`
}

// Usable says whether the plugin can be configured.
func (p Plugin) Usable() bool { return p.Error == "" && p.Shadowed == "" }

// JSON prints everything as one object.
func (r PluginReport) JSON(out io.Writer) error {
	if r.Plugins == nil {
		r.Plugins = []Plugin{}
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Text prints a line for each plugin, and below it, on demand, its options.
func (r PluginReport) Text(out io.Writer, options bool) error {
	if len(r.Plugins) == 0 {
		_, err := fmt.Fprintf(out, "no plugins in %s\n", strings.Join(r.Directories, ", "))
		return err
	}
	lines := r.table()
	fmt.Fprintln(out, lines[0])
	described := map[string]string{} // the service that a binary was described under
	var missing []string
	for i, p := range r.Plugins {
		fmt.Fprintln(out, lines[i+1])
		if !p.Usable() {
			continue
		}
		if as, ok := described[p.Real]; ok {
			if options {
				fmt.Fprintf(out, "    options as of %s\n", as)
			}
			continue
		}
		described[p.Real] = p.Service
		missing = append(missing, r.unlinked(p)...)
		if options {
			p.options(out)
		}
	}
	for _, line := range missing {
		fmt.Fprintln(out, line)
	}
	return nil
}

// table is a head and a line for each plugin, in columns.
func (r PluginReport) table() []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tPORT\tVERSION\tPATH\tREMARKS")
	for _, p := range r.Plugins {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Service, p.port(), orDash(plain(p.Version)), plain(p.Path), p.remark())
	}
	_ = w.Flush() // into memory
	return strings.Split(b.String(), "\n")
}

// port is that of the service that the file is named after.
func (p Plugin) port() string {
	for _, s := range p.Services {
		switch {
		case s.Name != p.Service:
		case s.Port == 0:
			return "-/" + plain(s.Network)
		default:
			return strconv.Itoa(int(s.Port)) + "/" + plain(s.Network)
		}
	}
	return "-"
}

// remark is the end of a plugin's line.
func (p Plugin) remark() string {
	var parts []string
	switch {
	case p.Shadowed != "":
		parts = append(parts, "shadowed by "+plain(p.Shadowed))
		if p.Error != "" {
			parts = append(parts, plain(p.Error))
		}
	case p.Error != "":
		parts = append(parts, "cannot be used: "+plain(p.Error))
	default:
		if p.Summary != "" {
			parts = append(parts, plain(p.Summary))
		}
		if !p.IPv6 {
			parts = append(parts, "not over IPv6")
		}
	}
	return strings.Join(parts, "; ")
}

// options are lines that no column of the table shares.
func (p Plugin) options(w io.Writer) {
	for _, o := range p.Options {
		remarks := []string{plain(o.Type)}
		if o.Required {
			remarks = append(remarks, "required")
		}
		if o.Default != "" {
			remarks = append(remarks, "default "+plain(o.Default))
		}
		if o.Secret {
			remarks = append(remarks, "secret")
		}
		fmt.Fprintf(w, "    %-18s %s (%s)\n", plain(o.Name), plain(o.Help), strings.Join(remarks, ", "))
	}
	if len(p.Options) == 0 {
		fmt.Fprintln(w, "    no options")
	}
}

// unlinked are services that p offers and no file is named after.
func (r PluginReport) unlinked(p Plugin) []string {
	named := map[string]bool{}
	for _, one := range r.Plugins {
		named[one.Service] = true
	}
	var lines []string
	for _, s := range p.Services {
		if !named[s.Name] {
			lines = append(lines, fmt.Sprintf("%s could serve %s too: link ldirectord-check-%[2]s to it", plain(p.Path), plain(s.Name)))
		}
	}
	return lines
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
