// Package store is the state file of an instance: what a director has to remember over
// a restart that the kernel's table does not tell.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ldirectord/ldirectord/host/state"
	"github.com/ldirectord/ldirectord/lvs"
)

// Content is what a state file holds. The zero value remembers nothing.
type Content struct {
	Memory state.Memory
	// Names are the last known addresses of host names, by config.LastKey: they outlive a
	// time without name service, and a boot.
	Names map[string]netip.Addr
}

// maxAge is how old a state file may be: after a longer absence nobody knows any more
// what an operator meant. A daemon that runs writes the file again every day.
const maxAge = 7 * 24 * time.Hour

// bootFile changes with every boot: the kernel's table does not outlive one.
const bootFile = "/proc/sys/kernel/random/boot_id"

// file is the form on disk. Fields are only ever added.
type file struct {
	Version         int       `json:"version"` // 1
	Boot            string    `json:"boot"`
	Saved           time.Time `json:"saved"`
	Drained         []server  `json:"drained,omitempty"`
	FallbackStarted []started `json:"fallback_started,omitempty"`

	Names map[string]netip.Addr `json:"names,omitempty"`
}

type service struct {
	Protocol string         `json:"protocol"`
	Addr     netip.AddrPort `json:"addr,omitzero"`
	Mark     uint32         `json:"mark,omitempty"`
	Family   uint8          `json:"family"`
}

type started struct {
	service
	Command string `json:"command,omitempty"` // files of older daemons do not have it
}

type server struct {
	Service service        `json:"service"`
	Addr    netip.AddrPort `json:"addr"`
}

// Load reads what an instance remembers. A missing file and one that is too old remember
// nothing, one of another boot the names alone; so does one that cannot be read, which the error says.
func Load(path string, now time.Time) (Content, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Content{}, nil
	}
	if err != nil {
		return Content{}, fmt.Errorf("read state file: %w", err)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return Content{}, fmt.Errorf("read state file %s: %w", path, err)
	}
	if f.Version != 1 || now.Sub(f.Saved) > maxAge {
		return Content{}, nil
	}
	boot, err := bootID()
	if err != nil || f.Boot != boot {
		return Content{Names: f.Names}, err
	}
	m, err := f.memory()
	if err != nil {
		return Content{}, err
	}
	return Content{Memory: m, Names: f.Names}, nil
}

// Save writes what to remember. A crash leaves the old file or the new one, whole.
func Save(path string, c Content, now time.Time) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	m := c.Memory
	f := file{Version: 1, Boot: boot, Saved: now, Names: c.Names}
	for _, r := range m.Drained {
		f.Drained = append(f.Drained, server{Service: serviceOf(r.Service), Addr: netip.AddrPort(r.Server)})
	}
	for _, c := range m.FallbackStarted {
		f.FallbackStarted = append(f.FallbackStarted, started{serviceOf(c.Service), c.Command})
	}
	data, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return fmt.Errorf("write state file: %w", err)
	}
	if err := replace(path, append(data, '\n')); err != nil {
		return fmt.Errorf("write state file: %w", err)
	}
	return nil
}

func replace(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// One name for all of them: what a killed daemon left is overwritten, not collected.
	tmp, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func bootID() (string, error) {
	data, err := os.ReadFile(bootFile)
	if err != nil {
		return "", fmt.Errorf("identify this boot: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

func serviceOf(k lvs.ServiceKey) service {
	return service{Protocol: k.Protocol.String(), Addr: k.Addr, Mark: k.Mark, Family: uint8(k.Family)}
}

func (s service) key() (lvs.ServiceKey, error) {
	for _, p := range []lvs.Protocol{lvs.TCP, lvs.UDP, lvs.FWM} {
		if p.String() == s.Protocol {
			return lvs.ServiceKey{Protocol: p, Addr: s.Addr, Mark: s.Mark, Family: lvs.Family(s.Family)}, nil
		}
	}
	return lvs.ServiceKey{}, fmt.Errorf("read state file: unknown protocol %q", s.Protocol)
}

func (f file) memory() (state.Memory, error) {
	var m state.Memory
	for _, r := range f.Drained {
		k, err := r.Service.key()
		if err != nil {
			return state.Memory{}, err
		}
		m.Drained = append(m.Drained, state.ServerRef{Service: k, Server: lvs.ServerKey(r.Addr)})
	}
	for _, s := range f.FallbackStarted {
		k, err := s.key()
		if err != nil {
			return state.Memory{}, err
		}
		m.FallbackStarted = append(m.FallbackStarted, state.StartedCommand{Service: k, Command: s.Command})
	}
	return m, nil
}
