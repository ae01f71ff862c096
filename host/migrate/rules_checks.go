package migrate

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/lvs"
)

// scriptRules are about external and external-perl.
func scriptRules() []rule {
	external := services(func(_ *config.Config, s *config.Service) []spot {
		return when(s.CheckType == config.External, s, "checktype")
	})
	perl := services(func(_ *config.Config, s *config.Service) []spot {
		return when(s.CheckType == config.ExternalPerl, s, "checktype")
	})
	both := services(func(_ *config.Config, s *config.Service) []spot {
		return when(s.CheckType == config.External || s.CheckType == config.ExternalPerl, s, "checktype")
	})
	return []rule{
		{name: "command-arguments", find: services(commandArguments),
			was: "a checkcommand with blanks was the name of one file",
			now: "blanks separate arguments"},
		{name: "script-signal", find: external,
			was: "a command that a signal ended was up", now: "down"},
		{name: "script-start", find: both,
			was: "a script that cannot be started was down", now: "Unknown: nobody is moved, and the log says so"},
		{name: "script-timeout", find: external,
			was: "at the timeout a command was ended, and what it had started was left running", now: "all of it is ended"},
		{name: "script-environment", find: both,
			was: "scripts had the environment of the daemon",
			now: "PATH, HOME, USER, LOGNAME, SHELL, LANG=C and LDIRECTORD_... alone"},
		{name: "perl-text", find: perl,
			was: "use strict held; an edit counted after a restart; __END__, __DATA__ or a comment without newline at the end: always down",
			now: "as perl runs the file; an edit counts at the next check"},
		{name: "perl-variables", find: perl,
			was: "scripts shared their variables with the daemon, and one that hung held up all checks",
			now: "each has variables of its own, outside of the daemon, and holds up nobody"},
	}
}

// when is the place of a directive, if a rule applies.
func when(applies bool, s *config.Service, directives ...string) []spot {
	if !applies {
		return nil
	}
	return at(s, directives...)
}

