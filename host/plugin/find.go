package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// prefix begins the name of every plugin's file.
const prefix = "ldirectord-check-"

// binary is a plugin's file as it was when it was looked at.
type binary struct {
	path string // in a plugin directory
	real string // with links resolved
	id   identity
}

// identity changes when a file is replaced.
type identity struct {
	dev, ino uint64
	size     int64
	modified time.Time
}

// validService keeps a service's name from leading out of a directory.
func validService(name string) bool {
	return regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`).MatchString(name)
}

// Services lists, sorted, every service that has a file in the plugin directories. Nothing is
// executed: whether a file works is seen when it is needed.
func (p *Pool) Services() []string {
	var names []string
	for _, dir := range p.o.Dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a directory that is not there has no plugins
		}
		for _, e := range entries {
			name, ok := strings.CutPrefix(e.Name(), prefix)
			if ok && validService(name) && !e.IsDir() {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Find gives the path of service's plugin in the first directory that has it. Its errors:
// ErrNotInstalled, with the directories that were searched; a file that is not executable; and, when
// we are root, a file or directory that is not root's alone to write.
func (p *Pool) Find(service string) (path string, err error) {
	b, err := p.find(service)
	return b.path, err
}

func (p *Pool) find(service string) (binary, error) {
	if !validService(service) {
		return binary{}, fmt.Errorf("%q cannot be a service's name: %w", service, ErrNotInstalled)
	}
	for _, dir := range p.o.Dirs {
		path := filepath.Join(dir, prefix+service)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		return p.inspect(path)
	}
	return binary{}, fmt.Errorf("%w as %s%s in %s", ErrNotInstalled, prefix, service, strings.Join(p.o.Dirs, ", "))
}

// inspect looks at the file and says why it cannot be used.
func (p *Pool) inspect(path string) (binary, error) {
	b := binary{path: path}
	abs, err := filepath.Abs(path)
	if err != nil {
		return b, fmt.Errorf("plugin %s: %w", path, err)
	}
	if b.real, err = filepath.EvalSymlinks(abs); err != nil {
		return b, fmt.Errorf("plugin %s: %w", path, err)
	}
	info, err := os.Stat(b.real)
	if err != nil {
		return b, fmt.Errorf("plugin %s: %w", path, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return b, fmt.Errorf("plugin %s is not a regular file", path)
	case info.Mode()&0o111 == 0:
		return b, fmt.Errorf("plugin %s is not executable (chmod 755 %s)", path, b.real)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return b, fmt.Errorf("plugin %s: no identity", path)
	}
	b.id = identity{uint64(st.Dev), st.Ino, info.Size(), info.ModTime()}
	if !p.root {
		return b, nil
	}
	return b, errors.Join(trusted(b.real, filepath.Dir(abs)))
}

// trusted says whether root may run the file: whoever can write it, or swap it, would be
// given what we give to plugins. links is the directory that it was found in.
func trusted(real, links string) error {
	places := []string{real, filepath.Dir(real)}
	if dir, err := filepath.EvalSymlinks(links); err == nil && dir != filepath.Dir(real) {
		places = append(places, dir)
	}
	for _, place := range places {
		if err := rootsAlone(place, false); err != nil {
			return err
		}
	}
	for _, place := range places[1:] {
		for up := filepath.Dir(place); ; up = filepath.Dir(up) {
			if err := rootsAlone(up, true); err != nil {
				return err
			}
			if up == filepath.Dir(up) {
				break
			}
		}
	}
	return nil
}

// rootsAlone checks owner and mode. In a sticky directory nobody can rename what is root's.
func rootsAlone(path string, sticky bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("plugin: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || st.Uid != 0:
		return fmt.Errorf("%s does not belong to root: root does not run plugins that others could replace", path)
	case info.Mode().Perm()&0o022 != 0 && !(sticky && info.Mode()&fs.ModeSticky != 0):
		return fmt.Errorf("%s is writable by others (mode %04o): root does not run plugins that others could replace", path, info.Mode().Perm())
	}
	return nil
}
