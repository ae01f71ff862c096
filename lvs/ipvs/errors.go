package ipvs

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/ldirectord/ldirectord/lvs"
)

var (
	// ErrNoIPVS: the kernel does not know IPVS, and loading it did not help.
	ErrNoIPVS = errors.New("the kernel has no IPVS: load it with `modprobe ip_vs`, or use a kernel built with CONFIG_IP_VS")
	// ErrNotPermitted: the process may not read or edit the table.
	ErrNotPermitted = errors.New("not permitted to use the kernel's IPVS table: run as root, or with CAP_NET_ADMIN in the first user namespace")

	errClosed = errors.New("the IPVS controller is closed")
)

// settle turns the kernel's answer to an edit into nil, when the edit's aim is reached, or
// into the reason of its refusal. EEXIST of a new entry is dealt with before.
func settle(e lvs.Edit, errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	gone := errno == syscall.ENOENT || errno == syscall.ESRCH
	switch {
	case gone && (e.Op == lvs.UpdateServer || e.Op == lvs.RemoveServer || e.Op == lvs.RemoveService):
		return nil
	case errno == syscall.ESRCH && e.Op == lvs.EnsureServer:
		return fmt.Errorf("%w (%w)", lvs.ErrNoService, errno)
	case errno == syscall.ENOENT && e.Op == lvs.EnsureService && e.Service.PEName != "":
		return fmt.Errorf("persistence engine %q or %w (%w)", e.Service.PEName, &lvs.UnknownSchedulerError{Name: e.Service.Scheduler}, errno)
	case errno == syscall.ENOENT && e.Op == lvs.EnsureService:
		return fmt.Errorf("%w (%w)", &lvs.UnknownSchedulerError{Name: e.Service.Scheduler}, errno)
	case errno == syscall.EPERM:
		return fmt.Errorf("%w (%w)", ErrNotPermitted, errno)
	case errno == syscall.ERANGE:
		return fmt.Errorf("%w (%w)", lvs.ErrRange, errno)
	case errno == syscall.EINVAL && (e.Op == lvs.EnsureServer || e.Op == lvs.UpdateServer):
		return fmt.Errorf("the kernel does not take %s as a real server: it wants a unicast address, "+
			"a network interface that is up, and the virtual service's address family while a sync daemon runs (%w)", e.At, errno)
	case errno == syscall.EEXIST:
		return fmt.Errorf("somebody else keeps adding and removing it (%w)", errno)
	default:
		return fmt.Errorf("the kernel refuses: %w", errno)
	}
}
