package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Paths are the files of one instance.
type Paths struct {
	Instance string // base name of the configuration file with its extension, "web.cf"
	PidFile  string // /var/run/ldirectord.INSTANCE.pid
	RunDir   string // /run/ldirectord/INSTANCE, private to the daemon's user
	Socket   string // RunDir/control.sock
	Lock     string // RunDir/lock
	Plugins  string // RunDir/plugins
	State    string // /var/lib/ldirectord/INSTANCE.state
}

// PathsOf returns the files of an instance: the system's for root; for others below
// XDG_RUNTIME_DIR and XDG_STATE_HOME (or private directories in /tmp), so that a
// dry run needs no privileges.
func PathsOf(instance string) Paths {
	run, state, pid := "/run/ldirectord", "/var/lib/ldirectord", systemPids
	if uid := os.Getuid(); uid != 0 {
		run = userDir("XDG_RUNTIME_DIR", uid)
		state = userDir("XDG_STATE_HOME", uid)
		pid = run
	}
	p := Paths{
		Instance: instance,
		PidFile:  pidFile(pid, instance),
		RunDir:   filepath.Join(run, instance),
		State:    filepath.Join(state, instance+".state"),
	}
	p.Socket = filepath.Join(p.RunDir, "control.sock")
	p.Lock = filepath.Join(p.RunDir, "lock")
	p.Plugins = filepath.Join(p.RunDir, "plugins")
	return p
}

func pidFile(dir, instance string) string {
	return filepath.Join(dir, "ldirectord."+instance+".pid")
}

func userDir(variable string, uid int) string {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ldirectord")
	}
	return filepath.Join(os.TempDir(), "ldirectord-"+strconv.Itoa(uid))
}

// Prepare makes the run directory. It refuses one that is not ours or that others
// can enter: whoever owns it could take the place of the control socket.
func (p Paths) Prepare() error {
	// Plugins run as another user and reach their own directory through these two,
	// hence search permission for all on the first and for nobody's listing.
	if err := os.MkdirAll(filepath.Dir(p.RunDir), 0o711); err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	if err := ensureOwned(filepath.Dir(p.RunDir), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(p.RunDir, 0o711); err != nil && !os.IsExist(err) {
		return fmt.Errorf("make run directory: %w", err)
	}
	return ensureOwned(p.RunDir, 0o711)
}

// Scratch makes a new directory beside the run directories, for a command that needs one
// while it runs. Other users can pass through it but not look into it.
func (p Paths) Scratch() (string, error) {
	parent := filepath.Dir(p.RunDir)
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return "", fmt.Errorf("make run directory: %w", err)
	}
	if err := ensureOwned(parent, 0o711); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, ".command-")
	if err != nil {
		return "", fmt.Errorf("make run directory: %w", err)
	}
	return dir, os.Chmod(dir, 0o711)
}

// OwnDir makes a directory that is ours alone, and refuses one that is not: in a directory
// like /tmp somebody else may have been there first.
func OwnDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	return ensureOwned(dir, 0o700)
}

// ensureOwned makes sure that dir is a directory of our own with just these rights.
func ensureOwned(dir string, mode os.FileMode) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check directory: %w", err)
	}
	if !info.IsDir() || ownerOf(info) != os.Getuid() {
		return fmt.Errorf("%s is not a directory of user %d: remove it", dir, os.Getuid())
	}
	// Neither what an umask left out nor what it let in.
	if info.Mode().Perm() != mode {
		if err := os.Chmod(dir, mode); err != nil {
			return fmt.Errorf("check directory: %w", err)
		}
	}
	return nil
}
