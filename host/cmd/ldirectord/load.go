package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/cli"
	"github.com/spf13/pflag"
)

// validate reads the configuration without taking it over, and prints what is wrong
// with it. It returns an exit code.
func (a *app) validate() int {
	_, code := a.read()
	return code
}

// read loads the configuration as a command does, with plugins of its own that end with it.
func (a *app) read() (*config.Config, int) {
	cfg, err := a.readAlone()
	if err == nil {
		return cfg, exitOK
	}
	return nil, a.refuse(err)
}

// refuse prints why a configuration cannot be read, and returns the exit code for that.
func (a *app) refuse(err error) int {
	var bad *config.Errors
	if errors.As(err, &bad) {
		for _, p := range bad.Problems {
			fmt.Fprintln(a.err, p)
		}
		return exitConfig
	}
	a.complain("%v", err)
	return exitConfig
}

func (a *app) readAlone() (*config.Config, error) {
	path, err := config.Find(a.in.file)
	if err != nil {
		return nil, err
	}
	runDir, err := a.paths().Scratch()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(runDir)
	k := newKinds(runDir, slog.New(slog.DiscardHandler))
	defer k.close(context.Background())
	loader := config.Loader{OpenCatalog: k.open, Instance: config.Instance(a.in.file)}
	return load(context.Background(), &loader, path)
}

// load reads a configuration, and looks at what its checks and alerts need of this machine.
func load(ctx context.Context, loader *config.Loader, path string) (*config.Config, error) {
	cfg, err := loader.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	errs, warnings := scriptProblems(cfg)
	wrong, doubts := alertProblems(cfg)
	errs, cfg.Warnings = append(errs, wrong...), slices.Concat(cfg.Warnings, warnings, doubts)
	slices.SortStableFunc(cfg.Warnings, func(a, b config.Problem) int { return cmp.Compare(a.Pos.Line, b.Pos.Line) })
	if len(errs) > 0 {
		return nil, &config.Errors{Problems: errs, Warnings: cfg.Warnings}
	}
	return cfg, nil
}

// supervised reads no more than the directive that decides where start runs.
func (a *app) supervised() bool {
	path, err := config.Find(a.in.file)
	if err != nil {
		return false
	}
	loader := config.Loader{OpenCatalog: func(string, string) config.Catalog { return anyService{} }}
	cfg, err := loader.Load(context.Background(), path)
	// What is wrong with the file the daemon says itself.
	return err == nil && cfg.Global.Supervised
}

// anyService is a catalog that lets everything pass.
type anyService struct{}

func (anyService) Services() []string { return nil }

func (anyService) Lookup(string) (config.ServiceInfo, error) {
	return config.ServiceInfo{Port: 1, Network: "tcp", IPv6: true}, nil
}

func (anyService) Validate(string, map[string]string) error { return nil }

// configtest prints what is wrong with a configuration, and on demand what is in force.
func (a *app) configtest() int {
	var dump, secrets, machine, differences bool
	flags := pflag.NewFlagSet("configtest", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&dump, "dump", false, "")
	flags.BoolVar(&secrets, "secrets", false, "")
	flags.BoolVar(&machine, "json", false, "")
	flags.BoolVar(&differences, "migrate", false, "")
	if err := flags.Parse(a.in.args); err != nil || flags.NArg() > 0 {
		a.complain("configtest takes --migrate, --dump, --secrets and --json, found %q", a.in.args)
		return exitUsage
	}
	if secrets && os.Getuid() != 0 {
		a.complain("configtest --secrets is for root")
		return exitFailed
	}
	cfg, err := a.readAlone()
	var bad *config.Errors
	if err != nil && !errors.As(err, &bad) {
		a.complain("%v", err)
		return exitConfig
	}
	report := cli.ConfigReport{Config: cfg, Errors: bad, Dump: dump, Secrets: secrets, Migrate: differences}
	if differences && cfg != nil {
		if report.Source, err = os.ReadFile(cfg.File); err != nil {
			a.complain("%v", err)
			return exitConfig
		}
	}
	if machine {
		err = report.JSON(a.out)
	} else {
		err = report.Text(a.out, a.err)
	}
	switch {
	case err != nil:
		a.complain("%v", err)
		return exitFailed
	case bad != nil:
		return exitConfig
	default:
		return exitOK
	}
}

// absolute makes a configuration's path independent of where we are.
func absolute(name string) (string, error) {
	path, err := config.Find(name)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}
