package daemon

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// journald takes datagrams as the real one does: that one is met by the tests in scripts/systemd.
type journald struct {
	*net.UnixConn
	path string
}

func listen(t *testing.T, path string) *journald {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &journald{conn, path}
}

// next returns the fields of the next record, and the seals of the file that it came in, 0 without one.
func (j *journald) next(t *testing.T) (fields map[string]string, seals int) {
	t.Helper()
	data, control := make([]byte, 1<<20), make([]byte, 64)
	n, c, _, _, err := j.ReadMsgUnix(data, control)
	if err != nil {
		t.Fatal(err)
	}
	data = data[:n]
	if c > 0 {
		data, seals = file(t, control[:c])
	}
	fields = map[string]string{}
	for len(data) > 0 {
		name, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok || len(rest) < 8 {
			t.Fatalf("no field: %q", data)
		}
		size := binary.LittleEndian.Uint64(rest)
		if uint64(len(rest)) < 8+size+1 || rest[8+size] != '\n' {
			t.Fatalf("field %s does not end", name)
		}
		fields[string(name)], data = string(rest[8:8+size]), rest[8+size+1:]
	}
	return fields, seals
}

func file(t *testing.T, control []byte) (data []byte, seals int) {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	if seals, err = unix.FcntlInt(uintptr(fds[0]), unix.F_GET_SEALS, 0); err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", fds[0])); err != nil {
		t.Fatal(err)
	}
	return data, seals
}

