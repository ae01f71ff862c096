package lvs

import (
	"errors"
	"fmt"
)

// The reasons for which every table refuses an edit, for errors.Is. They come wrapped in
// words that name what was asked.
var (
	// ErrNoService: EnsureServer in a virtual service that is not there.
	ErrNoService = errors.New("the virtual service does not exist")
	// ErrRange: a weight, threshold or prefix length that the kernel does not take.
	ErrRange = errors.New("out of range")
	// ErrMixedFamily: a real server of another address family than its virtual service
	// that is not reached by IPIP.
	ErrMixedFamily = errors.New("only ipip reaches a real server of another address family")
	// ErrKey: a key that names nothing, such as firewall mark 0.
	ErrKey = errors.New("not a possible address")
	// ErrScheduler: the kernel has no scheduler of that name. The error in the chain is
	// an *UnknownSchedulerError.
	ErrScheduler = errors.New("unknown scheduler")
)

// UnknownSchedulerError tells which scheduler the kernel does not have.
type UnknownSchedulerError struct {
	Name string
}

func (e *UnknownSchedulerError) Error() string {
	if e.Name == "" {
		return "no scheduler is given"
	}
	return fmt.Sprintf("unknown scheduler %q: load it with `modprobe ip_vs_%s`, or correct the name", e.Name, e.Name)
}

// Is makes errors.Is(e, ErrScheduler) true.
func (e *UnknownSchedulerError) Is(target error) bool { return target == ErrScheduler }
