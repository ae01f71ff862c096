package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/cli"
	"github.com/ldirectord/ldirectord/host/maintenance"
	"github.com/ldirectord/ldirectord/host/state"
)

// watchMaintenance makes the watcher of maintenancedir.
func (d *director) watchMaintenance() *maintenance.Watcher {
	var of *config.Config // that asked was made for
	var asked maintenance.Asked
	return &maintenance.Watcher{
		Asked: func() maintenance.Asked {
			if cfg := d.current.Load(); cfg != of {
				of, asked = cfg, maintenance.Asked{Dir: cfg.Global.MaintenanceDir, Names: namesOf(cfg)}
			}
			return asked
		},
		Set: func(m state.Maintenance) error {
			ctx, cancel := context.WithTimeout(context.Background(), engineLimit)
			defer cancel()
			return d.engine.SetMaintenance(ctx, m)
		},
		Resolver: net.DefaultResolver,
		Log:      d.log,
	}
}

// namesOf returns the addresses of the real servers, with the host names that the configuration
// gives them.
func namesOf(cfg *config.Config) map[netip.Addr][]string {
	names := map[netip.Addr][]string{}
	for i := range cfg.Services {
		for j := range cfg.Services[i].Servers {
			s := &cfg.Services[i].Servers[j]
			if s.Unresolved {
				continue
			}
			addr := s.Addr.Addr()
			given := names[addr]
			if m, ok := maintenance.Parse(s.Name); ok && m.Host != "" && !slices.Contains(given, m.Host) {
				given = append(given, m.Host)
			}
			names[addr] = given // an address without a name is one to look up, too
		}
	}
	return names
}

// errUsageMaintenance is told to who mistypes the command.
var errUsageMaintenance = errors.New("usage: ldirectord [configfile] maintenance on REAL [--reason TEXT] | off REAL | list [--json]")

// maintain puts real servers into maintenance and out of it, by the files of maintenancedir.
func (a *app) maintain() int {
	var reason string
	var machine bool
	flags := pflag.NewFlagSet("maintenance", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&reason, "reason", "", "")
	flags.BoolVar(&machine, "json", false, "")
	if err := flags.Parse(a.in.args); err != nil {
		a.complainLines(fmt.Sprintf("ldirectord: %v\n%v", err, errUsageMaintenance))
		return exitUsage
	}
	words := flags.Args()
	valid := len(words) == 2 && (words[0] == "on" || words[0] == "off" && reason == "") && !machine ||
		len(words) == 1 && words[0] == "list" && reason == ""
	if !valid {
		a.complainLines("ldirectord: " + errUsageMaintenance.Error())
		return exitUsage
	}
	cfg, code := a.read()
	if code != exitOK {
		return code
	}
	if cfg.Global.MaintenanceDir == "" {
		a.complain("%s has no maintenancedir: without one there is no maintenance", cfg.File)
		return exitConfig
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	m := &maintainer{app: a, ctx: ctx, cfg: cfg, dir: cfg.Global.MaintenanceDir}
	var err error
	switch words[0] {
	case "on":
		err = m.on(words[1], reason)
	case "off":
		err = m.off(words[1])
	default:
		err = m.list(machine)
	}
	if err != nil {
		a.complainLines("ldirectord: " + err.Error())
		return exitFailed
	}
	return exitOK
}

// maintainer is one run of the command.
type maintainer struct {
	*app
	ctx context.Context
	cfg *config.Config
	dir string
}

// affected returns the real servers that each mark is about, as "R (V)".
func (m *maintainer) affected(marks []maintenance.Mark) [][]string {
	addrs := maintenance.Meant(m.ctx, net.DefaultResolver, marks, namesOf(m.cfg))
	out := make([][]string, len(marks))
	for i, mark := range marks {
		for j := range m.cfg.Services {
			v := &m.cfg.Services[j]
			for k := range v.Servers {
				s := &v.Servers[k]
				right := mark.AnyPort || mark.Port == s.Addr.Port() || mark.Port == s.Key.Port()
				line := state.ServerName(s.Key) + " (" + v.Name + ")"
				if !s.Unresolved && right && slices.Contains(addrs[i], s.Addr.Addr()) && !slices.Contains(out[i], line) {
					out[i] = append(out[i], line)
				}
			}
		}
	}
	return out
}

// on makes the file. One that is about nobody would be a mistake that shows only at night.
func (m *maintainer) on(file, reason string) error {
	mark, ok := maintenance.Parse(file)
	if !ok {
		return fmt.Errorf("%q names neither an address nor a host, with or without a port", file)
	}
	servers := m.affected([]maintenance.Mark{mark})[0]
	if len(servers) == 0 {
		return fmt.Errorf("no real server is %s; there are:\n%s", file, m.known())
	}
	if strings.ContainsAny(reason, "\r\n") {
		return errors.New("a reason has one line")
	}
	if len(reason) > maintenance.MaxReason {
		return fmt.Errorf("a reason has at most %d bytes", maintenance.MaxReason)
	}
	if err := os.Mkdir(m.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make maintenancedir: %w", err)
	}
	if err := maintenance.Put(m.dir, file, reason); err != nil {
		return err
	}
	for _, s := range servers {
		fmt.Fprintln(m.out, "in maintenance: "+s)
	}
	return nil
}

// known lists the real servers of the configuration, as far as a screen holds them.
func (m *maintainer) known() string {
	const most = 20
	var lines []string
	for i := range m.cfg.Services {
		for _, s := range m.cfg.Services[i].Servers {
			lines = append(lines, "  "+s.Name)
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("  and %d more", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}

// off removes the files that say the same as file, however they are spelt, and tells who stays in
// maintenance by others.
func (m *maintainer) off(file string) error {
	asked, ok := maintenance.Parse(file)
	if !ok {
		return fmt.Errorf("%q names neither an address nor a host, with or without a port", file)
	}
	marks, err := maintenance.Read(m.dir)
	if err != nil {
		return err
	}
	servers := m.affected(append(marks, asked))
	removed := false
	out := slices.Clone(servers[len(marks)])
	var left []string
	for i, mark := range marks {
		switch {
		case mark.Addr == asked.Addr && mark.Host == asked.Host && mark.Port == asked.Port && mark.AnyPort == asked.AnyPort:
			if err := maintenance.Remove(m.dir, mark.File); err != nil {
				return err
			}
			removed = true
		default:
			for _, s := range servers[len(marks)] {
				if slices.Contains(servers[i], s) {
					out = slices.DeleteFunc(out, func(o string) bool { return o == s })
					left = append(left, fmt.Sprintf("still in maintenance: %s, by the file %s", s, mark.File))
				}
			}
		}
	}
	switch {
	case !removed && len(left) == 0:
		return fmt.Errorf("%s is not in maintenance", file)
	case !removed:
		return fmt.Errorf("there is no file %s\n%s", file, strings.Join(left, "\n"))
	}
	for _, s := range out {
		fmt.Fprintln(m.out, "no longer in maintenance: "+s)
	}
	for _, line := range left {
		fmt.Fprintln(m.out, line)
	}
	return nil
}

// list prints the files, what they say and about whom.
func (m *maintainer) list(machine bool) error {
	marks, err := maintenance.Read(m.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rows := make([]cli.MaintenanceRow, len(marks))
	for i, servers := range m.affected(marks) {
		servers = slices.Concat([]string{}, servers) // in JSON none is [], not null
		rows[i] = cli.MaintenanceRow{
			File: marks[i].File, Reason: marks[i].Reason, Since: marks[i].Since.Round(time.Second), Servers: servers,
		}
	}
	return cli.PrintMaintenance(m.out, rows, machine)
}
