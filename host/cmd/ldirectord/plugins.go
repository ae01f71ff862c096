package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/builtin"
	"github.com/ldirectord/ldirectord/host/lua"
	"github.com/ldirectord/ldirectord/host/monitor"
	"github.com/ldirectord/ldirectord/host/plugin"
	"github.com/ldirectord/ldirectord/host/script"
	"github.com/ldirectord/ldirectord/sdk"
	"github.com/ldirectord/ldirectord/sdk/match"
)

// describeLimit bounds one question to a plugin while a configuration is read, all processes together that
// it is put to.
const describeLimit = 10 * time.Second

// inside is a monitor.Runner of checks that need no plugin.
type inside interface {
	monitor.Runner
	Close(ctx context.Context) error
}

// builtIn are the kinds that need no plugin.
var builtIn = map[string]func(*kinds) (inside, error){
	"connect":  func(*kinds) (inside, error) { return builtin.NewConnector() },
	"ping":     func(*kinds) (inside, error) { return builtin.NewPinger(), nil },
	"external": func(*kinds) (inside, error) { return script.NewExternal(), nil },
	kindPerl:   func(k *kinds) (inside, error) { return script.NewPerl(script.PerlOptions{Log: k.log}) },
}

// kindPerl is the one of builtIn that needs something of the machine, and whose pools (fork = yes)
// keep something apart: the variables of scripts.
const kindPerl = "external-perl"

// shipped are the services whose plugins belong to every installation.
var shipped = []string{
	"http", "https", "http_proxy", "dns", "simpletcp", "smtp", "submission", "pop", "pops", "nntp",
	"oracle",
	"imap", "imaps", "ldap", "ldaps",
	"mysql", "pgsql",
	"ftp", "radius", "sip",
}

// kinds are the checks that can be run: the plugins of the directories, and the built-in
// ones. It is config.Catalog, and where the monitor gets its runners.
type kinds struct {
	log    *slog.Logger
	runDir string
	dir    string // of plugindir
	user   string // of pluginuser
	pool   *plugin.Pool
	inside map[string]inside
	// checkers are the kinds beside builtIn that need no plugin, and look at their options.
	checkers map[string]sdk.Checker
}

func newKinds(runDir string, log *slog.Logger) *kinds {
	return &kinds{
		log: log, runDir: runDir, inside: map[string]inside{},
		checkers: map[string]sdk.Checker{lua.Kind: lua.New(lua.Options{Log: log})},
	}
}

// open is config.Loader's OpenCatalog. The directory and user of the first configuration
// hold until the daemon ends.
func (k *kinds) open(dir, user string) config.Catalog {
	if k.pool == nil {
		k.dir, k.user = dir, user
		k.pool = plugin.New(plugin.Options{Dirs: pluginDirs(dir), User: user, RunDir: k.runDir, Log: k.log})
	} else if k.dir != dir || k.user != user {
		k.log.Warn("plugindir and pluginuser change at a restart only", "plugindir", k.dir, "pluginuser", k.user)
	}
	return k
}

// pluginDirs are the directories that plugins are looked for in, in order.
func pluginDirs(configured string) []string {
	var dirs []string
	if configured != "" {
		dirs = append(dirs, configured)
	}
	for _, dir := range filepath.SplitList(os.Getenv("LDIRECTORD_PLUGIN_PATH")) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	if self, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Join(filepath.Dir(self), "plugins"))
	}
	return append(dirs, "/usr/local/lib/ldirectord/plugins", "/usr/lib/ldirectord/plugins")
}

// Services lists what a service directive may say.
func (k *kinds) Services() []string {
	names := append(k.pool.Services(), "none")
	sort.Strings(names)
	return slices.Compact(names)
}

// Lookup implements config.Catalog.
func (k *kinds) Lookup(service string) (config.ServiceInfo, error) {
	if service == kindPerl {
		if _, err := script.FindPerl(); err != nil {
			return config.ServiceInfo{}, err
		}
	}
	if builtIn[service] != nil {
		return config.ServiceInfo{Network: "tcp", IPv6: true}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), describeLimit)
	defer cancel()
	if c := k.checkers[service]; c != nil {
		info, err := c.Describe(ctx)
		if err != nil {
			return config.ServiceInfo{}, err
		}
		return serviceInfo(service, info)
	}
	info, err := k.pool.Describe(ctx, service)
	switch {
	case err == nil:
		return serviceInfo(service, info)
	case errors.Is(err, plugin.ErrNotInstalled) && !slices.Contains(shipped, service):
		return config.ServiceInfo{}, fmt.Errorf("%w: %w", config.ErrUnknownService, err)
	default:
		return config.ServiceInfo{}, err
	}
}

func serviceInfo(service string, info sdk.Info) (config.ServiceInfo, error) {
	at := slices.IndexFunc(info.Services, func(s sdk.Service) bool { return s.Name == service })
	if at < 0 {
		return config.ServiceInfo{}, fmt.Errorf("plugin %s does not serve %s", info.Name, service)
	}
	s := info.Services[at]
	out := config.ServiceInfo{Port: s.Port, Network: s.Network, IPv6: info.IPv6}
	for _, o := range info.Options {
		out.Options = append(out.Options, config.OptionInfo{Name: o.Name, Default: o.Default, Required: o.Required, Secret: o.Secret})
	}
	return out, nil
}

// Validate implements config.Catalog.
func (k *kinds) Validate(service string, options map[string]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), describeLimit)
	defer cancel()
	if c := k.checkers[service]; c != nil {
		return c.Validate(ctx, service, options)
	}
	return k.pool.Validate(ctx, service, options)
}

// ValidatePattern implements config.PatternValidator.
func (k *kinds) ValidatePattern(text string) error {
	_, err := match.Compile(text)
	if bad, ok := errors.AsType[*match.SyntaxError](err); ok {
		return &sdk.OptionError{Offset: bad.Offset, Want: bad.Reason}
	}
	return err
}

// runner is monitor.Options' Runner. The monitor's goroutine alone calls it.
func (k *kinds) runner(kind, pool string) (monitor.Runner, error) {
	open := builtIn[kind]
	if c := k.checkers[kind]; c != nil {
		open = func(*kinds) (inside, error) { return builtin.Runner(c, builtin.Options{}), nil }
	}
	if open == nil {
		return k.pool.Runner(kind, pool)
	}
	key := kind
	if kind == kindPerl {
		key += " " + pool
	}
	if k.inside[key] == nil {
		r, err := open(k)
		if err != nil {
			return nil, err
		}
		k.inside[key] = r
	}
	return k.inside[key], nil
}

// close ends the plugins. The monitor must have been closed before.
func (k *kinds) close(ctx context.Context) {
	for kind, r := range k.inside {
		if err := r.Close(ctx); err != nil {
			k.log.Error("checks did not end", "kind", kind, "reason", err)
		}
	}
	if k.pool != nil {
		if err := k.pool.Close(ctx); err != nil {
			k.log.Error("plugins did not end", "reason", err)
		}
	}
}