func commandArguments(_ *config.Config, s *config.Service) []spot {
	kept := regexp.MustCompile(`'[^']*'|"[^"]*"`) // quotes keep blanks together
	if s.CheckType != config.External && s.CheckType != config.ExternalPerl || !strings.ContainsAny(kept.ReplaceAllString(s.CheckCommand, ""), " \t") {
		return nil
	}
	out := at(s, "checkcommand")
	// Who had a file of that name has a way to say so; single quotes keep it together.
	if !strings.ContainsAny(s.CheckCommand, `'"\`) && config.HideUserinfo(s.CheckCommand) == s.CheckCommand {
		out[0].keep = []Edit{{Instead, out[0].pos.Line, indent + `checkcommand = "'` + s.CheckCommand + `'"`}}
	}
	return out
}

// asks tells whether a section speaks the protocol of one of some services.
func asks(s *config.Service, names ...string) bool {
	return (s.CheckType == config.Negotiate || s.CheckType == config.Combined) && slices.Contains(names, s.CheckService)
}

// speaking makes a finder of the sections that speak one of some protocols.
func speaking(names ...string) func(*config.Config) []spot {
	return services(func(_ *config.Config, s *config.Service) []spot { return when(asks(s, names...), s, "service") })
}

// set is what a section says for an option of its check; "" for nothing.
func set(s *config.Service, option string) string { return s.Options[option] }

// webRules are about http, https and http_proxy.
func webRules() []rule {
	return []rule{
		{name: "https-certificate", keep: "option.tls-verify = yes", note: "this compares the name, too: option.tls-name = \"NAME\" says which",
			find: unverified("https"),
			was:  "on recent systems certificates of unknown authorities were down; names were not compared",
			now:  "certificates are not verified"},
		{name: "virtualhost", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(asks(s, "http", "https") && set(s, "virtualhost") != "", s, "virtualhost")
		}),
			was: "virtualhost was the Host header of the first request",
			now: "the name that TLS asks for (SNI) as well, and kept in redirects within the real server"},
		{name: "request-url", find: services(requestURL),
			was: "a whole URL in a section was a path of the real server, after a slash",
			now: "its host and port are asked instead of the real server's"},
		{name: "request-host", find: services(requestHost),
			was: "the Host header was the real server's address, whatever host the URL has",
			now: "it is the URL's host"},
		{name: "httpmethod-shared", find: methodShared,
			was: "sections that differ in httpmethod alone shared one check, with the method of one of them",
			now: "each has its own"},
		{name: "http-ipv6", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(asks(s, "http", "https", "http_proxy") && s.Key.Family == lvs.IPv6, s, "service")
		}),
			was: "without an optional module of Perl the first check ended the daemon",
			now: "IPv6 is built in"},
		{name: "http-status", find: speaking("http", "https", "http_proxy"),
			was: "a status of 600 and above, and the greeting of another protocol, were up",
			now: "down"},
		{name: "http-body", keep: "option.max-body = 1073741824", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(asks(s, "http", "https", "http_proxy") && receives(s) && set(s, "max-body") == "", s, "receive")
		}),
			was: "receive was searched in the whole page",
			now: "in its first megabyte"},
	}
}

// receives tells whether a check of the section searches for something.
func receives(s *config.Service) bool {
	return set(s, "receive") != "" || slices.ContainsFunc(s.Servers, func(r config.Server) bool { return r.Options["receive"] != "" })
}

// unverified finds sections of TLS services that do not verify certificates.
func unverified(names ...string) func(*config.Config) []spot {
	return services(func(_ *config.Config, s *config.Service) []spot {
		return when(asks(s, names...) && set(s, "tls-verify") != "yes", s, "service")
	})
}

// requestURL finds requests of http and https sections that are whole URLs.
func requestURL(_ *config.Config, s *config.Service) []spot {
	request := set(s, "request")
	if !asks(s, "http", "https") || !isURL(request) {
		return nil
	}
	out := at(s, "request")
	if config.HideUserinfo(request) == request {
		out[0].keep = []Edit{{Instead, out[0].pos.Line, indent + `request = "/` + request + `"`}}
	}
	return out
}

// requestHost finds requests of http and https that are whole URLs in real lines.
func requestHost(_ *config.Config, s *config.Service) []spot {
	if !asks(s, "http", "https") || set(s, "virtualhost") != "" {
		return nil
	}
	var out []spot
	addrs := map[netip.Addr]bool{}
	for _, r := range s.Servers {
		addrs[r.Addr.Addr()] = true
		if r.Pair != nil && isURL(r.Pair.Request) {
			out = append(out, spot{pos: r.Pos, directive: "real"})
		}
	}
	if len(out) == 0 || len(addrs) > 1 || !s.Servers[0].Addr.Addr().Is4() {
		return out // one virtualhost cannot be the address of several
	}
	for i := range out {
		out[i].keep = []Edit{{Below, s.Pos.Line, indent + `virtualhost = "` + s.Servers[0].Addr.Addr().String() + `"`}}
	}
	return out
}

// methodShared finds httpmethod where another section has the same check with another method.
func methodShared(c *config.Config) []spot {
	type check struct {
		at                                     netip.AddrPort
		service, request, receive, virtualhost string
	}
	methods := map[check]map[string]bool{}
	each := func(s *config.Service, see func(check, string)) {
		for _, r := range s.Servers {
			if asks(s, "http", "https") && r.CheckAddr.IsValid() {
				see(check{r.CheckAddr, s.CheckService, r.Options["request"], r.Options["receive"], r.Options["virtualhost"]}, r.Options["httpmethod"])
			}
		}
	}
	for i := range c.Services {
		each(&c.Services[i], func(k check, method string) {
			if methods[k] == nil {
				methods[k] = map[string]bool{}
			}
			methods[k][method] = true
		})
	}
	var out []spot
	for i := range c.Services {
		s := &c.Services[i]
		each(s, func(k check, _ string) {
			if len(methods[k]) > 1 {
				out = append(out, at(s, "httpmethod")...)
			}
		})
	}
	return out
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// mailRules are about imap, pop and smtp.
func mailRules() []rule {
	return []rule{
		{name: "mail-certificate", keep: "option.tls-verify = yes", note: "this compares the name, too: option.tls-name = \"NAME\" says which",
			find: unverified("imaps", "pops"),
			was:  "on recent systems certificates of unknown authorities were down",
			now:  "certificates are not verified"},
		{name: "imap-port", find: services(imapPort),
			was: "port 143 (imap) or 993 (imaps) was asked, whatever the real server's",
			now: "the real server's port is"},
		{name: "ipv4-alone", find: sixOnly("imap", "pop"),
			was: "this check could not speak IPv6: always down", now: "it can"},
		{name: "radius-ipv6", find: sixOnly("radius"),
			was: "the first check of an IPv6 address ended the daemon", now: "it is a check"},
		{name: "pop-without-login", keep: "service = none", find: services(func(_ *config.Config, s *config.Service) []spot {
			return when(asks(s, "pop", "pops") && set(s, "login") == "", s, "service")
		}),
			was: "without login always up, even with its port closed",
			now: "up with a greeting"},
		{name: "frozen", find: speaking("pop", "pops", "mysql", "pgsql"),
			was: "a server that freezes held up all checks for ever",
			now: "it is down after its timeout, and holds up nobody"},
	}
}

// sixOnly finds IPv6 sections of services that the Perl ldirectord could ask over IPv4 alone.
func sixOnly(names ...string) func(*config.Config) []spot {
	return services(func(_ *config.Config, s *config.Service) []spot {
		return when(asks(s, names...) && s.Key.Family == lvs.IPv6, s, "service")
	})
}

func imapPort(_ *config.Config, s *config.Service) []spot {
	port, text := uint16(143), "checkport = 143"
	if s.CheckService == "imaps" {
		port, text = 993, "checkport = 993"
	}
	if !asks(s, "imap", "imaps") || !slices.ContainsFunc(s.Servers, func(r config.Server) bool { return r.CheckAddr.Port() != port }) {
		return nil
	}
	place := Below
	out := at(s, "checkport", "service")
	if out[0].directive == "checkport" && s.CheckPort != 0 {
		place = Instead
	} else {
		out = at(s, "service")
	}
	out[0].keep = []Edit{{place, out[0].pos.Line, indent + text}}
	return out
}
