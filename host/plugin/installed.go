package plugin

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ldirectord/ldirectord/sdk/client"
)

// Installed is one file of the plugin directories.
type Installed struct {
	Service string // that it is named after
	Path    string // in its directory
	Real    string // with links resolved; empty when it leads nowhere
	Shadow  string // the file of an earlier directory that counts instead; empty: this one counts
	Err     error  // why it cannot be used, whether or not it counts; nil: nothing speaks against it
}

// Installed lists every plugin of every directory, in the order of the directories and then of
// the services. Nothing is executed.
func (p *Pool) Installed() []Installed {
	var all []Installed
	first := map[string]string{} // paths by service
	for i, dir := range p.o.Dirs {
		if slices.Contains(p.o.Dirs[:i], dir) {
			continue // named twice
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a directory that is not there has no plugins
		}
		var here []Installed
		for _, e := range entries {
			service, ok := strings.CutPrefix(e.Name(), prefix)
			path := filepath.Join(dir, e.Name())
			if !ok || !validService(service) || e.IsDir() {
				continue
			}
			b, err := p.inspect(path)
			here = append(here, Installed{Service: service, Path: path, Real: b.real, Shadow: first[service], Err: err})
			if first[service] == "" {
				first[service] = path
			}
		}
		slices.SortFunc(here, func(a, b Installed) int { return cmp.Compare(a.Service, b.Service) })
		all = append(all, here...)
	}
	return all
}

// Inspect says why the Pool would not run the file at path if it was installed there.
func (p *Pool) Inspect(path string) error {
	_, err := p.inspect(path)
	return err
}

// Launch says how the Pool would start the file at path, wherever it is: as the plugins' user,
// with their environment. Whoever starts it has to end it before the Pool is closed.
func (p *Pool) Launch(path string, log client.Logger) (client.Launch, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return client.Launch{}, err
	}
	return p.launch(abs, log)
}
