package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Variables by which systemd asks a service to report (sd_notify(3), sd_watchdog_enabled(3)).
const (
	notifyVariable      = "NOTIFY_SOCKET"
	watchdogVariable    = "WATCHDOG_USEC"
	watchdogPidVariable = "WATCHDOG_PID"
)

// Systemd is the way to tell systemd how the service is. Nil: nobody wants to know. Its methods may
// be called concurrently; none waits longer than a second, and what could not be told is logged once.
type Systemd struct {
	socket   string
	watchdog time.Duration // 0: none
	log      *slog.Logger
	failing  atomic.Bool
}

// OpenSystemd returns whom NOTIFY_SOCKET names, or nil. It takes the variables out of the environment:
// what the daemon starts is no part of the service's state, and must not speak for it.
func OpenSystemd(log *slog.Logger) *Systemd {
	socket, usec, pid := os.Getenv(notifyVariable), os.Getenv(watchdogVariable), os.Getenv(watchdogPidVariable)
	for _, name := range []string{notifyVariable, watchdogVariable, watchdogPidVariable} {
		os.Unsetenv(name)
	}
	if !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") {
		return nil
	}
	s := &Systemd{socket: socket, log: log}
	n, err := strconv.ParseInt(usec, 10, 64)
	if ours := pid == "" || pid == strconv.Itoa(os.Getpid()); ours && err == nil && n > 0 && n < 1<<50 {
		s.watchdog = time.Duration(n) * time.Microsecond
	}
	return s
}

// Ready says that the table is programmed, after a start or a reload. status is a line for people.
func (s *Systemd) Ready(status string) { s.tell("READY=1", "STATUS="+oneLine(status)) }

// Reloading says that the configuration is being read again. Ready must follow, whatever comes of it.
func (s *Systemd) Reloading() {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) == nil { // it cannot fail
		s.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
	}
}

// Stopping says that the end has begun.
func (s *Systemd) Stopping() { s.tell("STOPPING=1") }

// tookOver says that the daemon is another process, and ready: it follows the one that started it.
func (s *Systemd) tookOver(pid int) { s.tell("MAINPID="+strconv.Itoa(pid), "READY=1") }

// statusEvery is the least time between two status lines.
const statusEvery = time.Second

// Run keeps the status line up to date, and the watchdog quiet for as long as alive, which asks for a sign
// of life, returns nil before its context ends. It ends with ctx.
func (s *Systemd) Run(ctx context.Context, status func() string, alive func(context.Context) error) {
	if s == nil {
		return
	}
	if s.watchdog > 0 {
		done := make(chan struct{})
		go func() { // the line below waits for it
			defer close(done)
			s.beat(ctx, alive)
		}()
		defer func() { <-done }()
	}
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for last := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := oneLine(status()); now != last {
			s.tell("STATUS=" + now)
			last = now
		}
	}
}

// beat tells the watchdog that all is well, twice in its time.
func (s *Systemd) beat(ctx context.Context, alive func(context.Context) error) {
	tick := time.NewTicker(s.watchdog / 2)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, s.watchdog/2)
		err := alive(asked)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("no sign of life from the engine: the watchdog is not told that all is well", "reason", err)
		default:
			s.tell("WATCHDOG=1")
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tell sends assignments, as one datagram.
func (s *Systemd) tell(assignments ...string) {
	if s == nil {
		return
	}
	err := s.send(strings.Join(assignments, "\n"))
	if failing := err != nil; s.failing.Swap(failing) != failing && failing {
		s.log.Warn("systemd could not be told", "message", assignments[0], "reason", err)
	}
}

func (s *Systemd) send(message string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}

// oneLine makes text a value of one line, of at most some 500 bytes.
func oneLine(text string) string {
	const most = 500
	if len(text) > most {
		text = text[:most] + "..."
	}
	return Printable(text)
}
