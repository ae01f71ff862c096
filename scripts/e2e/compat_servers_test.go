package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/ldirectord/ldirectord/scripts/servers"
	"github.com/rogpeppe/go-internal/testscript"
)

// realServer (server KIND ADDRESS...) starts a real server in each world; server stop ADDRESS ends it, freeze and
// thaw have it stop where it is, and go on. All its addresses have one port; the first one is its name.
//
//	mariadb, postgres  as servers.MariaDB and servers.Postgres say, with TLS; KIND-bare without it
//
// One that was stopped comes back with what it had.
// There is no network in a guest: scripts/test unpacks the packages before.
func realServer(ts *testscript.TestScript, neg bool, args []string) {
	w := *ts.Value("world").(**world)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: server KIND|stop|freeze|thaw ADDRESS...")
	}
	kind, name := args[0], args[1]
	if running := w.servers[name]; running != nil {
		switch kind {
		case "stop":
			running.Close()
			delete(w.servers, name)
		case "freeze":
			ts.Check(running.Signal(syscall.SIGSTOP))
		case "thaw":
			ts.Check(running.Signal(syscall.SIGCONT))
		default:
			ts.Fatalf("server %s: %s runs already", kind, name)
		}
		return
	}
	var hosts []netip.Addr
	var port uint16
	for _, a := range args[1:] {
		at, err := netip.ParseAddrPort(a)
		ts.Check(err)
		hosts, port = append(hosts, at.Addr()), at.Port()
	}
	define := servers.MariaDB
	switch base, _ := strings.CutSuffix(kind, "-bare"); base {
	case "mariadb":
	case "postgres":
		define = servers.Postgres
	default:
		ts.Fatalf("server %s %s: no such kind, or it does not run", kind, name)
	}
	s, err := define(!strings.HasSuffix(kind, "-bare"), port, hosts...)
	ts.Check(err)
	dir := filepath.Join(w.dir, "server "+name)
	ts.Check(os.MkdirAll(dir, 0o755))
	running, err := s.Run(dir)
	ts.Check(err)
	w.servers[name] = running
	ts.Defer(running.Close)
}
