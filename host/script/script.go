// Package script runs what operators write to check real servers: programs (checktype =
// external) and Perl scripts inside interpreters that are kept (checktype = external-perl).
// Both get the same arguments and environment, and are judged alike (ldirectord(8),
// "checkcommand").
package script

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/probe"
)

// Options of a check, as host/state gives them.
const (
	optionCommand = "checkcommand"
	optionUser    = "externaluser"
	optionWeight  = "externalweight"
)

// order is what the options of a check ask for.
type order struct {
	command Command
	who     account
	weighs  bool // exit codes are weights, too
}

// orderOf reads the options. Its errors are those of Validate.
func orderOf(o sdk.Options) (order, error) {
	command, err := Parse(o[optionCommand])
	if err != nil {
		return order{}, &sdk.OptionError{Option: optionCommand, Want: err.Error()}
	}
	who, err := accountOf(o[optionUser])
	return order{command: command, who: who, weighs: o[optionWeight] == "yes"}, err
}

// searchPath is where programs are found that are named without a directory, by us and by scripts.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// facts are what a script is told of one check.
type facts struct {
	virtual, virtualPort, real, realPort string
	protocol                             string
}

// factsOf says what is passed for t: addresses, of IPv6 in brackets, and ports; a
// firewall mark stands in the place of the virtual service's address, with port 0.
func factsOf(t sdk.Target) facts {
	f := facts{
		real: address(t.Addr.Addr()), realPort: strconv.Itoa(int(t.Addr.Port())), protocol: t.Network,
		virtual: strconv.FormatUint(uint64(t.FWMark), 10), virtualPort: "0",
	}
	if t.Virtual.IsValid() {
		f.virtual, f.virtualPort = address(t.Virtual.Addr()), strconv.Itoa(int(t.Virtual.Port()))
	} else {
		f.protocol = "fwm"
	}
	return f
}

func address(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// arguments are the four of ldirectord(8), "checkcommand".
func (f facts) arguments() []string { return []string{f.virtual, f.virtualPort, f.real, f.realPort} }

// environment holds the same, and the seconds that the check may take.
func (f facts) environment(timeout time.Duration) []string {
	return []string{
		"LDIRECTORD_VIRTUAL=" + f.virtual,
		"LDIRECTORD_VIRTUAL_PORT=" + f.virtualPort,
		"LDIRECTORD_REAL=" + f.real,
		"LDIRECTORD_REAL_PORT=" + f.realPort,
		"LDIRECTORD_PROTOCOL=" + f.protocol,
		"LDIRECTORD_TIMEOUT=" + strconv.FormatFloat(timeout.Seconds(), 'f', 3, 64),
	}
}

// judge is the verdict for an exit code: 0 is up, all else down. With weighs, codes from 2 are up
// with the code minus 2 as weight (the convention of keepalived's MISC_CHECK with misc_dynamic).
// last is the last line of the output.
func judge(code int, weighs bool, last string) sdk.Verdict {
	switch {
	case code == 0:
		return sdk.Up()
	case weighs && code >= 2 && code <= 255:
		v := sdk.Up()
		weight := code - 2
		v.Weight = &weight
		return v
	default:
		return sdk.DownWith(sdk.CodeStatus, "exit code %d%s", code, said(last))
	}
}

// late is the verdict at the deadline.
func late(budget time.Duration, last string) sdk.Verdict {
	return sdk.DownWith(sdk.CodeTimeout, "not finished after %v%s", rounded(budget), said(last))
}

// rounded leaves out of the time that was left for a check what only says how busy we were.
func rounded(budget time.Duration) time.Duration {
	if budget < 950*time.Millisecond {
		return budget.Round(10 * time.Millisecond)
	}
	return budget.Round(100 * time.Millisecond)
}

// fair turns a verdict that the server did not earn into Unknown: of a check that waited for a
// tenth of its time or more until it could begin, and then ran out of time.
func fair(v sdk.Verdict, waited, budget time.Duration) sdk.Verdict {
	if v.Code != sdk.CodeTimeout || waited < budget/10 {
		return v
	}
	return sdk.Unknown("waited %v of %v for an interpreter, and the rest was too short",
		waited.Round(time.Millisecond), rounded(budget))
}

// longest bounds what is shown of a line of a script's output, in bytes.
const longest = 256

// said adds a line of output to a reason: nothing when there is none.
func said(line string) string {
	if line == "" {
		return ""
	}
	return ": " + shown(line)
}

// shown makes a line fit to be shown: bounded, and without control bytes.
func shown(line string) string {
	if len(line) > longest {
		return probe.Escape(line[:longest]) + "..."
	}
	return probe.Escape(line)
}
