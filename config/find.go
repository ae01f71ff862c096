package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// DefaultName is the configuration that is read when none is named.
const DefaultName = "ldirectord.cf"

// Find returns the path of the configuration that the command line calls name: the first
// that exists of /etc/ha.d/NAME, /etc/ha.d/conf/NAME and NAME itself. The empty name is
// DefaultName. The error names all the places, and is an fs.ErrNotExist when none exists.
func Find(name string) (path string, err error) { return findIn("/etc/ha.d", name) }

func findIn(dir, name string) (string, error) {
	if name == "" {
		name = DefaultName
	}
	places := []string{filepath.Join(dir, name), filepath.Join(dir, "conf", name), name}
	for i, place := range places {
		switch info, err := os.Stat(place); {
		case err == nil && !info.IsDir():
			return place, nil
		case err == nil:
			places[i] += " (a directory)"
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return "", fmt.Errorf("configuration %s: %w", name, err)
		}
	}
	return "", fmt.Errorf("configuration %s: none of %s: %w", name, listed(places), fs.ErrNotExist)
}

// Instance returns the name that the pid file, the log and the control socket of a
// configuration carry: the base name of what the command line calls it, extension included,
// or "ldirectord" when it names none.
func Instance(name string) string {
	if name == "" {
		return "ldirectord"
	}
	return filepath.Base(name)
}
