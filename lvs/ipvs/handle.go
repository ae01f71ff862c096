package ipvs

import (
	"context"
	"io"
	"os/exec"
	"strings"
	"sync"

	"github.com/moby/ipvs"
	"github.com/sirupsen/logrus"

	"github.com/ldirectord/ldirectord/lvs"
)

// handle is the sockets of one Controller, used by one call at a time.
type handle struct {
	wire    *wire
	library library // nil: everything goes over the wire
	closing sync.WaitGroup
}

// interrupt wakes a call that waits for the kernel; the handle is of no use afterwards. It may be
// called while another goroutine uses the handle.
func (h *handle) interrupt() {
	h.wire.link.interrupt()
	if h.library != nil {
		// Close waits for a write that the kernel does not return from; close waits for Close.
		h.closing.Go(h.library.Close)
	}
}

// close closes the sockets.
func (h *handle) close() {
	h.wire.link.close()
	if h.library != nil {
		h.library.Close()
	}
	h.closing.Wait()
}

// connect makes l usable: IPVS is there, may be used, and answers.
func connect(l link) (*handle, error) {
	h := &handle{wire: newWire(l)}
	if err := h.wire.resolve(); err != nil {
		return nil, err
	}
	if err := h.alive(); err != nil {
		return nil, err
	}
	return h, nil
}

// alive asks something that changes nothing. It matters after ENOENT, which says "no such entry" and
// "no such netlink family" alike.
func (h *handle) alive() error {
	errno, err := h.wire.ask(0, command(cmdGetInfo), func([]byte) error { return nil })
	if err == nil && errno != 0 {
		err = refusal(errno)
	}
	return err
}

// openMoby opens the library's own socket. The library asks for the family of IPVS once in
// a process, and logs when that fails: it must be called when the answer is known to be good.
func openMoby(netns string) (library, error) {
	logger := logrus.StandardLogger()
	before := logger.Out
	logger.SetOutput(io.Discard)
	defer logger.SetOutput(before)
	h, err := ipvs.New(netns)
	if err != nil {
		return nil, err
	}
	return moby{h}, nil
}

// loadModule loads IPVS into the kernel and returns what the tool said if it failed.
func loadModule(ctx context.Context) string {
	for _, tool := range []string{"/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe"} {
		out, err := exec.CommandContext(ctx, tool, "ip_vs").CombinedOutput()
		if err == nil {
			return ""
		}
		if text := strings.TrimSpace(string(out)); text != "" {
			return text
		}
	}
	return "there is no modprobe here"
}

// content is the table with what the kernel counts.
type content struct {
	table    lvs.Table
	counters map[lvs.ServiceKey]map[lvs.ServerKey]lvs.Counters
}

// read dumps everything. A dump may miss or double an entry when another program edits
// meanwhile, and the kernel does not say so; so the virtual services are dumped before and after
// their servers, and those in one of the two dumps alone are asked for by name.
func (h *handle) read(ctx context.Context) (content, error) {
	c := content{table: lvs.Table{}, counters: map[lvs.ServiceKey]map[lvs.ServerKey]lvs.Counters{}}
	before, err := h.services()
	if err != nil {
		return c, err
	}
	for k, v := range before {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		if err := h.servers(k, v, c); err != nil {
			return c, err
		}
	}
	after, err := h.services()
	if err != nil {
		return c, err
	}
	for k, v := range after {
		if s, ok := c.table[k]; ok {
			s.VirtualService = v
			c.table[k] = s
		} else if err := h.servers(k, v, c); err != nil {
			return c, err
		}
	}
	for k := range before {
		if _, still := after[k]; still {
			continue
		}
		if exists, err := h.exists(k); err != nil {
			return c, err
		} else if !exists {
			delete(c.table, k)
			delete(c.counters, k)
		}
	}
	return c, nil
}

// services dumps the virtual services.
func (h *handle) services() (map[lvs.ServiceKey]lvs.VirtualService, error) {
	out := map[lvs.ServiceKey]lvs.VirtualService{}
	err := h.wire.dump(command(cmdGetService), func(payload []byte) error {
		k, v, known, err := decodeService(payload)
		if known && err == nil {
			out[k] = v
		}
		return err
	})
	return out, err
}

// servers dumps the real servers of k and puts k into c. A virtual service that is not
// there looks like one without servers. A dump of several datagrams may miss a server when another one is
// removed between them, which would look like an operator's act: then it is made twice, and who is
// in one of the two is there.
func (h *handle) servers(k lvs.ServiceKey, v lvs.VirtualService, c content) error {
	servers := map[lvs.ServerKey]lvs.RealServer{}
	counters := map[lvs.ServerKey]lvs.Counters{}
	c.table[k] = lvs.Service{VirtualService: v, Servers: servers}
	c.counters[k] = counters
	take := func(payload []byte) error {
		at, r, n, err := decodeServer(payload, k.Family)
		if err == nil {
			servers[at], counters[at] = r, n
		}
		return err
	}
	err := h.wire.dump(encodeKey(cmdGetDest, k), take)
	if err == nil && h.wire.parts > 1 {
		err = h.wire.dump(encodeKey(cmdGetDest, k), take)
	}
	return err
}

// exists asks for one virtual service by name, which never errs.
func (h *handle) exists(k lvs.ServiceKey) (bool, error) {
	errno, err := h.wire.ask(0, encodeKey(cmdGetService, k), func([]byte) error { return nil })
	return errno == 0, err
}