func TestJournalFields(t *testing.T) {
	j := listen(t, filepath.Join(t.TempDir(), "socket"))
	var stream bytes.Buffer
	log := NewLog(&stream, LogOptions{Level: slog.LevelDebug, Journal: &Journal{Socket: j.path, Instance: "web.cf"}})
	log.Logger().Warn("Deleted real server: 10.0.0.5:80", "virtual", "10.0.0.1:80", "real", "10.0.0.5:80",
		"reason", "forged\nPRIORITY=0 \x1b[2J", "empty", "", slog.Group("phase", "connect", "2ms"))
	log.Logger().Error("edit refused", "_evil=\n", 1, strings.Repeat("n", 99), strings.Repeat("v", 9999))
	log.Logger().Info("text")
	log.Logger().Debug("text")
	log.Close(t.Context())

	got, _ := j.next(t)
	want := map[string]string{
		"MESSAGE":  `Deleted real server: 10.0.0.5:80 virtual=10.0.0.1:80 real=10.0.0.5:80 reason="forged\nPRIORITY=0 \x1b[2J" phase.connect=2ms`,
		"PRIORITY": "4", "SYSLOG_IDENTIFIER": "ldirectord", "LDIRECTORD_INSTANCE": "web.cf",
		"LDIRECTORD_VIRTUAL": "10.0.0.1:80", "LDIRECTORD_REAL": "10.0.0.5:80",
		"LDIRECTORD_REASON": `forged\x0aPRIORITY=0 \x1b[2J`, "LDIRECTORD_PHASE_CONNECT": "2ms",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	got, _ = j.next(t)
	long := "LDIRECTORD_" + strings.Repeat("N", 53)
	if got["PRIORITY"] != "3" || got["LDIRECTORD__EVIL__"] != "1" || got[long] != strings.Repeat("v", 4096)+"..." {
		t.Errorf("got %q", got)
	}
	for _, priority := range []string{"6", "7"} {
		if got, _ = j.next(t); got["PRIORITY"] != priority || got["MESSAGE"] != "text" {
			t.Errorf("got %q", got)
		}
	}
	if stream.Len() > 0 {
		t.Errorf("the stream has %q as well", &stream)
	}
}

func TestJournalJSON(t *testing.T) {
	j := listen(t, filepath.Join(t.TempDir(), "socket"))
	log := NewLog(&bytes.Buffer{}, LogOptions{JSON: true, Journal: &Journal{Socket: j.path}})
	log.Logger().Warn("text", "real", "10.0.0.5:80")
	log.Close(t.Context())
	got, _ := j.next(t)
	if !strings.HasPrefix(got["MESSAGE"], `{"level":"warn","msg":"text"`) || got["LDIRECTORD_REAL"] != "10.0.0.5:80" {
		t.Errorf("got %q", got)
	}
}

func TestJournalLargeRecord(t *testing.T) {
	j := listen(t, filepath.Join(t.TempDir(), "socket"))
	log := NewLog(&bytes.Buffer{}, LogOptions{Journal: &Journal{Socket: j.path}})
	var attrs []any
	for i := range 100 {
		attrs = append(attrs, fmt.Sprint("field", i), strings.Repeat("x", 4000))
	}
	before := descriptors(t)
	log.Logger().Info("large", attrs...)
	got, seals := j.next(t)
	if all := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE; seals != all {
		t.Errorf("seals %x, want %x", seals, all)
	}
	if len(got) != 104 || got["LDIRECTORD_FIELD99"] != strings.Repeat("x", 4000) {
		t.Errorf("%d fields", len(got))
	}
	log.Close(t.Context())
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// spoken is a stream whose lines the test takes.
type spoken chan string

func (s spoken) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

// What the journal does not take goes to the stream, and a journal that comes back is found.
func TestJournalGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	stream := make(spoken, 4)
	log := NewLog(stream, LogOptions{Journal: &Journal{Socket: path}})
	say := func(text string) { log.Logger().Info(text) }
	say("never there")
	if got := <-stream; !strings.HasSuffix(got, "] never there\n") {
		t.Errorf("stream: %q", got)
	}
	first := listen(t, path)
	say("there")
	if got, _ := first.next(t); got["MESSAGE"] != "there" {
		t.Errorf("got %q", got)
	}
	first.Close()
	say("gone")
	if got := <-stream; !strings.HasSuffix(got, "] gone\n") {
		t.Errorf("stream: %q", got)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	second := listen(t, path)
	say("again")
	if got, _ := second.next(t); got["MESSAGE"] != "again" {
		t.Errorf("got %q", got)
	}
	log.Close(t.Context())
	if len(stream) > 0 {
		t.Errorf("the stream has %q as well", <-stream)
	}
}

// A journal that takes nothing any more holds nobody up: lines go to the stream after a while.
func TestJournalHangs(t *testing.T) {
	t.Parallel()
	j := listen(t, filepath.Join(t.TempDir(), "socket"))
	stream := make(spoken, waitingLines)
	log := NewLog(stream, LogOptions{Journal: &Journal{Socket: j.path}})
	logger := log.Logger()
	began := time.Now()
	for range 2000 { // the kernel keeps fewer
		logger.Info("text")
	}
	if took := time.Since(began); took > journalPatience*time.Microsecond {
		t.Errorf("who logs waits %s", took)
	}
	if got := <-stream; !strings.HasSuffix(got, "] text\n") {
		t.Errorf("stream: %q", got)
	}
	j.Close()
	log.Close(t.Context())
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

func TestJournalBehind(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(write.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if JournalBehind(write, "web.cf") != nil {
		t.Error("a journal without JOURNAL_STREAM")
	}
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", st.Dev, st.Ino))
	if got := JournalBehind(write, "web.cf"); got == nil || *got != (Journal{"/run/systemd/journal/socket", "web.cf"}) {
		t.Errorf("the stream of JOURNAL_STREAM: %v", got)
	}
	if JournalBehind(null, "web.cf") != nil || JournalBehind(&bytes.Buffer{}, "web.cf") != nil {
		t.Error("another stream is taken for the journal's")
	}
	if names := []string{fieldName("virtual"), fieldName("é-1")}; !slices.Equal(names, []string{"LDIRECTORD_VIRTUAL", "LDIRECTORD___1"}) {
		t.Errorf("names %q", names)
	}
}
