package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/cli"
	"github.com/ldirectord/ldirectord/host/plugin"
	"github.com/ldirectord/ldirectord/sdk"
)

// describedTogether is how many plugins are started at the same time to be listed.
const describedTogether = 4

// plugins lists what is installed, or tests one file. The list's exit code is 0 when every plugin
// that counts can be used, and 1 when one of them cannot, or there are none.
func (a *app) plugins() int {
	if len(a.in.args) > 0 && a.in.args[0] == "test" {
		return a.pluginsTest(a.in.args[1:])
	}
	var machine, options bool
	flags := pflag.NewFlagSet("plugins", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&machine, "json", false, "")
	flags.BoolVar(&options, "options", false, "")
	if err := flags.Parse(a.in.args); err != nil || flags.NArg() > 0 {
		a.complain("plugins takes --options, --json, or the word test and a file, found %q", a.in.args)
		return exitUsage
	}
	pool, end, code := a.pluginPool()
	if code != exitOK {
		return code
	}
	defer end()
	report := cli.PluginReport{Directories: pool.dirs, Plugins: inventory(context.Background(), pool.Pool)}
	err := error(nil)
	if machine {
		err = report.JSON(a.out)
	} else {
		err = report.Text(a.out, options)
	}
	if err != nil {
		a.complain("%v", err)
		return exitFailed
	}
	code = exitFailed
	for _, p := range report.Plugins {
		switch {
		case p.Usable():
			code = exitOK
		case p.Shadowed == "":
			return exitFailed
		}
	}
	return code
}

// commandPool is the Pool of a command.
type commandPool struct {
	*plugin.Pool
	dirs []string
}

// pluginPool makes a Pool with what the configuration says of plugins. That of the default name
// need not exist.
func (a *app) pluginPool() (pool commandPool, end func(), code int) {
	dir, user, err := configuredPlugins(a.in.file)
	if err != nil && (a.in.file != "" || !errors.Is(err, fs.ErrNotExist)) {
		a.complain("%v", err)
		return pool, nil, exitConfig
	}
	runDir, err := a.paths().Scratch()
	if err != nil {
		a.complain("%v", err)
		return pool, nil, exitFailed
	}
	dirs := pluginDirs(dir)
	pool = commandPool{plugin.New(plugin.Options{Dirs: dirs, User: user, RunDir: runDir, Log: slog.New(slog.DiscardHandler)}), dirs}
	end = func() {
		ctx, cancel := context.WithTimeout(context.Background(), describeLimit)
		defer cancel()
		if err := errors.Join(pool.Close(ctx), os.RemoveAll(runDir)); err != nil {
			a.complain("%v", err)
		}
	}
	return pool, end, exitOK
}

// configuredPlugins reads plugindir and pluginuser, whatever else is wrong with the file, and
// looks no names up.
func configuredPlugins(name string) (dir, user string, err error) {
	path, err := config.Find(name)
	if err != nil {
		return "", "", err
	}
	ctx, enough := context.WithCancel(context.Background())
	defer enough()
	known := false
	loader := config.Loader{OpenCatalog: func(d, u string) config.Catalog {
		dir, user, known = d, u, true
		enough()
		return anyService{}
	}}
	if _, err = loader.Load(ctx, path); known {
		err = nil
	}
	return dir, user, err
}

// inventory lists the plugins and has those that count say what they are.
func inventory(ctx context.Context, pool *plugin.Pool) []cli.Plugin {
	files := pool.Installed()
	all := make([]cli.Plugin, len(files))
	turn := make(chan struct{}, describedTogether)
	var wait sync.WaitGroup
	for i, f := range files {
		all[i] = cli.Plugin{Service: f.Service, Path: f.Path, Real: f.Real, Shadowed: f.Shadow}
		switch {
		case f.Err != nil:
			all[i].Error = withoutPath(f.Err, f.Path)
		case f.Shadow == "":
			wait.Go(func() {
				turn <- struct{}{}
				defer func() { <-turn }()
				describePlugin(ctx, pool, &all[i])
			})
		}
	}
	wait.Wait()
	return all
}

// describePlugin fills in what the plugin says of itself, or why it does not.
func describePlugin(ctx context.Context, pool *plugin.Pool, p *cli.Plugin) {
	why := fmt.Errorf("no answer within %v", describeLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, describeLimit+time.Second, why) // the handshake's own limit says more
	defer cancel()
	info, err := pool.Describe(ctx, p.Service)
	if err != nil {
		p.Error = withoutPath(err, p.Path, p.Real)
		return
	}
	p.Version, p.Summary, p.IPv6 = info.Version, info.Summary, info.IPv6
	for _, s := range info.Services {
		p.Services = append(p.Services, cli.Service(s))
	}
	for _, o := range info.Options {
		p.Options = append(p.Options, pluginOption(o))
	}
}

// withoutPath drops the beginning of an error that names the plugin, as the list does already.
func withoutPath(err error, paths ...string) string {
	text := err.Error()
	for _, path := range paths {
		text = strings.TrimPrefix(text, "plugin "+path+": ")
		text = strings.TrimPrefix(text, "plugin "+path+" ")
	}
	return text
}

func pluginOption(o sdk.Option) cli.PluginOption {
	return cli.PluginOption{Name: o.Name, Type: o.Type, Default: o.Default, Help: o.Help, Required: o.Required, Secret: o.Secret}
}
