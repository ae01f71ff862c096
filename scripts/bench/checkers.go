package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// checker is one program under test.
type checker struct {
	name string
	what string // for the table
	// command gives the program's command line; its files go to scratch, what was built is in work.
	command func(p place, servers int) ([]string, error)
	kernel  bool // needs a kernel with IPVS
}

// place is where windows are measured.
type place struct {
	work    string // what was built
	scratch string // private, empty at first
	dryRun  bool   // the kernel has no IPVS
}

var checkers = []checker{
	{name: "http", what: "http through its plugin", command: director("http", webPort, "\trequest = \"/\"\n\treceive = \"OK\"\n")},
	{name: "one-process", what: "the same engine in one process", command: oneProcess},
	{name: "keepalived", what: "keepalived HTTP_GET", command: keepalived("HTTP_GET", webPort), kernel: true},
	{name: "bare", what: "bare epoll loop, GET", command: bareLoop("bare")},
	{name: "connect", what: "connect", command: director("connect", connectPort, "")},
	{name: "keepalived-connect", what: "keepalived TCP_CHECK", command: keepalived("TCP_CHECK", connectPort), kernel: true},
	{name: "bare-connect", what: "bare epoll loop, connect", command: bareLoop("bare-connect")},
}

func checkerNamed(name string) (checker, error) {
	for _, c := range checkers {
		if c.name == name {
			return c, nil
		}
	}
	return checker{}, fmt.Errorf("no checker is called %q", name)
}

// perService is how many real servers a virtual service has.
const perService = 100

// configuration is ours: kind is http, or connect.
func configuration(kind string, port, servers int, extra string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "checkinterval = 1\nchecktimeout = 3\nquiescent = no\nautoreload = no\n")
	for n := range servers {
		if n%perService == 0 {
			s := n / perService
			fmt.Fprintf(&b, "virtual = 10.99.%d.%d:80\n\tservice = http\n%s", s/250, 1+s%250, extra)
			if kind == "connect" {
				b.WriteString("\tchecktype = connect\n")
			}
		}
		fmt.Fprintf(&b, "\treal = %s:%d masq\n", address(n), port)
	}
	return b.String()
}

func director(kind string, port int, extra string) func(place, int) ([]string, error) {
	return func(p place, servers int) ([]string, error) {
		file := filepath.Join(p.scratch, kind+".cf")
		command := []string{filepath.Join(p.work, "bin", "ldirectord")}
		if p.dryRun {
			command = append(command, "--dry-run")
		}
		return append(command, file, "run"), os.WriteFile(file, []byte(configuration(kind, port, servers, extra)), 0o600)
	}
}

// oneProcess is the director with the http check inside: a test binary of the check, which says
// what the environment variable is for.
func oneProcess(p place, servers int) ([]string, error) {
	file := filepath.Join(p.scratch, "one-process.cf")
	text := configuration("http", webPort, servers, "\trequest = \"/\"\n\treceive = \"OK\"\n")
	command := []string{"env", "HTTP_TEST_ONE_PROCESS=" + file, filepath.Join(p.work, "one-process")}
	return command, os.WriteFile(file, []byte(text), 0o600)
}

func keepalived(check string, port int) func(place, int) ([]string, error) {
	return func(p place, servers int) ([]string, error) {
		var b strings.Builder
		for n := range servers {
			if n%perService == 0 {
				s := n / perService
				fmt.Fprintf(&b, "%svirtual_server 10.99.%d.%d 80 {\n\tdelay_loop 1\n\tlb_algo wrr\n\tlb_kind NAT\n\tprotocol TCP\n",
					strings.Repeat("}\n", min(s, 1)), s/250, 1+s%250)
			}
			fmt.Fprintf(&b, "\treal_server %s %d {\n\t\tweight 1\n\t\t%s {\n", address(n), port, check)
			if check == "HTTP_GET" {
				b.WriteString("\t\t\turl {\n\t\t\t\tpath /\n\t\t\t\tstatus_code 200\n\t\t\t}\n")
			}
			b.WriteString("\t\t\tconnect_timeout 3\n\t\t}\n\t}\n")
		}
		b.WriteString("}\n")
		file := filepath.Join(p.scratch, check+".conf")
		command := []string{"keepalived", "--dont-fork", "--check", "--use-file", file,
			"--pid", filepath.Join(p.scratch, "k.pid"), "--checkers_pid", filepath.Join(p.scratch, "kc.pid")}
		return command, os.WriteFile(file, []byte(b.String()), 0o644)
	}
}

func bareLoop(name string) func(place, int) ([]string, error) {
	return func(_ place, servers int) ([]string, error) {
		self, err := os.Executable()
		return []string{self, name, strconv.Itoa(servers)}, err
	}
}

// start runs a checker's command with its output in a file of the same name.
func (c checker) start(p place, servers int) (*exec.Cmd, error) {
	words, err := c.command(p, servers)
	if err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(p.scratch, c.name+".out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, p.scratch
	return cmd, cmd.Start()
}
