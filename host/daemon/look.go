package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// systemPids is the directory of root's pid files.
const systemPids = "/var/run"

// OfRoot returns the pid of root's daemon of an instance, for other users, whose own daemons have other
// files; 0 when there is none.
func OfRoot(instance string) int {
	pid := readPid(pidFile(systemPids, instance))
	if os.Getuid() == 0 || pid == 0 || !isDirector(pid, instance) {
		return 0
	}
	return pid
}

// Instances returns the names of those that run, ours and root's, in order.
func Instances() []string { return instancesIn(systemPids, filepath.Dir(PathsOf("").PidFile)) }

func instancesIn(dirs ...string) []string {
	var names []string
	for _, dir := range dirs {
		files, _ := filepath.Glob(pidFile(dir, "*")) // the pattern is a good one
		for _, path := range files {
			name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "ldirectord."), ".pid")
			if pid := readPid(path); pid != 0 && isDirector(pid, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// RemoveStale removes the pid file of a daemon that ended without doing so.
// The error is ErrRunning when one runs again.
func RemoveStale(p Paths) error {
	lock, err := Acquire(p)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }() // the pid file is what counts
	return os.Remove(p.PidFile)
}
