package control

import "time"

// Status is what the daemon says of itself and of its table. It is the answer of the status
// command's --json; fields are only ever added.
type Status struct {
	Instance string    `json:"instance"`
	File     string    `json:"file"`
	Version  string    `json:"version"`
	Pid      int       `json:"pid"`
	Since    time.Time `json:"since"` // start of the daemon
	DryRun   bool      `json:"dry_run,omitempty"`
	// Reloaded is the last attempt to reload; zero when there was none.
	Reloaded    time.Time `json:"reloaded,omitzero"`
	ReloadError string    `json:"reload_error,omitempty"` // why the last reload changed nothing
	KernelError string    `json:"kernel_error,omitempty"` // why the kernel's table is not what was asked
	// MaintenanceError is why maintenancedir cannot be read: all stays as it was.
	MaintenanceError string           `json:"maintenance_error,omitempty"`
	Checks           int              `json:"checks"`            // distinct checks
	InFlight         int              `json:"in_flight"`         // probes running now
	Skipped          uint64           `json:"skipped"`           // probes left out because too many were running
	Services         []VirtualService `json:"services"`          // in the order of the file
	Plugins          []Plugin         `json:"plugins,omitempty"` // by path and pool
}

// Plugin is one plugin process that the daemon runs or tries to.
type Plugin struct {
	Path     string    `json:"path"`
	Pool     string    `json:"pool,omitempty"` // the virtual service with fork = yes
	State    string    `json:"state"`          // "idle", "starting", "running", "failed"
	Since    time.Time `json:"since"`
	Pid      int       `json:"pid,omitempty"`
	Version  string    `json:"version,omitempty"`
	Services []string  `json:"services,omitempty"`
	Checks   int       `json:"checks"`
	InFlight int       `json:"in_flight"`           // probes running now
	SetAside int       `json:"set_aside,omitempty"` // checks that crashed it twice and wait
	Restarts int       `json:"restarts"`            // deaths so far
	CutOff   int       `json:"cut_off,omitempty"`   // probes that did not come back so far
	Error    string    `json:"error,omitempty"`     // why its last life ended
}

// VirtualService is one virtual service.
type VirtualService struct {
	Virtual     string `json:"virtual"`  // "10.0.0.1:80", "5" for a mark
	Protocol    string `json:"protocol"` // "tcp", "udp", "fwm"
	IPv6        bool   `json:"ipv6,omitempty"`
	Scheduler   string `json:"scheduler"`
	Flags       string `json:"flags,omitempty"`       // of the scheduler, by comma
	Persistence uint32 `json:"persistence,omitempty"` // seconds
	PrefixLen   uint8  `json:"prefix_len,omitempty"`  // when persistence is not by single address
	OnePacket   bool   `json:"one_packet,omitempty"`
	// Waiting says that the virtual service's name has no address yet.
	Waiting bool `json:"waiting,omitempty"`
	// FallbackActive says that the fallback serves, or that fallbackcommand was started.
	FallbackActive bool `json:"fallback_active,omitempty"`
	// Drift is what stands in the kernel's table otherwise than it was asked, in words.
	Drift   []string     `json:"drift,omitempty"`
	Servers []RealServer `json:"servers"`
}

// RealServer is one real or fallback server.
type RealServer struct {
	Address  string `json:"address"`
	Method   string `json:"method"` // "gate", "ipip", "masq"
	Fallback bool   `json:"fallback,omitempty"`
	InTable  bool   `json:"in_table"` // as asked
	Weight   uint32 `json:"weight"`   // as asked; 0 when not in the table
	// Drift is what an operator did to it in the table, which stays until its next transition.
	Drift    string `json:"drift,omitempty"`
	Active   uint64 `json:"active"` // connections
	Inactive uint64 `json:"inactive"`
	// State is "up", "down", "unknown" (no verdict yet), "maintenance", "waiting" (its name has no
	// address yet); "on" and "off" by checktype.
	State    string    `json:"state"`
	Since    time.Time `json:"since,omitzero"`
	Failures int       `json:"failures,omitempty"` // consecutive ones so far
	Limit    int       `json:"limit,omitempty"`    // how many take it down
	Check    *Check    `json:"check,omitempty"`
	Note     string    `json:"note,omitempty"` // why, when no check is the reason
}

// Check is the last verdict about a server.
type Check struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Status string    `json:"status"`
	Code   string    `json:"code,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Phases []Phase   `json:"phases,omitempty"`
}

// Phase is one leg of a probe.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}
