package config

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// fakeCatalog has the services of ldirectord(8), one of a third party, and some that
// cannot be used for a reason.
type fakeCatalog struct{ dir, user string }

func (fakeCatalog) Services() []string {
	names := []string{"banner", "none", "old"}
	for _, p := range portServices() {
		names = append(names, p.service)
	}
	slices.Sort(names)
	return names
}

func (fakeCatalog) Lookup(service string) (ServiceInfo, error) {
	request := []OptionInfo{{Name: "request"}, {Name: "receive"}}
	login := []OptionInfo{{Name: "login"}, {Name: "passwd", Secret: true}}
	info := ServiceInfo{Network: "tcp", IPv6: true, Options: request}
	switch service {
	case "connect", "ping", "external":
		return ServiceInfo{IPv6: true}, nil
	case "external-perl":
		return ServiceInfo{}, errors.New("perl is not installed, install the package perl")
	case "external-lua":
		return ServiceInfo{IPv6: true, Options: []OptionInfo{{Name: "lua"}, {Name: "checkcommand"}, {Name: "x", Default: "7"}}}, nil
	case "http", "https", "http_proxy":
		info.Options = []OptionInfo{{Name: "request", Default: "/"}, {Name: "receive"}, {Name: "httpmethod", Default: "GET"},
			{Name: "virtualhost"}, {Name: "max-body", Default: "1048576"}}
	case "dns", "sip":
		info.Network = "udp"
	case "mysql", "pgsql":
		info.Options = append(login, OptionInfo{Name: "request", Required: true}, OptionInfo{Name: "database"})
		info.Options[0].Required = true
	case "radius":
		info.Options = append(login, OptionInfo{Name: "secret", Secret: true})
	case "oracle":
		return ServiceInfo{}, errors.New("/opt/plugins/ldirectord-check-oracle: writable by others")
	case "ftp":
		info.IPv6 = false
		info.Options = append(request, login...)
	case "banner":
		info.Port = 7777
		info.Options = []OptionInfo{{Name: "receive", Default: "^220"}, {Name: "depth"}, {Name: "token", Secret: true, Default: "letmein"},
			{Name: "service", Default: "a # b"}, {Name: "text", Default: "two\nlines"}}
	case "strict":
		info.Port, info.Options = 9, []OptionInfo{{Name: "kind", Default: "x", Required: true}}
	case "smtp", "submission", "nntp", "pop", "pops", "imap", "imaps", "ldap", "ldaps", "simpletcp":
		info.Options = append(request, login...)
	default:
		return ServiceInfo{}, ErrUnknownService
	}
	return info, nil
}

type fakeProblem struct {
	name   string
	offset int
	want   string
}

func (p fakeProblem) Error() string      { return p.name + ": " + p.want }
func (p fakeProblem) OptionName() string { return p.name }
func (p fakeProblem) ValueOffset() int   { return p.offset }
func (p fakeProblem) Expected() string   { return p.want }

func (c fakeCatalog) Validate(service string, options map[string]string) error {
	info, err := c.Lookup(service)
	if err != nil {
		return err
	}
	var all []error
	for name, value := range options {
		known := slices.ContainsFunc(info.Options, func(o OptionInfo) bool { return o.Name == name })
		switch {
		case !known:
			all = append(all, fakeProblem{name, 0, service + " has no such option"})
		case name == "receive":
			if _, err := regexp.Compile(value); err != nil && strings.Contains(value, "(((") {
				all = append(all, fakeProblem{name, strings.Index(value, "(((") + 2, "a closing parenthesis"})
			}
		case name == "request" && strings.Contains(value, "://bad"):
			all = append(all, fakeProblem{name, 7, fmt.Sprintf("a URL: parse %q: invalid port %q after host", value, ":hu")})
		case name == "lua" && strings.Contains(value, "syntax error"):
			all = append(all, fakeProblem{name, strings.Index(value, "syntax error"), "a statement"})
		}
	}
	if all == nil {
		return nil
	}
	return fmt.Errorf("options of %s: %w", service, errors.Join(all...))
}

func (fakeCatalog) ValidatePattern(text string) error {
	if at := strings.Index(text, "((("); at >= 0 {
		return fakeProblem{"", at + 2, "a closing parenthesis"}
	}
	return nil
}

// fakeNames resolves a few names.
type fakeNames map[string]string

func theNames() fakeNames {
	return fakeNames{
		"ip4 www": "192.0.2.10", "ip6 www": "2001:db8::10", "ip4 sql01": "10.0.0.1", "ip4 sql03": "10.0.0.3",
		"ip4 localhost": "127.0.0.1", "ip6 localhost": "::1",
		"tcp http": "80", "udp http": "80", "tcp https": "443", "udp domain": "53", "tcp domain": "53", "udp tftp": "69",
	}
}

func (f fakeNames) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	var out []netip.Addr
	for a := range strings.FieldsSeq(f[network+" "+host]) {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

func (f fakeNames) LookupPort(_ context.Context, network, service string) (int, error) {
	var p int
	_, err := fmt.Sscan(f[network+" "+service], &p)
	return p, err
}

func fakeLoader() *Loader {
	return &Loader{
		OpenCatalog: func(dir, user string) Catalog { return fakeCatalog{dir, user} },
		Resolver:    theNames(),
	}
}
