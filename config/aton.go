package config

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
)

// inetAton reads an IPv4 address as inet_aton(3) does, and with it the Perl ldirectord: one to four
// numbers, of which the last fills the bytes that are left, in decimal, octal (010) or hexadecimal (0x0a).
func inetAton(text string) (netip.Addr, bool) {
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var bits uint32
	for i, part := range parts {
		room := 8
		if i == len(parts)-1 {
			room = 32 - 8*i
		}
		n, ok := cNumber(part, room)
		if !ok {
			return netip.Addr{}, false
		}
		bits = uint32(uint64(bits)<<room) | n
	}
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, bits))), true
}

// cNumber reads a number as C writes it, of so many bits at most.
func cNumber(text string, bits int) (uint32, bool) {
	base := 10
	switch {
	case len(text) > 2 && (text[:2] == "0x" || text[:2] == "0X"):
		text, base = text[2:], 16
	case len(text) > 1 && text[0] == '0':
		base = 8
	}
	n, err := strconv.ParseUint(text, base, bits)
	return uint32(n), err == nil
}

// plain returns host, but an IPv4 address that is short, octal or hexadecimal in full, and warns
// which one it is.
func (e endpoint) plain(r *report, host string) string {
	addr, ok := inetAton(host)
	if !ok || e.v6 || addr.String() == host {
		return host
	}
	r.warn(e.at, e.label, "%s is the address %s, as inet_aton(3) reads it; write that", quoteShort(host), addr)
	return addr.String()
}
