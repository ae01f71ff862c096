package ipvs

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/moby/ipvs"

	"github.com/ldirectord/ldirectord/lvs"
)

// oneByOne makes a few edits through moby/ipvs, or over the wire what that cannot encode.
func (h *handle) oneByOne(ctx context.Context, edits []lvs.Edit, results []error) error {
	for i, e := range edits {
		if err := ctx.Err(); err != nil {
			return err
		}
		if results[i] = e.Validate(); results[i] != nil {
			continue
		}
		if h.library == nil || !plain(e) {
			if err := h.pipeline(ctx, edits[i:i+1], results[i:i+1]); err != nil {
				return err
			}
			continue
		}
		errno, err := h.single(e)
		if err == nil && errno == syscall.ENOENT {
			err = h.alive()
		}
		if err != nil {
			return err
		}
		results[i] = settle(e, errno)
	}
	return nil
}

// single makes one edit and returns the kernel's answer.
func (h *handle) single(e lvs.Edit) (syscall.Errno, error) {
	for attempt := range attempts {
		errno, err := answer(h.library.command(commandOf(e.Op, attempt), e))
		if err != nil || !retry(e.Op, attempt, errno) {
			return errno, err
		}
	}
	return syscall.EEXIST, nil // not reached: the last attempt is never retried
}

// library makes single commands on a socket of its own: moby/ipvs, or what a test puts in
// its place.
type library interface {
	command(cmd uint8, e lvs.Edit) error
	Close() // also ends a command that waits for an answer
}

// moby is moby/ipvs.
type moby struct {
	*ipvs.Handle
}

func (m moby) command(cmd uint8, e lvs.Edit) error {
	s, d := mobyService(e), mobyServer(e)
	switch cmd {
	case cmdNewService:
		return m.NewService(s)
	case cmdSetService:
		return m.UpdateService(s)
	case cmdDelService:
		return m.DelService(s)
	case cmdNewDest:
		return m.NewDestination(s, d)
	case cmdSetDest:
		return m.UpdateDestination(s, d)
	default:
		return m.DelDestination(s, d)
	}
}

// answer tells the kernel's answers from failures of the socket, which moby/ipvs returns
// alike.
func answer(err error) (syscall.Errno, error) {
	var errno syscall.Errno
	if err == nil {
		return 0, nil
	}
	if errors.As(err, &errno) {
		switch errno {
		case syscall.EEXIST, syscall.ENOENT, syscall.ESRCH, syscall.EINVAL, syscall.ERANGE, syscall.EPERM,
			syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT, syscall.EOPNOTSUPP, syscall.ENOMEM:
			return errno, nil
		}
	}
	return 0, fmt.Errorf("talk to the kernel: %w", err)
}

// mobyService and mobyServer always fill in everything: the library sends zeros for what is
// left out.

func mobyService(e lvs.Edit) *ipvs.Service {
	s := &ipvs.Service{
		AddressFamily: afOf(e.Key.Family),
		SchedName:     e.Service.Scheduler,
		PEName:        e.Service.PEName,
		Flags:         flagsOf(e.Service),
		Timeout:       e.Service.Persistence,
		Netmask:       netmaskOf(e.Key.Family, e.Service),
	}
	if e.Key.Protocol == lvs.FWM {
		s.FWMark = e.Key.Mark
		return s
	}
	s.Protocol = protocolOf(e.Key.Protocol)
	s.Address = e.Key.Addr.Addr().AsSlice()
	s.Port = e.Key.Addr.Port()
	return s
}

func mobyServer(e lvs.Edit) *ipvs.Destination {
	return &ipvs.Destination{
		AddressFamily:   afOf(e.Key.Family),
		Address:         e.At.Addr().AsSlice(),
		Port:            e.At.Port(),
		ConnectionFlags: methodOf(e.Server.Method),
		Weight:          int(e.Server.Weight),
		UpperThreshold:  e.Server.Upper,
		LowerThreshold:  e.Server.Lower,
	}
}
