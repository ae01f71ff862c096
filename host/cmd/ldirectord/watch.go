package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"time"
)

// fileWatch notices that a file has other content than before. Time stamps say nothing to it:
// editors, copies and clocks set them as they like.
type fileWatch struct {
	path    string
	known   [sha256.Size]byte // what was told last
	seen    [sha256.Size]byte // by the last look
	running [sha256.Size]byte // by the last look: the configuration in force
	again   bool              // another one is in force since the last news
}

// look says whether the content is new, once: it is neither what was told last nor, when somebody has
// had the file read meanwhile, what is running. It must be the same in two looks one after the other:
// half of a file that is being written is not news. Nor is a file that is not there, cannot be read, is
// none, or is blank: a full disk leaves such files behind.
func (w *fileWatch) look(running [sha256.Size]byte) bool {
	info, err := os.Stat(w.path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	text, err := os.ReadFile(w.path)
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return false
	}
	if running != w.running {
		w.running, w.again = running, true
	}
	sum := sha256.Sum256(text)
	settled := sum == w.seen
	w.seen = sum
	if !settled {
		return false
	}
	news := sum != w.known || w.again && sum != running
	w.known, w.again = sum, false
	return news
}

// lookEvery is the time between two looks at the file: news is told within one checkinterval
// (ldirectord(8), "autoreload"), which takes two looks, and within two seconds at most.
func lookEvery(checkInterval time.Duration) time.Duration {
	return min(time.Second, checkInterval/4)
}

// watchFile reads the configuration again when it has changed on disk, with autoreload = yes,
// and runs the callback. It ends with ctx.
func (d *director) watchFile(ctx context.Context) {
	cfg := d.current.Load()
	w := fileWatch{path: d.path, known: cfg.Digest, seen: cfg.Digest, running: cfg.Digest}
	timer := time.NewTimer(0)
	defer timer.Stop()
	looked := make(chan bool, 1)
	for {
		timer.Reset(lookEvery(cfg.Global.CheckInterval))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		cfg = d.current.Load()
		go func() { looked <- w.look(cfg.Digest) }() // waited for below, unless the file system hangs when we end
		select {
		case <-ctx.Done():
			return
		case news := <-looked:
			if news {
				d.changed(ctx, w.known)
			}
		}
	}
}

// changed does what the configuration asks for after a change of its file. It is not read again
// if somebody had it read already, unless that a reload failed is to be forgotten.
func (d *director) changed(ctx context.Context, content [sha256.Size]byte) {
	cfg := d.current.Load()
	said := "Configuration file has changed on disk"
	if !cfg.Global.AutoReload && cfg.Digest != content {
		said += ": reload takes it over"
	}
	d.log.Info(said, "file", d.path)
	if cfg.Global.AutoReload && (cfg.Digest != content || d.refused()) {
		_ = d.Reload(ctx) // its result is in the log and the status
	}
	if command := d.current.Load().Global.Callback; command != "" {
		d.callbacks.Changed(command, d.path)
	}
}

// refused tells whether the last reload changed nothing.
func (d *director) refused() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reloadError != ""
}
