package main

import (
	"context"
	"crypto/sha256"
	"os"
	"time"
)

// fileWatch notices that a file has other content than before. Time stamps say nothing to it:
// editors, copies and clocks set them as they like.
type fileWatch struct {
	path  string
	known [sha256.Size]byte // what was told last
	seen  [sha256.Size]byte // by the last look
}

// look says whether the content is new, once. It must be the same in two looks one after the other:
// half of a file that is being written is not news. A file that is not there, or cannot be
// read, is not news either.
func (w *fileWatch) look() bool {
	text, err := os.ReadFile(w.path)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(text)
	settled := sum == w.seen
	w.seen = sum
	if !settled || sum == w.known {
		return false
	}
	w.known = sum
	return true
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
	w := fileWatch{path: d.path, known: cfg.Digest, seen: cfg.Digest}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(lookEvery(cfg.Global.CheckInterval))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if w.look() {
			d.changed(ctx, w.known)
		}
		cfg = d.current.Load()
	}
}

// changed does what the configuration asks for after a change of its file. It is not read again
// if somebody had it read already.
func (d *director) changed(ctx context.Context, content [sha256.Size]byte) {
	cfg := d.current.Load()
	said := "Configuration file has changed on disk"
	if !cfg.Global.AutoReload && cfg.Digest != content {
		said += ": reload takes it over"
	}
	d.log.Info(said, "file", d.path)
	if cfg.Global.AutoReload && cfg.Digest != content {
		_ = d.Reload(ctx) // its result is in the log and the status
	}
	if command := d.current.Load().Global.Callback; command != "" {
		d.callbacks.Changed(command, d.path)
	}
}
