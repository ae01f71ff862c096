package sdktest

import (
	"net"
	"net/netip"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/sdktest/rules"
)

// Rule is something that every check has to keep.
type Rule = rules.Rule

// Sample is a configuration of the check, and a server that deserves Up from it.
type Sample = rules.Sample

// Server starts something that answers at host, on a port of its own, and gives back how
// to stop it.
type Server = rules.Server

// Runner opens the stream that registered checks run over: sdk/client.Client is one.
type Runner = rules.Runner

// Rules lists all that can be tried on a check; `ldirectord plugins test` tries some more on
// its binary.
func Rules() []Rule { return rules.Rules() }

// Streamed is a Checker whose probes are registered, started and forgotten over a stream of
// their own, as the director does it.
func Streamed(r Runner) sdk.Checker { return rules.Streamed(r) }

// TCP runs serve for each connection, and closes it afterwards.
func TCP(serve func(net.Conn)) Server { return rules.TCP(serve) }

// Lines says the lines, one after the other, as soon as somebody connects, and closes when the
// other side has.
func Lines(lines ...string) Server { return rules.Lines(lines...) }

// Silent accepts and never says a word.
func Silent() Server { return rules.Silent() }

// Closing accepts and closes at once.
func Closing() Server { return rules.Closing() }

// UDP answers each packet with what answer makes of it; nil: with nothing.
func UDP(answer func(packet []byte) []byte) Server { return rules.UDP(answer) }

func closedPort(network string) Server { return rules.ClosedPort(network) }

func v4() netip.Addr { return rules.Localhost() }

func sound(v sdk.Verdict) error { return rules.Sound(v) }
