package migrate

import (
	"slices"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/lvs"
)

// alertRules are about mail and monitorfile.
func alertRules() []rule {
	return []rule{
		{name: "recipients", find: alerting(2),
			was: "several recipients were made one address, that nobody has",
			now: "each gets the alert"},
		{name: "alerts", find: alerting(1),
			was: "checks waited while a mail was sent, one for each change; a start or a reload mailed each server as it took it out and put it in",
			now: "mails are queued, those of many changes at once share some; what changes is mailed"},
		{name: "reload-mail", find: func(c *config.Config) []spot {
			if pos, ok := c.Global.Origins["emailalert"]; ok {
				return []spot{{pos: pos, directive: "emailalert"}}
			}
			return nil
		},
			was: "a failed reload was logged", now: "and mailed"},
		{name: "mail-sender", find: global("emailalertfrom", func(g *config.Global) bool { return true }),
			was: "the mail server was told root as the sender, whatever emailalertfrom said",
			now: "the address in emailalertfrom"},
		{name: "mail-quotes", find: services(func(_ *config.Config, s *config.Service) []spot {
			return slices.Concat(written(s, "servicename"), written(s, "comment"))
		}),
			was: "quotes around it were part of it", now: "quotes around the whole are dropped"},
		{name: "monitorfile-http", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(s.MonitorFile != "" && asks(s, "http", "https", "http_proxy"), s, "monitorfile")
		}),
			was: "the message of http was the status line", now: "what is wrong, or - when nothing is"},
		{name: "monitorfile-ipv6", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(s.MonitorFile != "" && s.Key.Family == lvs.IPv6, s, "monitorfile")
		}),
			was: "IPv6 addresses had blanks for colons", now: "they are written as they are"},
		{name: "monitorfile-unknown", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(s.MonitorFile != "" && probes(s), s, "monitorfile")
		}),
			was: "every line said up or down", now: "unknown as well, when the check itself could not be made"},
	}
}

// written is the place of a directive that a section has.
func written(s *config.Service, directive string) []spot {
	_, ok := s.Origins[directive]
	return when(ok, s, directive)
}

// alerting finds the emailalert lines with some recipients or more.
func alerting(least int) func(*config.Config) []spot {
	return func(c *config.Config) []spot {
		var out []spot
		if pos, ok := c.Global.Origins["emailalert"]; ok && len(c.Global.EmailAlert) >= least {
			out = append(out, spot{pos: pos, directive: "emailalert"})
		}
		for i := range c.Services {
			if s := &c.Services[i]; len(s.EmailAlert) >= least {
				out = append(out, written(s, "emailalert")...)
			}
		}
		return out
	}
}
