// Package maintenance reads a maintenancedir (ldirectord(8), "maintenancedir"): a directory whose
// files put real servers into maintenance by their names. It watches one, and writes into one.
package maintenance

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// Mark is one file of the directory: what its name says, and why.
type Mark struct {
	File string // its name
	// Addr is the address that it names; invalid when it names a host.
	Addr netip.Addr
	Host string // the host name that it names, in lower case, without a last dot; else ""
	// Port is the port that it names; with AnyPort it names none.
	Port    uint16
	AnyPort bool
	Reason  string    // the first line of the file; may be empty
	Since   time.Time // when the file was last changed
}

// Bounds on what is read.
const (
	maxMarks  = 100_000
	MaxReason = 256 // bytes of a reason; what a file has beyond is left out
)

// Parse says what a file name names: an address or a host name, with or without a port; IPv6
// addresses in brackets. False for names that are none of these, and for hidden files.
func Parse(file string) (Mark, bool) {
	m := Mark{File: file, AnyPort: true}
	if file == "" || file[0] == '.' || len(file) > 255 {
		return m, false
	}
	if addr, err := netip.ParseAddr(strings.Trim(file, "[]")); err == nil {
		m.Addr = addr.Unmap()
		return m, true
	}
	if ap, err := netip.ParseAddrPort(file); err == nil {
		m.Addr, m.Port, m.AnyPort = ap.Addr().Unmap(), ap.Port(), false
		return m, true
	}
	host, port, found := strings.Cut(file, ":")
	if found {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return m, false
		}
		m.Port, m.AnyPort = uint16(n), false
	}
	m.Host = plain(host)
	return m, m.Host != ""
}

// plain is a host name as names are compared.
func plain(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// Text is the mark as status and log say it: the file's name, and the reason if there is one.
func (m Mark) Text() string {
	if m.Reason == "" {
		return m.File
	}
	return m.File + ": " + m.Reason
}

// Read returns the marks of a directory in the order of their names. Files whose names say
// nothing are left out.
func Read(dir string) ([]Mark, error) {
	all, err := list(dir)
	var marks []Mark
	for _, m := range all {
		if m.look(dir) {
			marks = append(marks, m)
		}
	}
	return marks, err
}

// list returns the marks without what is in their files.
func list(dir string) ([]Mark, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("read maintenancedir: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(maxMarks + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read maintenancedir: %w", err)
	}
	if len(names) > maxMarks {
		return nil, fmt.Errorf("read maintenancedir: %s has more than %d files", dir, maxMarks)
	}
	var marks []Mark
	for _, name := range names {
		if m, ok := Parse(name); ok {
			marks = append(marks, m)
		}
	}
	slices.SortFunc(marks, func(a, b Mark) int { return cmp.Compare(a.File, b.File) })
	return marks, nil
}

// look reads what is in the mark's file; false when that is gone.
func (m *Mark) look(dir string) bool {
	info, err := os.Lstat(filepath.Join(dir, m.File))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	m.Since = info.ModTime()
	if info.Mode().IsRegular() {
		m.Reason = firstLine(filepath.Join(dir, m.File))
	}
	return true
}

// firstLine reads the reason. A file that cannot be read is a mark all the same.
func firstLine(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxReason))
	if err != nil {
		return ""
	}
	if len(text) == MaxReason { // cut, perhaps within a character
		text = bytes.TrimRightFunc(text, func(r rune) bool { return r == utf8.RuneError })
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// Put makes the file of a mark, or changes its reason, in one step: nobody sees half of it.
func Put(dir, file, reason string) error {
	if _, ok := Parse(file); !ok {
		return fmt.Errorf("%q names neither an address nor a host, with or without a port", file)
	}
	f, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return fmt.Errorf("write into maintenancedir: %w", err)
	}
	_, err = fmt.Fprintln(f, reason)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, file))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is nothing to anybody
		return fmt.Errorf("write into maintenancedir: %w", err)
	}
	return nil
}

// Remove removes the file of a mark.
func Remove(dir, file string) error {
	if _, ok := Parse(file); !ok {
		return fmt.Errorf("%q names neither an address nor a host, with or without a port", file)
	}
	return os.Remove(filepath.Join(dir, file))
}
