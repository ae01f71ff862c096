package state

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/lvs"
	"github.com/ldirectord/ldirectord/sdk"
)

// The kinds of check that are not services, and the options that they take.
const (
	KindConnect      = "connect"
	KindPing         = "ping"
	KindExternal     = "external"
	KindExternalPerl = "external-perl"
	KindExternalLua  = "external-lua"

	OptionCheckCommand = "checkcommand"   // of the external kinds: the command line
	OptionLua          = "lua"            // of external-lua, instead of checkcommand: the script itself
	OptionUser         = "externaluser"   // of external and external-perl: who runs it; unset: the daemon's user
	OptionWeight       = "externalweight" // of the same: "yes" when exit codes from 2 are weights
	OptionCheckCount   = "checkcount"     // of ping: the tries, each of an equal part of the timeout
)

// checkBook collects the distinct checks of a configuration.
type checkBook struct {
	global config.Global
	salt   []byte
	index  map[CheckID]int // into checks
	checks []Check
	pools  map[string]map[lvs.ServiceKey]bool // by kind: who has check processes of its own
}

func newCheckBook(g config.Global, salt []byte) *checkBook {
	return &checkBook{global: g, salt: salt, index: map[CheckID]int{}, pools: map[string]map[lvs.ServiceKey]bool{}}
}

// add enters the check of one real server and returns it; false when the real server
// needs none. Who enters a check again shares it, and the shortest interval wins.
func (b *checkBook) add(v *config.Service, r *config.Server) (Check, bool) {
	c, ok := checkOf(v, r)
	if !ok {
		return c, false
	}
	if u := b.global.ExternalUser; u != "" && (c.Kind == KindExternal || c.Kind == KindExternalPerl) {
		c.Options[OptionUser] = u
	}
	c.Pool = b.pool(c.Kind, v.Key)
	c.ID = identify(c, r.Secrets, b.salt)
	line := r.Pos.File + ":" + strconv.Itoa(r.Pos.Line)
	i, known := b.index[c.ID]
	if !known {
		i = len(b.checks)
		b.index[c.ID] = i
		b.checks = append(b.checks, c)
	}
	have := &b.checks[i]
	have.Interval = min(have.Interval, c.Interval)
	if !slices.Contains(have.Lines, line) {
		have.Lines = append(have.Lines, line)
	}
	return c, true
}

// pool returns the pool of a virtual service's checks: its own with fork = yes, as long
// as no more than forkmax of one kind have one, else the shared "".
func (b *checkBook) pool(kind string, k lvs.ServiceKey) string {
	if !b.global.Fork {
		return ""
	}
	own := b.pools[kind]
	if own == nil {
		own = map[lvs.ServiceKey]bool{}
		b.pools[kind] = own
	}
	if !own[k] && len(own) >= b.global.ForkMax {
		return ""
	}
	own[k] = true
	return k.String()
}

// checkOf builds the check of one real server, its Pool and ID apart; false when the
// checktype or the service needs none (ldirectord(8), "checktype" and "service").
func checkOf(v *config.Service, r *config.Server) (Check, bool) {
	c := Check{
		Target:   sdk.Target{Addr: r.CheckAddr, Network: r.CheckNetwork},
		Interval: v.CheckInterval,
		Timeout:  v.CheckTimeout,
	}
	switch v.CheckType {
	case config.Connect:
		c.connect(v)
	case config.Ping:
		c.ping(v)
	case config.External:
		c.script(KindExternal, v, r)
	case config.ExternalPerl:
		c.script(KindExternalPerl, v, r)
	case config.ExternalLua:
		c.script(KindExternalLua, v, r)
	case config.Negotiate:
		return c, c.negotiate(v, r)
	case config.Combined:
		c.combined(v, r)
	default: // Off and On
		return c, false
	}
	return c, true
}

// connect makes c a connect check; for udp, where connecting says nothing, a ping.
func (c *Check) connect(v *config.Service) {
	if c.Target.Network == "udp" {
		c.ping(v)
		return
	}
	c.Kind = KindConnect
}

// ping makes c a ping, which has no port and no network: all who ping an address share it.
func (c *Check) ping(v *config.Service) {
	tries := max(v.CheckCount, 1)
	c.Kind = KindPing
	c.Target = sdk.Target{Addr: addrOnly(c.Target.Addr), Network: "tcp"}
	c.Timeout = v.CheckTimeout * time.Duration(tries)
	c.Options = sdk.Options{OptionCheckCount: strconv.Itoa(tries)}
}

// script makes c a check by a command, which is told the virtual service and the real
// server's own port: checkport does not reach commands.
func (c *Check) script(kind string, v *config.Service, r *config.Server) {
	c.Kind = kind
	c.Target.Addr = r.Addr
	c.Target.Virtual = v.Key.Addr
	c.Target.FWMark = v.Key.Mark
	c.Options = sdk.Options{}
	maps.Copy(c.Options, r.Options)
	if v.Lua != "" {
		c.Options[OptionLua] = v.Lua
	} else {
		c.Options[OptionCheckCommand] = v.CheckCommand
	}
	if v.ExternalWeight && kind != KindExternalLua {
		c.Options[OptionWeight] = "yes"
	}
}

// negotiate makes c a check of the service; false for the service none.
func (c *Check) negotiate(v *config.Service, r *config.Server) bool {
	if v.CheckService == "none" {
		return false
	}
	c.Kind = v.CheckService
	c.Target.Service = v.CheckService
	c.Timeout = v.NegotiateTimeout
	c.Options = sdk.Options(r.Options)
	return true
}

// combined makes c a check of checktype = N. With the service none there is nothing to
// negotiate, and the connects alone remain.
func (c *Check) combined(v *config.Service, r *config.Server) {
	if !c.negotiate(v, r) {
		c.connect(v)
		return
	}
	c.ConnectsPer = v.ConnectsPer
	c.ConnectTimeout = v.CheckTimeout
	c.ConnectKind = KindConnect
	if c.Target.Network == "udp" {
		c.ConnectKind = KindPing
	}
}

func addrOnly(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), 0) }
