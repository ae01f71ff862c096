// Package servers starts real servers for tests, out of Debian's packages, none of which has
// to be installed: scripts/private-root unpacks them once.
package servers

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startup is how long a server may take until it listens. Making a database takes more than a minute in a user-mode
// kernel where others do so, too; one that fails ends before.
const startup = 4 * time.Minute

// Server is one to run.
type Server struct {
	// Packages of Debian that it is in.
	Packages []string
	// Command and its arguments, which is run in a file system of its own: the packages' files, with
	// /box of the test's own (Dir), and a passwd with the users that Users names beside root. It must stay in
	// the foreground.
	Command []string
	Users   []string
	// Prepare, if any, is a shell script that is run there before. Packages has to name what it
	// needs: dash, coreutils.
	Prepare string
	// Files by their path, most below /box; missing directories are made.
	Files map[string]string
	// Listens are the addresses that it will listen on, over TCP.
	Listens []netip.AddrPort
}

// given are the addresses that Addr has given away in this process, so that no two servers get the same.
var given sync.Map

// Addr finds an address of loopback that nobody listens on, over TCP and UDP. Its port is below
// those that the kernel gives away by itself: no other test gets it before the server does.
func Addr(t *testing.T, host string) netip.AddrPort {
	t.Helper()
	for range 100 {
		at := net.JoinHostPort(host, strconv.Itoa(10_000+rand.IntN(20_000)))
		l, err := net.Listen("tcp", at)
		if err != nil {
			continue
		}
		l.Close()
		p, err := net.ListenPacket("udp", at)
		if err != nil {
			continue
		}
		p.Close()
		if _, twice := given.LoadOrStore(at, true); twice {
			continue
		}
		return netip.MustParseAddrPort(at)
	}
	t.Fatal("no free port")
	return netip.AddrPort{}
}

// Running is a server that was started.
type Running struct {
	main  *os.Process
	ended chan error
	once  sync.Once
}

// Signal sends a signal to the server's first process: with SIGSTOP its connections stay, and the kernel goes on
// accepting new ones for it, but nobody answers until SIGCONT. Processes that it started run on.
func (r *Running) Signal(s os.Signal) error { return r.main.Signal(s) }

