package daemon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// journalSocket is where journald takes records in its native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
const journalSocket = "/run/systemd/journal/socket"

// Journal says that records go to the journal, with a field for each of their attributes.
type Journal struct {
	Socket   string // its datagram socket
	Instance string // for the field LDIRECTORD_INSTANCE
}

// JournalBehind returns the journal if that is what reads stream, as JOURNAL_STREAM has it
// (systemd.exec(5)), and nil otherwise: a stream that was redirected keeps its lines.
func JournalBehind(stream io.Writer, instance string) *Journal {
	file, ok := stream.(*os.File)
	if !ok {
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Getenv("JOURNAL_STREAM") != fmt.Sprintf("%d:%d", st.Dev, st.Ino) {
		return nil
	}
	return &Journal{Socket: journalSocket, Instance: instance}
}

// maxFields bounds the attributes of one record; journald takes 1,024 fields.
const maxFields = 200

// entry is a record for the journal. message is its text, as a line has it.
func (j *Journal) entry(level slog.Level, message string, attrs []slog.Attr) []byte {
	var b bytes.Buffer
	field(&b, "MESSAGE", message)
	field(&b, "PRIORITY", priority(level))
	field(&b, "SYSLOG_IDENTIFIER", "ldirectord")
	field(&b, "LDIRECTORD_INSTANCE", Printable(j.Instance))
	for _, a := range attrs[:min(len(attrs), maxFields)] {
		if value := a.Value.String(); value != "" {
			field(&b, fieldName(a.Key), Printable(value))
		}
	}
	return b.Bytes()
}

// field appends one field in the form with a length, which holds any value: a line break in it
// begins no other field.
func field(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	b.WriteByte('\n')
	var size [8]byte
	binary.LittleEndian.PutUint64(size[:], uint64(len(value)))
	b.Write(size[:])
	b.WriteString(value)
	b.WriteByte('\n')
}

// maxFieldName is the longest name that journald takes.
const maxFieldName = 64

// fieldName is "virtual" as LDIRECTORD_VIRTUAL: none that journald, or another program's fields, have.
func fieldName(attr string) string {
	name := "LDIRECTORD_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, attr)
	return name[:min(len(name), maxFieldName)]
}

// priority is the level as syslog(3) counts.
func priority(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "3"
	case level >= slog.LevelWarn:
		return "4"
	case level >= slog.LevelInfo:
		return "6"
	default:
		return "7"
	}
}

// journalWriter sends entries. One goroutine uses it. Each entry finds the socket by its path, so that a
// journald that was started again is found at once.
type journalWriter struct{ fd int } // 0: none yet

// journalPatience is how long, in microseconds, an entry waits for a journald that is behind.
const journalPatience = 2_000_000

// send delivers one entry, as a datagram or, when it is too large for one, as a sealed file in memory.
func (w *journalWriter) send(socket string, entry []byte) error {
	if w.fd == 0 {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		patience := unix.NsecToTimeval(journalPatience * 1000)
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience); err != nil {
			_ = unix.Close(fd)
			return err
		}
		w.fd = fd
	}
	to := &unix.SockaddrUnix{Name: socket}
	err := w.put(entry, nil, to)
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
		return w.sendFile(entry, to)
	}
	return err
}

func (w *journalWriter) sendFile(entry []byte, to unix.Sockaddr) error {
	fd, err := unix.MemfdCreate("ldirectord-journal", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "ldirectord-journal")
	defer file.Close()
	if _, err := file.Write(entry); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	return w.put(nil, unix.UnixRights(fd), to)
}

// put is sendmsg(2), again after each signal.
func (w *journalWriter) put(data, control []byte, to unix.Sockaddr) error {
	for {
		if err := unix.Sendmsg(w.fd, data, control, to, unix.MSG_NOSIGNAL); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (w *journalWriter) close() {
	if w.fd != 0 {
		_ = unix.Close(w.fd)
	}
}
