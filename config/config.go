// Package config reads ldirectord configuration files: the whole language of
// ldirectord(8), into values that are resolved, complete and immutable.
package config

import (
	"net/netip"
	"time"

	"github.com/ldirectord/ldirectord/lvs"
)

// Config is one configuration, every default filled in. It is immutable after Load.
type Config struct {
	File     string // the path that was read
	Instance string // base name of File with its extension, "ldirectord" when none was named
	Digest   [32]byte
	Global   Global
	Services []Service // in the order of the file
	Warnings []Problem // in the order of the file; none of them changes an exit code
}

// Global holds the directives that stand outside of sections and concern the
// daemon as a whole. Those that a section may override are resolved into each Service.
type Global struct {
	AutoReload     bool
	Callback       string // command line; "" for none
	Execute        []string
	Supervised     bool
	Fork           bool
	ForkMax        int    // check processes per kind with Fork; 32
	LogFile        string // a path, or a syslog facility when it does not begin with "/"
	LogFormat      string // "text" or "json"
	MaintenanceDir string // "" for none
	CheckInterval  time.Duration
	CleanStop      bool
	PluginDir      string   // searched first for plugins; "" for none
	PluginUser     string   // the user that plugins run as; "" for the default
	ExternalUser   string   // the user that scripts run as; "" for root
	EmailAlert     []string // for alerts that belong to no section (a failed reload)
	EmailFrom      string
	SMTP           string
	StateDir       string // where the state file lives; "" for the default
	NotifyCommand  string // command line fed with alerts as JSON; "" for none
	Webhook        string // URL that alerts are posted to; "" for none

	// Origins says where each directive stands, by its name. One that is missing was
	// not written: its default holds.
	Origins map[string]Pos
}

// CheckType is how real servers are tested (ldirectord(8), "checktype").
type CheckType uint8

// The check types. The zero value is Negotiate, the manual's default.
const (
	Negotiate CheckType = iota
	Connect
	Ping
	External
	ExternalPerl
	ExternalLua
	Off      // never in the table
	On       // always in the table
	Combined // checktype = N: N connects between two negotiates
)

// Service is one virtual or virtual6 section.
type Service struct {
	Pos     Pos    // of the virtual line
	Name    string // the virtual service as the file writes it, such as "www:http"
	Key     lvs.ServiceKey
	Virtual lvs.VirtualService
	// Unresolved says that the virtual service's name has no address yet: the section
	// waits, and Key's address is invalid.
	Unresolved bool

	CheckPort        uint16 // the checkport directive; 0 for none
	CheckType        CheckType
	ConnectsPer      int           // N of Combined, else 0
	CheckService     string        // the service directive, resolved: "http", "none", ...
	CheckCommand     string        // for the external kinds
	CheckInterval    time.Duration // start to start
	CheckTimeout     time.Duration // bounds connect, ping, external, external-perl, external-lua
	NegotiateTimeout time.Duration
	CheckCount       int // tries of a ping
	FailureCount     int // consecutive failures that take a server down; 1 or more

	Quiescent       bool
	ReaddQuiescent  bool
	CleanStop       bool
	Fallback        *Fallback // nil for none; the global one is resolved in
	FallbackCommand string    // command line; "" for none
	MonitorFile     string    // "" for none

	EmailAlert  []string
	EmailFrom   string
	EmailFreq   time.Duration // 0: no repeats
	EmailStatus EmailStatus
	SMTP        string // "" for the local sendmail
	ServiceName string
	Comment     string

	// ExternalWeight says that exit codes 2 to 255 of an external check mean up with the
	// weight that is the code less 2.
	ExternalWeight bool
	// Lua is the text of an inline check of external-lua, "" when CheckCommand names a file;
	// LuaPos is its first line, for the positions of syntax errors.
	Lua    string
	LuaPos Pos

	// Options are the section's own options for its check, those of real lines left out:
	// what Servers have unless they override it. Nil when the check type takes none.
	Options map[string]string
	// Defaults are what the check says it takes for options that it is not given. An option
	// that is written with the value of its default is left out of Options.
	Defaults map[string]string
	// Secrets names the keys of Options and Defaults that are never shown.
	Secrets map[string]bool

	Servers []Server // in the order of the file, ranges expanded

	// Origins says where each directive in force stands, by its name ("option.NAME" for
	// options of third parties), be it in the section or global. One that is missing was not
	// written: its default holds.
	Origins map[string]Pos
}

// EmailStatus is the set of the daemon's statuses in which alerts are sent.
type EmailStatus uint8

// The statuses of emailalertstatus; no bit set is "none".
const (
	EmailStarting EmailStatus = 1 << iota
	EmailRunning
	EmailStopping
	EmailReloading
	EmailAll = EmailStarting | EmailRunning | EmailStopping | EmailReloading
)

// Fallback is the server that takes over when all real servers are down.
type Fallback struct {
	Pos    Pos
	Key    lvs.ServerKey  // as it stands in the table, after lvs.Canon
	Server lvs.RealServer // weight 1
	Name   string         // as the file writes it, such as "localhost:http"
	// Unresolved says that its name has no address yet: it waits.
	Unresolved bool
}

// Server is one real or real6 line, or one address of its range.
type Server struct {
	Pos    Pos
	Name   string        // as the file writes it (an address of a range by itself)
	Key    lvs.ServerKey // as it stands in the table, after lvs.Canon
	Server lvs.RealServer
	// Addr is the configured address with its own port, which the check kinds see; Key may
	// have the virtual service's port instead.
	Addr netip.AddrPort
	// CheckAddr is where checks look: checkport, the real's own port, or the
	// service's default port. Its port is 0 only for kinds that need none.
	CheckAddr netip.AddrPort
	// CheckNetwork is "tcp" or "udp": what a check speaks to CheckAddr.
	CheckNetwork string
	// Options are what the negotiate check is given: the section's directives and
	// option.NAME lines that the service declares, the real line's request and receive
	// on top, without those that say the same as Service.Defaults. Never nil for negotiate and combined checks of a service other than none.
	Options map[string]string
	// Secrets names the keys of Options that are never shown.
	Secrets map[string]bool
	// Unresolved says that the real server's name has no address yet: it waits.
	Unresolved bool
	// Pair is the real line's own request and receive, nil when it has none. It is
	// part of Options already.
	Pair *Pair
}

// Pair is a request and what to receive for it, as a real line writes them. An empty
// string means that the service's default holds.
type Pair struct {
	Request, Receive string
}

// Pos is a place in a file. The zero value is no place: a default.
type Pos struct {
	File string
	Line int // from 1
	Col  int // from 1, in bytes; 0 when only the line is known
}

// Problem is an error or a warning about a configuration.
type Problem struct {
	Pos       Pos
	Directive string // "" when none is concerned
	Found     string // what stands there, secrets left out; may be empty
	Want      string // what was expected, or what is worth knowing
}
