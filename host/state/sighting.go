package state

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/ldirectord/ldirectord/config"
)

// Sighting is an observation as one real server of one virtual service sees it.
type Sighting struct {
	Observation
	Service *config.Service
	// RealID names the check, see RealID.
	RealID string
}

// Sightings returns what o is to the virtual services with a monitorfile; nil when none of those
// has the check.
func (s *State) Sightings(o Observation) []Sighting {
	if !s.monitored {
		return nil
	}
	var out []Sighting
	for _, w := range s.watches[o.Check] {
		if w.realID != "" {
			out = append(out, Sighting{Observation: o, Service: w.service.cfg, RealID: w.realID})
		}
	}
	return out
}

// RealID names the check of a real line for people and for the programs that read a monitorfile. It
// has the fields of the Perl ldirectord in their order, with blanks between: checktype, service or
// command, protocol, address, port, virtualhost, checkport, weight, forwarding method, request,
// receive. Those that do not apply are missing, the last two are empty or a slash. Unlike a CheckID it is the same
// after a restart, and holds no digest: secrets are no part of it.
func RealID(v *config.Service, r *config.Server) string {
	parts := []string{checkTypeName(v.CheckType)}
	switch v.CheckType {
	case config.Negotiate, config.Combined:
		parts = append(parts, v.CheckService)
	case config.External, config.ExternalPerl, config.ExternalLua:
		parts = append(parts, cmp.Or(v.CheckCommand, "lua"))
	}
	parts = append(parts, v.Key.Protocol.String(), bracketed(r), strconv.Itoa(int(r.Addr.Port())))
	if host := public(v, r, "virtualhost"); host != "" {
		parts = append(parts, host)
	}
	if v.CheckPort != 0 {
		parts = append(parts, strconv.Itoa(int(v.CheckPort)))
	}
	request := public(v, r, "request")
	if !strings.Contains(request, "://") && (request == "" || strings.HasPrefix(v.CheckService, "http")) {
		request = "/" + strings.TrimPrefix(request, "/")
	}
	parts = append(parts, strconv.FormatUint(uint64(r.Server.Weight), 10), r.Server.Method.String(), request, public(v, r, "receive"))
	return strings.Join(parts, " ")
}

// checkTypeName is the checktype as the Perl ldirectord names it in a monitorfile.
func checkTypeName(t config.CheckType) string {
	if t == config.Combined {
		return "combined"
	}
	return t.String()
}

func bracketed(r *config.Server) string {
	if r.Addr.Addr().Is6() {
		return "[" + r.Addr.Addr().String() + "]"
	}
	return r.Addr.Addr().String()
}

// public is an option of a real line's check, without what is not to be shown.
func public(v *config.Service, r *config.Server, name string) string {
	value, set := r.Options[name]
	if !set {
		value = v.Defaults[name]
	}
	if value != "" && (r.Secrets[name] || v.Secrets[name]) {
		return "***"
	}
	return userinfo.ReplaceAllString(value, "${1}***@")
}