// Freeze sends SIGSTOP; see Signal.
func (r *Running) Freeze(t *testing.T) {
	t.Helper()
	if err := r.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// Thaw has a frozen server go on.
func (r *Running) Thaw(t *testing.T) {
	t.Helper()
	if err := r.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// Close kills the server and waits until it is gone. It may be called again.
func (r *Running) Close() {
	r.once.Do(func() {
		_ = r.main.Kill() // its namespace of processes ends with it, and they with that
		<-r.ended
	})
}

// Start runs s until the test ends. Where it cannot be had the test is left out, which CI=true
// makes a failure.
func (s Server) Start(t *testing.T) *Running {
	t.Helper()
	running, err := s.Run(t.TempDir())
	if lack, ok := errors.AsType[*MissingError](err); ok && os.Getenv("CI") != "true" {
		t.Skipf("NOT TESTED against a real server: %v", lack)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Close)
	return running
}

// MissingError says that packages cannot be had on this machine.
type MissingError struct {
	Packages []string
	Err      error
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s: %v", strings.Join(e.Packages, ", "), e.Err)
}

func (e *MissingError) Unwrap() error { return e.Err }

// Run starts s in the caller's network namespace, with its own files in dir, a directory that is the server's alone
// and stays. It returns when the server listens. The caller closes it; an error is a *MissingError when
// the packages are not there, or has the server's logs.
func (s Server) Run(dir string) (*Running, error) {
	root, err := unpack(s.Packages)
	if err != nil {
		return nil, &MissingError{s.Packages, err}
	}
	if err := s.write(dir); err != nil {
		return nil, err
	}
	var log bytes.Buffer
	cmd := exec.Command("sh", s.enter(root, dir)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.WaitDelay = time.Second // whoever holds the log open
	cmd.SysProcAttr = apart()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	running := &Running{main: cmd.Process, ended: make(chan error, 1)}
	go func() { running.ended <- cmd.Wait() }() // Close waits for it
	if err := s.await(running.ended); err != nil {
		running.Close()
		files, _ := filepath.Glob(filepath.Join(dir, "box", "*.log"))
		for _, name := range files {
			text, _ := os.ReadFile(name)
			log.Write(text)
		}
		return nil, fmt.Errorf("%s: %w\n%s", s.Command[0], err, log.String())
	}
	return running, nil
}

// unpack names the directory of the packages' files, which it makes when it is not there.
func unpack(packages []string) (string, error) {
	script, err := privateRoot()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(script, packages...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", errors.New(strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// privateRoot finds scripts/private-root from the working directory, which is that of a test's package.
func privateRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "scripts", "private-root"), nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}

// write makes the test's directory: what is to be /box, and etc beside it.
func (s Server) write(dir string) error {
	passwd, group := "root:x:0:0:root:/root:/bin/sh\n", "root:x:0:\n"
	for i, name := range s.Users {
		passwd += fmt.Sprintf("%s:x:%d:%d:%s:/box:/bin/false\n", name, 900+i, 900+i, name)
		group += fmt.Sprintf("%s:x:%d:\n", name, 900+i)
	}
	files := map[string]string{
		"/etc/passwd": passwd, "/etc/group": group, "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\n", "/box/prepare": s.Prepare,
		"/etc/services": "smtp 25/tcp\nnntp 119/tcp\npop3 110/tcp\n", "/etc/protocols": "tcp 6 TCP\nudp 17 UDP\n",
	}
	for path, text := range s.Files {
		files[path] = text
	}
	for path, text := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(dir, "box"), 0o777)
}

// enter is run with ROOT, DIR and the command: the root's files read-only, but for what a server
// writes to, which is of the test's own.
const enter = `set -e
root=$1 dir=$2
shift 2
mount --make-rprivate /
mkdir -p "$dir/root"
mount -t tmpfs tmpfs "$dir/root"
for one in "$root"/*; do
	name=${one##*/}
	case $name in
	dev | proc | sys | tmp | run | etc | var | box | exec) ;;
	*)
		if [ -L "$one" ]; then
			cp -P "$one" "$dir/root/$name"
		else
			mkdir "$dir/root/$name"
			mount --bind "$one" "$dir/root/$name"
		fi
		;;
	esac
done
cd "$dir/root"
mkdir dev proc run tmp box etc
mount --rbind /dev dev
mount -t proc proc proc
mount --bind "$dir/box" box
chmod 1777 tmp
cp -a "$root/var" .
ln -sfn /run var/run
cp -a "$root/etc/." "$dir/etc/." etc
export PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/tmp
exec chroot . "$@"
`

func (s Server) enter(root, dir string) []string {
	args := []string{"-c", enter, "enter", root, dir}
	if s.Prepare != "" {
		args = append(args, "/bin/sh", "-c", `cd /box; . /box/prepare && exec "$@"`, "sh")
	}
	return append(args, s.Command...)
}

// apart gives a process name spaces of mounts and processes, as whose first process it takes all
// others along when it is killed; whoever is not root is it in there.
func apart() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// await returns when the server listens everywhere, or how it ended before.
func (s Server) await(ended chan error) error {
	over := time.After(startup)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, addr := range s.Listens {
		for {
			c, err := net.DialTimeout("tcp", addr.String(), time.Second)
			if err == nil {
				c.Close()
				break
			}
			select {
			case err := <-ended:
				ended <- err
				return fmt.Errorf("ended: %w", err)
			case <-over:
				return fmt.Errorf("does not listen on %s", addr)
			case <-tick.C:
			}
		}
	}
	return nil
}
