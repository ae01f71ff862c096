package script

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
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
		if belongs(pid, path, marks) {
			found = killStillMarked(pid, path, marks) || found
		}
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
	return belongs(pid, path, marks) && one.Kill() == nil
}

// belongs says whether a process carries a mark, or is in the session of a spared one: who writes its
// own title may write over its environment.
func belongs(pid int, environ string, marks map[string]int) bool {
	env, err := os.ReadFile(environ)
	return err == nil && (carries(env, marks, pid) || besides(pid, marks))
}

// besides says whether one of the spared processes leads the session of pid, and is another.
func besides(pid int, marks map[string]int) bool {
	session, _, errno := syscall.RawSyscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 || int(session) == pid {
		return false
	}
	for _, spare := range marks {
		if spare != 0 && spare == int(session) {
			return true
		}
	}
	return false
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
