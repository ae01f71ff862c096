package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// story is one telling of the demo.
type story struct {
	network network
	begin   time.Time
	program string // ldirectord
	config  string
	logFile string
	dryRun  bool
	started bool
	servers map[string]*process // running web servers by host
}

// process is a web server that we started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (s *story) say(format string, args ...any) {
	fmt.Printf("\n[%5.1f s] %s\n", time.Since(s.begin).Seconds(), fmt.Sprintf(format, args...))
}

func (s *story) tell(ctx context.Context) error {
	steps := []func(context.Context) error{
		s.prepare, s.startDirector, s.oneStops, s.oneReturns, s.allStop, s.allReturn, s.stopDirector,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			if log, readErr := os.ReadFile(s.logFile); readErr == nil {
				fmt.Printf("\nThe director's log:\n%s", log)
			}
			return err
		}
	}
	s.say("Done. Every change above was made by the director, in %s.", s.where())
	return nil
}

func (s *story) where() string {
	if s.dryRun {
		return "a table in memory"
	}
	return "the kernel's IPVS table"
}

func (s *story) prepare(ctx context.Context) error {
	s.say("Three web servers and one with an emergency page.")
	if err := s.network.setUp(ctx); err != nil {
		return err
	}
	for _, host := range hosts {
		if err := s.startServer(host); err != nil {
			return err
		}
	}
	virtual, method := s.network.virtual()
	var b strings.Builder
	fmt.Fprintf(&b, "checkinterval = 1\nchecktimeout = 2\nquiescent = no\nlogfile = %q\n\n", s.logFile)
	fmt.Fprintf(&b, "virtual = %s\n", virtual)
	for _, host := range hosts[:3] {
		fmt.Fprintf(&b, "    real = %s %s\n", s.network.address(host), method)
	}
	fmt.Fprintf(&b, "    fallback = %s %s\n", s.network.address("sorry"), method)
	fmt.Fprintf(&b, "    service = http\n    request = \"/\"\n    receive = \"^hello from web\"\n    scheduler = rr\n")
	fmt.Println("The director's configuration:")
	fmt.Print(indent(b.String()))
	return os.WriteFile(s.config, []byte(b.String()), 0o600)
}

func (s *story) startDirector(ctx context.Context) error {
	s.say("The director starts.")
	if err := s.director(ctx, "start"); err != nil {
		return err
	}
	s.started = true
	return s.expect(ctx, "web1", "web2", "web3")
}

func (s *story) oneStops(ctx context.Context) error {
	s.say("web2 stops.")
	s.stopServer("web2")
	return s.expect(ctx, "web1", "web3")
}

func (s *story) oneReturns(ctx context.Context) error {
	s.say("web2 comes back.")
	if err := s.startServer("web2"); err != nil {
		return err
	}
	return s.expect(ctx, "web1", "web2", "web3")
}

func (s *story) allStop(ctx context.Context) error {
	s.say("All three stop: the fallback takes over.")
	for _, host := range hosts[:3] {
		s.stopServer(host)
	}
	return s.expect(ctx, "sorry")
}

func (s *story) allReturn(ctx context.Context) error {
	s.say("All three come back: the fallback leaves.")
	for _, host := range hosts[:3] {
		if err := s.startServer(host); err != nil {
			return err
		}
	}
	return s.expect(ctx, "web1", "web2", "web3")
}

func (s *story) stopDirector(ctx context.Context) error {
	s.say("The director stops, and takes its virtual service with it (cleanstop).")
	fmt.Println("Its log of table changes:")
	log, err := os.ReadFile(s.logFile)
	if err != nil {
		return err
	}
	fmt.Print(indent(string(log)))
	s.started = false
	return s.director(ctx, "stop")
}

// director runs one command of ldirectord.
func (s *story) director(ctx context.Context, command ...string) error {
	out, err := s.output(ctx, command...)
	if err != nil {
		return fmt.Errorf("ldirectord %s: %w: %s", shown(command), err, out)
	}
	return nil
}

func (s *story) output(ctx context.Context, command ...string) ([]byte, error) {
	args := append([]string{s.config}, command...)
	if s.dryRun {
		args = append([]string{"--dry-run"}, args...)
	}
	return exec.CommandContext(ctx, s.program, args...).CombinedOutput()
}

// patience is how long a change of the table may take before the demo gives up.
const patience = 20 * time.Second

// expect waits until exactly these hosts are in the table with a weight, shows the table,
// and has the client ask the virtual service.
func (s *story) expect(ctx context.Context, names ...string) error {
	begin := time.Now()
	var want []string
	for _, host := range names {
		want = append(want, s.network.address(host))
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for got := []string(nil); ; {
		var err error
		if got, err = s.serving(ctx); err == nil && strings.Join(got, " ") == strings.Join(want, " ") {
			break
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("table after %s: %v (%v), want %v", patience, got, err, want)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	fmt.Printf("The table shows it after %.1f s:\n", time.Since(begin).Seconds())
	table, err := s.output(ctx, "status")
	if err != nil {
		return err
	}
	fmt.Print(indent(string(table)))
	return s.ask(ctx, names)
}

// ask has the client send requests, and makes sure that those answer who should.
func (s *story) ask(ctx context.Context, names []string) error {
	if s.dryRun {
		fmt.Println("(No requests: a table in memory forwards nothing.)")
		return nil
	}
	virtual, _ := s.network.virtual()
	words := s.network.inside("client", os.Args[0], "-fetch", "http://"+virtual+"/")
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("client: %w: %s", err, out)
	}
	fmt.Printf("%d requests to http://%s/: %s", requests, virtual, out)
	for _, host := range hosts {
		answered := bytes.Contains(out, []byte("from "+host))
		if answered != slices.Contains(names, host) {
			return fmt.Errorf("%s answered: %v, and should: %v", host, answered, !answered)
		}
	}
	if bytes.Contains(out, []byte("no answer")) {
		return errors.New("requests were lost")
	}
	return nil
}

// serving asks the daemon who is in its table with a weight.
func (s *story) serving(ctx context.Context) ([]string, error) {
	out, err := s.output(ctx, "status", "--json")
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var status struct {
		Services []struct {
			Servers []struct {
				Address string
				Weight  int
			}
		}
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, err
	}
	var got []string
	for _, service := range status.Services {
		for _, server := range service.Servers {
			if server.Weight > 0 {
				got = append(got, server.Address)
			}
		}
	}
	return got, nil
}

func (s *story) startServer(host string) error {
	text := "hello from " + host
	if host == "sorry" {
		text = "emergency page from sorry"
	}
	words := s.network.inside(host, os.Args[0], "-serve", s.network.address(host), "-text", text)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", filepath.Base(words[0]), err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // ended by stopServer
	}()
	s.servers[host] = p
	return nil
}

func (s *story) stopServer(host string) {
	p := s.servers[host]
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	delete(s.servers, host)
}

func (s *story) cleanUp() {
	if s.started {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = s.director(ctx, "stop")
	}
	for _, host := range hosts {
		s.stopServer(host)
	}
	s.network.tearDown()
}

func indent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return "    " + strings.Join(lines, "\n    ") + "\n"
}
