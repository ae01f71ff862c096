package ipvs

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// window is how many messages go in one write. The kernel acts on all of them before the
// write returns, and their acknowledgements must fit into the socket's buffer.
const window = 64

// wire speaks generic netlink over a link, one exchange at a time. After any error the
// state of the link is unknown, and it must be closed.
type wire struct {
	link   link
	family uint16 // of IPVS
	seq    uint32
	parts  int // how many datagrams with entries the last answer had
	buffer []byte
}

func newWire(l link) *wire { return &wire{link: l, buffer: make([]byte, 1<<16)} }

// resolve asks for the number of the IPVS family.
func (w *wire) resolve() error {
	w.family = ctrlFamily
	var family uint16
	errno, err := w.ask(0, appendText(command(ctrlGetFamily), ctrlAttrName, "IPVS"), func(payload []byte) error {
		if len(payload) < genericHeader {
			return errMalformed
		}
		f, err := parseFields(payload[genericHeader:])
		if err != nil {
			return err
		}
		family = f.u16(ctrlAttrFamilyID)
		return f.err
	})
	switch {
	case err != nil:
		return fmt.Errorf("ask for the netlink family of IPVS: %w", err)
	case errno == syscall.ENOENT:
		return ErrNoIPVS
	case errno != 0:
		return fmt.Errorf("ask for the netlink family of IPVS: %w", errno)
	case family == 0:
		return fmt.Errorf("ask for the netlink family of IPVS: %w", errMalformed)
	}
	w.family = family
	return nil
}

// ask sends one request and hands each payload of the answer to each, which must not keep it. It
// returns what the kernel says about the whole.
func (w *wire) ask(flags uint16, body []byte, each func([]byte) error) (syscall.Errno, error) {
	w.seq++
	w.parts = 0
	r := request{kind: w.family, flags: flags | syscall.NLM_F_ACK, body: body}
	if err := w.link.send(r.appendTo(nil, w.seq)); err != nil {
		return 0, fmt.Errorf("send to the kernel: %w", err)
	}
	for {
		messages, err := w.receive()
		if err != nil {
			return 0, err
		}
		counted := false
		for _, m := range messages {
			if m.seq != w.seq {
				continue
			}
			if m.kind == syscall.NLMSG_ERROR || m.kind == syscall.NLMSG_DONE {
				return m.status()
			}
			if !counted {
				counted = true
				w.parts++
			}
			if err := each(m.data); err != nil {
				return 0, err
			}
		}
	}
}

// dump asks for all entries.
func (w *wire) dump(body []byte, each func([]byte) error) error {
	errno, err := w.ask(syscall.NLM_F_DUMP, body, each)
	if err == nil && errno != 0 {
		err = refusal(errno)
	}
	return err
}

// acks sends the requests, window by window, and returns what the kernel says of each. Between
// windows it looks whether ctx has ended.
func (w *wire) acks(ctx context.Context, bodies [][]byte) ([]syscall.Errno, error) {
	out := make([]syscall.Errno, 0, len(bodies))
	for len(bodies) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(window, len(bodies))
		statuses, err := w.acksOfOne(bodies[:n])
		if err != nil {
			return nil, err
		}
		out, bodies = append(out, statuses...), bodies[n:]
	}
	return out, nil
}

func (w *wire) acksOfOne(bodies [][]byte) ([]syscall.Errno, error) {
	first := w.seq + 1
	var b []byte
	for _, body := range bodies {
		w.seq++
		b = request{kind: w.family, flags: syscall.NLM_F_ACK, body: body}.appendTo(b, w.seq)
		b = append(b, make([]byte, align(len(b))-len(b))...)
	}
	if err := w.link.send(b); err != nil {
		return nil, fmt.Errorf("send to the kernel: %w", err)
	}
	out, seen := make([]syscall.Errno, len(bodies)), make([]bool, len(bodies))
	for missing := len(bodies); missing > 0; {
		messages, err := w.receive()
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			i := int(m.seq - first) // of another exchange: out of range
			if m.kind != syscall.NLMSG_ERROR || i < 0 || i >= len(out) || seen[i] {
				continue
			}
			if out[i], err = m.status(); err != nil {
				return nil, err
			}
			seen[i] = true
			missing--
		}
	}
	return out, nil
}

func (w *wire) receive() ([]message, error) {
	n, err := w.link.receive(w.buffer)
	if err != nil {
		return nil, fmt.Errorf("receive from the kernel: %w", err)
	}
	return parseMessages(w.buffer[:n])
}

// refusal says in an operator's words what the kernel answered to a whole call.
func refusal(errno syscall.Errno) error {
	switch {
	case errors.Is(errno, syscall.EPERM):
		return fmt.Errorf("%w (%w)", ErrNotPermitted, errno)
	case errno == syscall.ENOENT:
		return fmt.Errorf("%w (%w)", ErrNoIPVS, errno)
	default:
		return fmt.Errorf("the kernel refuses: %w", errno)
	}
}
