package main

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/ldirectord/ldirectord/sdk/match"
)

// options of the check: directives of ldirectord(8).
type options struct {
	Request question      `option:"request" help:"name whose A and AAAA records to look up, or address whose PTR record; unset: always down"`
	Receive match.Receive `option:"receive" type:"pattern" help:"Perl pattern that an address or a name of the answer has to match; unset: any will do"`
}

// question is what to ask for. The zero value asks for nothing.
type question struct {
	name  string   // with the final dot
	types []uint16 // in this order, until one has what is wanted
}

// UnmarshalText reads a name or an address.
func (q *question) UnmarshalText(text []byte) error {
	s := string(text)
	if addr, err := netip.ParseAddr(s); err == nil {
		name, err := dns.ReverseAddr(addr.WithZone("").Unmap().String())
		*q = question{name, []uint16{dns.TypePTR}}
		return err
	}
	if _, ok := dns.IsDomainName(s); !ok || s == "" {
		return fmt.Errorf("%q is neither a name nor an address", s)
	}
	*q = question{dns.Fqdn(s), []uint16{dns.TypeA, dns.TypeAAAA}}
	return nil
}
