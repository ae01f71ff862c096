package config

import (
	"encoding/json"
	"io"
	"maps"

	"github.com/ldirectord/ldirectord/lvs"
)

// The shape of DumpJSON. Values are as in the file, numbers and flags as such; a line of 0
// stands for a default.
type (
	viewFile struct {
		File     string        `json:"file"`
		Instance string        `json:"instance"`
		Global   []viewRow     `json:"global"`
		Services []viewService `json:"services"`
		Warnings []viewProblem `json:"warnings"`
	}
	viewRow struct {
		Directive string `json:"directive"`
		Value     any    `json:"value"`
		Line      int    `json:"line"`
	}
	viewService struct {
		Directive  string       `json:"directive"` // virtual or virtual6
		Value      string       `json:"value"`
		Line       int          `json:"line"`
		Key        string       `json:"key"` // as in the log: tcp:10.0.0.1:80
		Unresolved bool         `json:"unresolved"`
		Directives []viewRow    `json:"directives"`
		Servers    []viewServer `json:"servers"`
		Fallback   *viewServer  `json:"fallback"`
	}
	viewServer struct {
		Name       string            `json:"name"`
		Line       int               `json:"line"`
		Key        string            `json:"key"` // its entry of the table
		Unresolved bool              `json:"unresolved"`
		Method     string            `json:"method"`
		Weight     uint32            `json:"weight"`
		Lower      uint32            `json:"lower"`
		Upper      uint32            `json:"upper"`
		Check      string            `json:"check,omitempty"` // where checks look
		Network    string            `json:"network,omitempty"`
		Options    map[string]string `json:"options,omitempty"`
	}
	viewProblem struct {
		File      string `json:"file"`
		Line      int    `json:"line"`
		Column    int    `json:"column"`
		Directive string `json:"directive"`
		Found     string `json:"found"`
		Text      string `json:"text"`
	}
)

// DumpJSON writes the configuration in force for machines: the rows of Dump, in objects.
func (c *Config) DumpJSON(w io.Writer, o DumpOptions) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(c.view(o))
}

// MarshalJSON writes what DumpJSON writes, without secrets.
func (c *Config) MarshalJSON() ([]byte, error) { return json.Marshal(c.view(DumpOptions{})) }

// MarshalJSON writes a problem with its place.
func (p Problem) MarshalJSON() ([]byte, error) { return json.Marshal(viewOf(p)) }

func viewOf(p Problem) viewProblem {
	return viewProblem{p.Pos.File, p.Pos.Line, p.Pos.Col, p.Directive, p.Found, p.Want}
}

func (c *Config) view(o DumpOptions) viewFile {
	v := viewFile{File: c.File, Instance: c.Instance, Global: viewRows(c.globalLines(), o),
		Services: []viewService{}, Warnings: []viewProblem{}}
	for i := range c.Services {
		v.Services = append(v.Services, c.Services[i].view(c.Global.Fork, o))
	}
	for _, w := range c.Warnings {
		v.Warnings = append(v.Warnings, viewOf(w))
	}
	return v
}

func viewRows(rows []row, o DumpOptions) []viewRow {
	out := []viewRow{}
	for _, l := range rows {
		v := viewRow{Directive: l.name, Value: l.value, Line: l.pos.Line}
		switch set := l.value.(type) {
		case nil:
			v.Value = l.text
		case EmailStatus:
			v.Value = set.String()
		case lvs.SchedFlags:
			v.Value = schedFlagsText(set)
		}
		if text, ok := v.Value.(string); ok && !o.Secrets {
			v.Value = HideUserinfo(text)
		}
		if l.secret && !o.Secrets {
			v.Value = hidden
		}
		out = append(out, v)
	}
	return out
}

func (s *Service) view(fork bool, o DumpOptions) viewService {
	v := viewService{Directive: inFamily("virtual", s.Key.Family == lvs.IPv6), Value: s.Name, Line: s.Pos.Line,
		Key: s.Key.String(), Unresolved: s.Unresolved, Directives: viewRows(s.ownLines(fork), o), Servers: []viewServer{}}
	for i := range s.Servers {
		v.Servers = append(v.Servers, s.Servers[i].view(s.Defaults, o))
	}
	if f := s.Fallback; f != nil {
		v.Fallback = &viewServer{Name: f.Name, Line: f.Pos.Line, Key: f.Key.String(), Unresolved: f.Unresolved,
			Method: f.Server.Method.String(), Weight: f.Server.Weight}
	}
	return v
}

func (r *Server) view(defaults map[string]string, o DumpOptions) viewServer {
	v := viewServer{Name: r.Name, Line: r.Pos.Line, Key: r.Key.String(), Unresolved: r.Unresolved,
		Method: r.Server.Method.String(), Weight: r.Server.Weight, Lower: r.Server.Lower, Upper: r.Server.Upper,
		Check: r.CheckAddr.String(), Network: r.CheckNetwork, Options: map[string]string{}}
	options := maps.Clone(defaults)
	maps.Copy(options, r.Options)
	for name, value := range options {
		switch {
		case o.Secrets:
		case r.Secrets[name]:
			value = hidden
		default:
			value = HideUserinfo(value)
		}
		v.Options[name] = value
	}
	return v
}
