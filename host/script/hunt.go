package script

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// hunter finds processes that have left the session of their check, by the mark in the
// environment that they were started with. One look at all processes serves all who wait.
type hunter struct {
	looking sync.Mutex     // held during a look
	mu      sync.Mutex     // guards over
	over    map[string]int // by mark: the process that is spared, or 0
}

// end kills what carries mark, the process spare excepted. It returns after a whole look that began
// after the call, and that found nothing more.
func (h *hunter) end(mark string, spare int) {
	h.mu.Lock()
	if h.over == nil {
		h.over = map[string]int{}
	}
	h.over[mark] = spare
	h.mu.Unlock()

	h.looking.Lock()
	defer h.looking.Unlock()
	h.mu.Lock()
	marks := h.over
	h.over = nil
	h.mu.Unlock()
	if _, ours := marks[mark]; !ours {
		return // another's look, which began later, was for us too
	}
	const rounds = 5 // who forks faster than that gets away
	for range rounds {
		if !killMarked(marks) {
			return
		}
	}
}

// killMarked kills all processes with one of the marks, and reports whether there were any.
func killMarked(marks map[string]int) bool {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ") // fails on bad patterns alone
	found := false
	for _, path := range environs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(path)
		if err != nil || !carries(env, marks, pid) {
			continue
		}
		found = killStillMarked(pid, path, marks) || found
	}
	return found
}

// killStillMarked takes hold of the process before it looks again: what it kills is what it saw,
// not who has the number later.
func killStillMarked(pid int, path string, marks map[string]int) bool {
	one, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer one.Release()
	env, err := os.ReadFile(path)
	return err == nil && carries(env, marks, pid) && one.Kill() == nil
}

func carries(env []byte, marks map[string]int, pid int) bool {
	at := bytes.Index(env, []byte(marker))
	if at < 0 || at > 0 && env[at-1] != 0 {
		return false
	}
	mark, _, _ := bytes.Cut(env[at:], []byte{0})
	spare, over := marks[string(mark)]
	return over && pid != spare
}
