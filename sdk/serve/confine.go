package serve

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	abi "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// maxFile is the size in bytes of the largest file that a plugin may write.
const maxFile = 16 << 20

// Option changes what the program around a check may do.
type Option func(*confinement)

// confinement is what a plugin may reach beside the network.
type confinement struct {
	read []string
}

// ReadPaths lets the check read, and execute, what is at and below these paths, too. Those that do not
// exist when the plugin starts stay out of reach.
//
// The kernel (Landlock, where it has it) keeps a plugin from all files but these: programs,
// libraries and configuration (/usr, /etc, /opt and the like) to be read, the null device, and the
// plugin's working directory, a private one, to be read and written. A plugin that has to read a file
// of another place, which an option names, say, asks for that place here: what was given up
// cannot be taken back later.
func ReadPaths(paths ...string) Option {
	return func(c *confinement) { c.read = append(c.read, paths...) }
}

// readable are the places that a check may need: programs and their libraries, certificates, and
// what name resolution reads, of which /etc often holds a link alone.
func readable() []string {
	return []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/srv", "/etc",
		"/var/lib/ca-certificates", "/var/ssl", "/nix/store", "/gnu/store",
		"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman", "/run/netconfig",
	}
}

// confine gives up whatever no check needs, as far as the kernel can: a plugin speaks with servers
// that may be hostile, and beside others of its user. What cannot be given up is logged.
func confine(options []Option, log Logger) {
	var c confinement
	for _, o := range options {
		o(&c)
	}
	limits := errors.Join(
		syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}),
		lower(syscall.RLIMIT_FSIZE, maxFile),
	)
	if limits != nil {
		log.Warn("resource limits are not in force", "error", limits.Error())
	}
	version, err := abi.LandlockGetABIVersion()
	if err != nil {
		log.Debug("landlock is not in force: the kernel has none", "error", err.Error())
		return
	}
	if err := c.restrict(); err != nil {
		log.Warn("landlock is not in force", "error", err.Error())
		return
	}
	log.Debug("landlock is in force", "abi", version)
}

// lower sets a limit, soft and hard, unless it is lower already.
func lower(resource int, to uint64) error {
	var its syscall.Rlimit
	if err := syscall.Getrlimit(resource, &its); err != nil || its.Max <= to {
		return err
	}
	return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: min(its.Cur, to), Max: to})
}

// restrict applies to all threads, and to child programs. The network is left alone, which checks
// are for, and so are sockets in the file system, which have owners and modes. Signals stay inside.
func (c confinement) restrict() error {
	all := landlock.V8 // does as much of it as the kernel knows
	rights := landlock.Config{HandledAccessFS: all.HandledAccessFS, Scoped: all.Scoped}
	own, err := workDir()
	if err != nil {
		return err
	}
	rules := []landlock.Rule{
		landlock.RWDirs(own),
		landlock.RWFiles("/dev/null", "/dev/zero").IgnoreIfMissing(),
		landlock.ROFiles("/dev/random", "/dev/urandom").IgnoreIfMissing(),
	}
	for _, path := range append(readable(), c.read...) {
		info, err := os.Stat(path)
		switch {
		case err != nil: // nothing there, or nothing that this user could reach anyway
		case info.IsDir():
			rules = append(rules, landlock.RODirs(path))
		default:
			rules = append(rules, landlock.ROFiles(path))
		}
	}
	return rights.BestEffort().Restrict(rules...)
}

// workDir is where the plugin's socket will be. The director makes one for each process.
func workDir() (string, error) {
	dir := os.Getenv("PLUGIN_UNIX_SOCKET_DIR") // go-plugin's variable
	if dir == "" {
		dir = os.TempDir()
	}
	return filepath.Abs(dir)
}
