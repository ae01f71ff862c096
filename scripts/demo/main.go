// Demo shows the director's main job on three small web servers and comments what
// happens. It needs a network of its own to play in, or -dry-run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	dryRun := flag.Bool("dry-run", false, "table in memory, servers on loopback")
	serve := flag.String("serve", "", "internal: be a web server on this address")
	fetch := flag.String("fetch", "", "internal: get this URL a few times and count who answered")
	text := flag.String("text", "", "internal: what the web server answers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *serve != "":
		err = serveWeb(ctx, *serve, *text)
	case *fetch != "":
		err = fetchMany(ctx, *fetch)
	default:
		err = demo(ctx, flag.Arg(0), *dryRun)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

func demo(ctx context.Context, bin string, dryRun bool) error {
	dir, err := os.MkdirTemp("", "ldirectord-demo.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var n network = &loopback{}
	if !dryRun {
		n = &namespaces{}
	}
	s := &story{
		network: n,
		begin:   time.Now(),
		program: filepath.Join(bin, "ldirectord"),
		config:  filepath.Join(dir, "demo.cf"),
		dryRun:  dryRun,
		logFile: filepath.Join(dir, "demo.log"),
		servers: map[string]*process{},
	}
	defer s.cleanUp()
	return s.tell(ctx)
}
