package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ldirectord/ldirectord/config"
	"github.com/ldirectord/ldirectord/host/builtin"
	"github.com/ldirectord/ldirectord/host/engine"
	"github.com/ldirectord/ldirectord/host/monitor"
	"github.com/ldirectord/ldirectord/lvs/memory"
)

// asOneProcess names the environment variable that makes this test binary a director with the
// check inside: the same parts as the daemon's, with a table in memory, and no plugin. Its value is
// a configuration. scripts/bench measures what the process boundary costs against it.
const asOneProcess = "HTTP_TEST_ONE_PROCESS"

// oneProcess runs until a signal says stop. It returns an exit code.
func oneProcess(path string) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	loader := config.Loader{OpenCatalog: func(string, string) config.Catalog { return httpAlone{} }}
	cfg, err := loader.Load(context.Background(), path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	pool := builtin.Runner(newCheck().Checker(), builtin.Options{})
	m := monitor.New(monitor.Options{Runner: func(string, string) (monitor.Runner, error) { return pool, nil }})
	e, err := engine.Start(context.Background(), cfg, engine.Options{Controller: memory.New(), Monitor: m})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	<-stop
	e.Stop(context.Background())
	m.Close(context.Background())
	pool.Close(context.Background())
	return 0
}

// httpAlone is a catalog of http and its options.
type httpAlone struct{}

func (httpAlone) Services() []string { return []string{"http"} }

func (httpAlone) Lookup(string) (config.ServiceInfo, error) {
	info, err := newCheck().Checker().Describe(context.Background())
	out := config.ServiceInfo{Port: 80, Network: "tcp", IPv6: true}
	for _, o := range info.Options {
		out.Options = append(out.Options, config.OptionInfo{Name: o.Name, Default: o.Default, Required: o.Required, Secret: o.Secret})
	}
	return out, err
}

func (httpAlone) Validate(service string, options map[string]string) error {
	return newCheck().Checker().Validate(context.Background(), service, options)
}
