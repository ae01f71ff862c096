package config

import (
	"errors"
	"slices"
	"strings"

	"github.com/ldirectord/ldirectord/lvs"
)

// service and port of ldirectord(8), "service".
type portService struct {
	port    uint16
	service string
}

// portServices says which service a virtual service's port stands for.
func portServices() []portService {
	return []portService{
		{21, "ftp"}, {25, "smtp"}, {53, "dns"}, {80, "http"}, {110, "pop"}, {119, "nntp"}, {143, "imap"},
		{389, "ldap"}, {443, "https"}, {587, "submission"}, {636, "ldaps"}, {993, "imaps"}, {995, "pops"},
		{1521, "oracle"}, {1812, "radius"}, {3128, "http_proxy"}, {3306, "mysql"}, {5432, "pgsql"}, {5060, "sip"},
	}
}

// none is the service that is not checked at all.
const none = "none"

// checkService fills in CheckService, and makes the connect check of udp a ping. It returns
// false when nothing says which service it is, because that or the port is wrong.
func (b *builder) checkService(sec *section, s *Service) bool {
	if s.CheckType == Connect && s.Key.Protocol == lvs.UDP {
		s.CheckType = Ping
	}
	if p, ok := sec.set["service"]; ok {
		s.CheckService = p.value.(string)
		s.Origins["service"] = p.pos
		return true
	}
	if sec.bad["service"] || (!sec.keyed && s.Key == lvs.ServiceKey{}) {
		return false
	}
	s.CheckService = none
	for _, p := range portServices() {
		if s.Key.Protocol != lvs.FWM && p.port == s.Key.Addr.Port() {
			s.CheckService = p.service
		}
	}
	return true
}

// negotiates tells whether the section's check speaks its service's protocol.
func (s *Service) negotiates() bool {
	return (s.CheckType == Negotiate || s.CheckType == Combined) && s.CheckService != none
}

// lookup asks the catalog for a service, once.
func (b *builder) lookup(service string) lookup {
	answer, ok := b.infos[service]
	if service == "" {
		answer.err = ErrUnknownService
	} else if !ok {
		answer.info, answer.err = b.catalog.Lookup(service)
		b.infos[service] = answer
	}
	return answer
}

// defaultPort is where the section's service is found when nothing names a port: the
// manual's port, or the one that the service itself says; 0 when there is neither.
func (b *builder) defaultPort(s *Service) uint16 {
	if s.negotiates() {
		if a := b.lookup(s.CheckService); a.err == nil && a.info.Port != 0 {
			return a.info.Port
		}
	}
	for _, p := range portServices() {
		if p.service == s.CheckService {
			return p.port
		}
	}
	return 0
}

// checkAvailable reports a check that this machine cannot run. It returns what is known of
// the one that takes options, which is the service's or the check type's own.
func (b *builder) checkAvailable(sec *section, s *Service) ServiceInfo {
	typeAt := sec.pos
	if p, ok := sec.set["checktype"]; ok {
		typeAt = p.at
	}
	var info ServiceInfo
	kind := s.CheckType.String()
	switch s.CheckType {
	case Combined:
		kind = "connect"
		if s.Key.Protocol == lvs.UDP {
			kind = "ping"
		}
		fallthrough
	case Connect, Ping, External, ExternalPerl, ExternalLua:
		a := b.lookup(kind)
		if a.err != nil {
			b.refuse(typeAt, "checktype", "", "check "+kind+": "+a.err.Error())
		}
		info = a.info
	}
	if s.negotiates() {
		info = b.serviceAvailable(sec, s)
	} else if sec.typed {
		b.serviceKnown(sec)
	}
	return info
}

// serviceKnown reports a word that is no service, in a section whose check has no use for one. What
// ldirectord(8) has is one, whether its plugin is there or not.
func (b *builder) serviceKnown(sec *section) {
	p, ok := sec.set["service"]
	if !ok {
		return
	}
	known := []string{none, "simpletcp"}
	for _, p := range portServices() {
		known = append(known, p.service)
	}
	if slices.Contains(known, p.value.(string)) {
		return
	}
	known = append(known, b.catalog.Services()...)
	slices.Sort(known)
	known = slices.Compact(known)
	if name := p.value.(string); !slices.Contains(known, name) {
		b.refuse(p.at, "service", name, listed(known)+didYouMean(name, known))
	}
}

// serviceAvailable reports a service that does not exist or cannot be used. When the check
// type is not known, only a word that is no service at all is wrong for sure.
func (b *builder) serviceAvailable(sec *section, s *Service) ServiceInfo {
	if !sec.served {
		return ServiceInfo{}
	}
	at, given := sec.servicePos()
	a := b.lookup(s.CheckService)
	unknown := errors.Is(a.err, ErrUnknownService)
	switch {
	case a.err == nil:
		if sec.v6 && !a.info.IPv6 && sec.typed {
			b.warn(at, "service", "%s does not say that it can check IPv6 addresses", s.CheckService)
		}
	case !sec.typed && !(given && unknown):
	case unknown:
		known := b.catalog.Services()
		if !slices.Contains(known, none) {
			known = append(slices.Clone(known), none)
			slices.Sort(known)
		}
		// What the catalog adds says where it looked.
		_, where, _ := strings.Cut(a.err.Error(), ErrUnknownService.Error()+": ")
		if where != "" {
			where = "; " + where
		}
		b.refuse(at, "service", s.CheckService, listed(known)+didYouMean(s.CheckService, known)+where)
	case given:
		b.refuse(at, "service", "", a.err.Error())
	default:
		b.refuse(at, "service", "", s.CheckService+", which the port stands for: "+a.err.Error())
	}
	return a.info
}

// servicePos is where what concerns the service is reported: its line, or the section's.
func (sec *section) servicePos() (at Pos, given bool) {
	if p, ok := sec.set["service"]; ok {
		return p.at, true
	}
	return sec.at, false
}
