package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// Resolver looks names up. *net.Resolver is one.
type Resolver interface {
	// LookupNetIP returns the addresses of host; network is "ip4" or "ip6".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	// LookupPort returns the port of a service; network is "tcp" or "udp".
	LookupPort(ctx context.Context, network, service string) (int, error)
}

// Loader reads configurations. One that is kept from load to load remembers the addresses
// of host names. Its methods must not be called concurrently.
type Loader struct {
	// OpenCatalog is called once per Parse, when plugindir and pluginuser are known; both may
	// be empty. It must not be nil.
	OpenCatalog func(dir, user string) Catalog
	// Resolver looks up host and service names; nil is the system's.
	Resolver Resolver
	// Last holds the address in use of each host name of the last configuration that was
	// read without errors, under LastKey: a name that no longer resolves keeps it. It is
	// for the caller to keep and to fill in before the first Load; nil is empty. A Parse
	// without errors replaces the map by one with the names of its configuration alone, so
	// that it does not grow; it never changes one, and with errors leaves it as it is.
	Last map[string]netip.Addr
	// Instance becomes Config.Instance; "" stands for the base name of the file.
	Instance string

	maxRange, maxServers int // 0: the defaults; tests make them small
}

// Bounds on what is read, far above what IPVS is used for.
const (
	maxFile    = 16 << 20 // bytes
	maxRange   = 1 << 16  // addresses of one range
	maxServers = 1 << 18  // real servers of a configuration
)

// LastKey returns the key of a host name in Loader.Last.
func LastKey(host string, v6 bool) string {
	if v6 {
		return "ip6 " + host
	}
	return "ip4 " + host
}

// Load reads the configuration at path. The error is an *Errors with everything that
// is wrong with it, or says why it could not be read.
func (l *Loader) Load(ctx context.Context, path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return l.Parse(ctx, path, text)
}

// Parse reads text, the content of the configuration at path. Errors are as of Load.
func (l *Loader) Parse(ctx context.Context, path string, text []byte) (*Config, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("read configuration: %s has more than %d bytes", path, maxFile)
	}
	if l.OpenCatalog == nil {
		return nil, errors.New("read configuration: no catalog of services")
	}
	r := &report{}
	d := collect(r, lex(r, path, text))
	cfg := &Config{File: path, Instance: l.Instance, Digest: sha256.Sum256(text)}
	if cfg.Instance == "" {
		cfg.Instance = filepath.Base(path)
	}
	cfg.Global = buildGlobal(r, d)
	b := builder{
		report:     r,
		draft:      d,
		global:     &cfg.Global,
		catalog:    l.OpenCatalog(cfg.Global.PluginDir, cfg.Global.PluginUser),
		names:      newNames(l),
		maxRange:   orElse(l.maxRange, maxRange),
		maxServers: orElse(l.maxServers, maxServers),
		infos:      map[string]lookup{},
	}
	b.names.prefetch(ctx, d)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	cfg.Services = b.services(ctx)
	r.empty(path, d)
	r.unsetQuiescent(d)
	r.scripts(cfg)
	r.forks(cfg)
	if len(r.errors) > 0 {
		return nil, &Errors{Problems: inFileOrder(r.errors), Warnings: inFileOrder(r.warnings)}
	}
	cfg.Warnings = inFileOrder(r.warnings)
	l.Last = b.names.used
	return cfg, nil
}

// orElse returns n, or other when n is 0.
func orElse(n, other int) int {
	if n == 0 {
		return other
	}
	return n
}

// buildGlobal fills in the global directives.
func buildGlobal(r *report, d draft) Global {
	g := Global{Origins: map[string]Pos{}}
	for _, dir := range directives() {
		if dir.global == nil {
			continue
		}
		if s, ok := d.set[dir.name]; ok {
			store(dir.global(&g), s.value)
			g.Origins[dir.name] = s.pos
		} else if dir.unset != nil {
			store(dir.global(&g), dir.unset)
		}
	}
	if s, ok := d.set["logfile"]; ok && g.LogFile[0] != '/' && !isFacility(g.LogFile) {
		r.warn(s.at, "logfile", "%s is neither a path that begins with / nor a syslog facility; facility daemon is used", quoteShort(g.LogFile))
	}
	if s, ok := d.set["logfile"]; ok && g.LogFile[0] == '/' {
		r.wantDirectory(s.at, "logfile", filepath.Dir(g.LogFile))
	}
	if s, ok := d.set["maintenancedir"]; ok {
		r.wantDirectory(s.at, "maintenancedir", g.MaintenanceDir)
	}
	for _, sec := range d.sections {
		if s, ok := sec.set["monitorfile"]; ok && filepath.IsAbs(s.value.(string)) {
			r.wantDirectory(s.at, "monitorfile", filepath.Dir(s.value.(string)))
		}
	}
	return g
}

// wantDirectory warns of a directory that is not there. It may come before the daemon needs it, and
// whoever reads the file may see another machine's.
func (r *report) wantDirectory(at Pos, directive, path string) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		r.warn(at, directive, "%s is not a directory at present", quoteShort(path))
	}
}

// isFacility tells whether name is a facility of syslog(3), in the form of syslog.conf, in
// upper or lower case.
func isFacility(name string) bool {
	switch strings.ToLower(name) {
	case "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news",
		"syslog", "user", "uucp", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7":
		return true
	}
	return false
}

// systemResolver returns the machine's own resolver.
func systemResolver() Resolver { return net.DefaultResolver }
