package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/syslog"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// DefaultLogFile is where the log goes without a logfile directive (ldirectord(8)).
const DefaultLogFile = "/var/log/ldirectord.log"

// OpenLog opens what the logfile directive names: a path when it begins with "/",
// else a syslog facility, of which "daemon" stands in for one that is not known. A syslog that cannot be
// reached is no error: lines go there as soon as it can, and are lost until then.
func OpenLog(destination string) (io.WriteCloser, error) {
	if strings.HasPrefix(destination, "/") {
		return openLogFile(destination)
	}
	facility, ok := facilities[strings.ToLower(destination)]
	if !ok {
		facility = syslog.LOG_DAEMON
	}
	return &syslogFile{facility: facility}, nil
}

// syslogFile connects when there is something to write, and again after a failure. One
// goroutine uses it.
type syslogFile struct {
	facility syslog.Priority
	to       *syslog.Writer
	tried    time.Time
}

// Write sends one line.
func (s *syslogFile) Write(p []byte) (int, error) {
	if s.to == nil {
		now := time.Now()
		if now.Sub(s.tried) < time.Second {
			return 0, errors.New("no syslog")
		}
		s.tried = now
		to, err := syslog.New(s.facility|syslog.LOG_INFO, "ldirectord")
		if err != nil {
			return 0, err
		}
		s.to = to
	}
	return s.to.Write(p)
}

// Close ends the connection.
func (s *syslogFile) Close() error {
	if s.to == nil {
		return nil
	}
	return s.to.Close()
}

var facilities = map[string]syslog.Priority{
	"kern": syslog.LOG_KERN, "user": syslog.LOG_USER, "mail": syslog.LOG_MAIL,
	"daemon": syslog.LOG_DAEMON, "auth": syslog.LOG_AUTH, "syslog": syslog.LOG_SYSLOG,
	"lpr": syslog.LOG_LPR, "news": syslog.LOG_NEWS, "uucp": syslog.LOG_UUCP,
	"cron": syslog.LOG_CRON, "authpriv": syslog.LOG_AUTHPRIV, "ftp": syslog.LOG_FTP,
	"local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1, "local2": syslog.LOG_LOCAL2,
	"local3": syslog.LOG_LOCAL3, "local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5,
	"local6": syslog.LOG_LOCAL6, "local7": syslog.LOG_LOCAL7,
}

// logFile appends to a path and follows it when it is rotated away.
type logFile struct {
	path    string
	file    *os.File
	checked time.Time
}

func openLogFile(path string) (*logFile, error) {
	f := &logFile{path: path}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_CLOEXEC, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if l.file != nil {
		l.file.Close()
	}
	l.file = f
	l.checked = time.Now()
	// In the background nobody reads standard error: a crash belongs into the log.
	return debug.SetCrashOutput(f, debug.CrashOptions{})
}

// Write appends p. Once a second at most it looks whether the path still leads to
// the open file; if a new one cannot be opened it goes on with the old.
func (l *logFile) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(l.checked) > time.Second {
		l.checked = now
		if l.rotated() {
			_ = l.open()
		}
	}
	return l.file.Write(p)
}

func (l *logFile) rotated() bool {
	there, err := os.Stat(l.path)
	if err != nil {
		return true
	}
	open, err := l.file.Stat()
	return err != nil || !os.SameFile(there, open)
}

func (l *logFile) Close() error { return l.file.Close() }

// decodeRune returns -1 for a byte that is not UTF-8.
func decodeRune(text string) (rune, int) {
	r, n := utf8.DecodeRuneInString(text)
	if r == utf8.RuneError && n <= 1 {
		return -1, 1
	}
	return r, n
}
